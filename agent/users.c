/* SPDX-License-Identifier: MIT */
#include "agent/users.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define DEFAULT_SHELL "/bin/sh"

void user_done(struct user *user)
{
    free(user->name);
    free(user->home);
    free(user->shell);
    memset(user, 0, sizeof(*user));
}

/* Copies of the texts, with the usual values for empty ones. False: no memory. */
static bool fill(struct user *user, const char *name, const char *home, const char *shell)
{
    const char *usable_shell = shell != NULL && access(shell, X_OK) == 0 ? shell : DEFAULT_SHELL;
    user->name = strdup(name);
    user->home = strdup(home != NULL && home[0] != '\0' ? home : "/");
    user->shell = strdup(usable_shell);
    user->is_self = user->uid == geteuid();
    if (user->name == NULL || user->home == NULL || user->shell == NULL) {
        user_done(user);
        return false;
    }
    return true;
}

/* The entry with this name, or when 'name' is NULL with this uid. */
static bool from_passwd(const char *name, uid_t uid, struct user *out_user)
{
    cleanup_file FILE *file = fopen("/etc/passwd", "re");
    struct passwd *entry;
    while (file != NULL && (entry = fgetpwent(file)) != NULL) {
        bool wanted = name != NULL ? strcmp(entry->pw_name, name) == 0 : entry->pw_uid == uid;
        if (wanted) {
            out_user->uid = entry->pw_uid;
            out_user->gid = entry->pw_gid;
            return fill(out_user, entry->pw_name, entry->pw_dir, entry->pw_shell);
        }
    }
    return false;
}

bool users_find(const char *name, struct user *out_user)
{
    struct user user = {0};
    uid_t self = geteuid();
    bool found = self == 0 ? from_passwd(name, 0, &user) : from_passwd(NULL, self, &user);
    if (!found && (self != 0 || strcmp(name, "root") == 0)) {
        user.uid = self;
        user.gid = getegid();
        found = fill(&user, self == 0 ? "root" : name, self == 0 ? "/root" : "/", NULL);
    }
    if (found) {
        *out_user = user;
    }
    return found;
}
