/* SPDX-License-Identifier: MIT */
/*
 * users.h - who may log in, and as whom a job runs.
 *
 * Reads /etc/passwd with musl's own reader (there is no NSS in a static program). Running as
 * root: root and every user of /etc/passwd; an image without that file has root alone. Running as
 * anybody else: every name means the agent's own user, since the key decides who gets in and
 * nothing else can be had; without an entry its name is its number. struct user owns its texts.
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
    bool is_self; /* the agent's own user: its HOME, USER and SHELL variables stand */
};

/* Reads /etc/passwd into memory, once, for a process that will not be able to open it; every later
 * look-up uses that copy. A missing file is success; one over LIMIT_PASSWD_BYTES is not. */
int users_load(struct error *err) __attribute__((warn_unused_result));
/* The same with another file, in place of what was loaded before. */
int users_load_file(const char *path, struct error *err) __attribute__((warn_unused_result));

/* Whether users_find() would find that user. After users_load(): without a system call. */
bool users_exist(const char *name);

/* Returns false when there is no such user. */
bool users_find(const char *name, struct user *out_user);
void user_done(struct user *user);

#endif
