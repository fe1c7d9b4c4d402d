/* SPDX-License-Identifier: MIT */
/*
 * users.h - user names that a client may log in with, and the users that jobs run as.
 *
 * Reads /etc/passwd with musl's reader (a static program has no NSS). An agent that runs as root
 * accepts every user of /etc/passwd, and root without that file. Any other agent accepts every name
 * and runs jobs as its own user, since it cannot change users; without an entry in /etc/passwd the
 * user's name is its number. struct user owns its texts.
 */
#ifndef BERTH_AGENT_USERS_H
#define BERTH_AGENT_USERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

struct user {
    char *name;
    char *home;
    char *shell;
    uid_t uid;
    gid_t gid;
    bool is_self; /* the agent's own user: its HOME, USER and SHELL variables are kept */
};

/* Reads /etc/passwd into memory, for a process that cannot open files afterwards; later look-ups
 * use the copy. A missing file is not an error, one over LIMIT_PASSWD_BYTES is. */
int users_load(struct error *err) __attribute__((warn_unused_result));
/* The same with another file. Exported for fuzzing. */
int users_load_file(const char *path, struct error *err) __attribute__((warn_unused_result));

/* Whether users_find() would find that user. After users_load() it makes no system call. */
bool users_exist(const char *name);

/* Returns false when there is no such user. */
bool users_find(const char *name, struct user *out_user);
void user_done(struct user *user);

#endif
