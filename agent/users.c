/* SPDX-License-Identifier: MIT */
#include "agent/users.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/fd.h"

#define DEFAULT_SHELL "/bin/sh"
#define PASSWD_PATH   "/etc/passwd"

static struct buffer loaded;
static bool is_loaded;

void user_done(struct user *user)
{
    free(user->name);
    free(user->home);
    free(user->shell);
    memset(user, 0, sizeof(*user));
}

/* nologin and false keep others from becoming a user. They do not apply when the agent already runs
 * as that user, which is common in images: /bin/sh is used instead. */
static bool is_usable(const char *shell, bool is_self)
{
    if (shell == NULL || access(shell, X_OK) < 0) {
        return false;
    }
    const char *base = strrchr(shell, '/');
    base = base == NULL ? shell : base + 1;
    return !is_self || (strcmp(base, "nologin") != 0 && strcmp(base, "false") != 0);
}

/* Copies the texts, with defaults for empty ones. False: out of memory. */
static bool fill(struct user *user, const char *name, const char *home, const char *shell)
{
    user->is_self = user->uid == geteuid();
    user->name = strdup(name);
    user->home = strdup(home != NULL && home[0] != '\0' ? home : "/");
    user->shell = strdup(is_usable(shell, user->is_self) ? shell : DEFAULT_SHELL);
    if (user->name == NULL || user->home == NULL || user->shell == NULL) {
        user_done(user);
        return false;
    }
    return true;
}

int users_load_file(const char *path, struct error *err)
{
    buffer_done(&loaded);
    buffer_init(&loaded, LIMIT_PASSWD_BYTES);
    if (access(path, F_OK) == 0 && fd_read_file(path, &loaded, err) < 0) {
        return -1;
    }
    is_loaded = true;
    return 0;
}

int users_load(struct error *err)
{
    return users_load_file(PASSWD_PATH, err);
}

static FILE *open_passwd(void)
{
    if (!is_loaded) {
        return fopen(PASSWD_PATH, "re");
    }
    return loaded.length == 0 ? NULL : fmemopen(loaded.bytes, loaded.length, "r");
}

/* The entry with this name, or with this uid if 'name' is NULL; NULL: none. Valid until the next
 * call. */
static const struct passwd *from_passwd(const char *name, uid_t uid)
{
    cleanup_file FILE *file = open_passwd();
    struct passwd *entry = NULL;
    while (file != NULL && (entry = fgetpwent(file)) != NULL) {
        if (name != NULL ? strcmp(entry->pw_name, name) == 0 : entry->pw_uid == uid) {
            break;
        }
    }
    return entry;
}

/* Only root can change users. */
static const struct passwd *entry_for(const char *name)
{
    uid_t self = geteuid();
    return self == 0 ? from_passwd(name, 0) : from_passwd(NULL, self);
}

static bool works_without_entry(const char *name)
{
    return geteuid() != 0 || strcmp(name, "root") == 0;
}

bool users_exist(const char *name)
{
    return entry_for(name) != NULL || works_without_entry(name);
}

bool users_find(const char *name, struct user *out_user)
{
    struct user user = {.uid = geteuid(), .gid = getegid()};
    const struct passwd *entry = entry_for(name);
    bool found = false;
    if (entry != NULL) {
        user.uid = entry->pw_uid;
        user.gid = entry->pw_gid;
        found = fill(&user, entry->pw_name, entry->pw_dir, entry->pw_shell);
    } else if (works_without_entry(name)) {
        bool root = user.uid == 0;
        char number[16];
        (void)snprintf(number, sizeof(number), "%u", (unsigned)user.uid);
        found = fill(&user, root ? "root" : number, root ? "/root" : "/", NULL);
    }
    if (found) {
        *out_user = user;
    }
    return found;
}
