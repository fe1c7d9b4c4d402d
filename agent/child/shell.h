/* SPDX-License-Identifier: MIT */
/*
 * shell.h - the shell of an image: bash, else sh, else a busybox that Berth brings.
 *
 * bash and then sh are searched in a PATH, then in the directories in which GitLab Runner searches,
 * of which /busybox is the last; then the image's busybox. Where the image has none of these, the
 * busybox of --busybox is used. Runs in a job's process, and in init during startup.
 */
#ifndef BERTH_AGENT_CHILD_SHELL_H
#define BERTH_AGENT_CHILD_SHELL_H

#include <stdbool.h>

#define SHELL_PATH_BYTES 4096

struct shell {
    char program[SHELL_PATH_BYTES]; /* absolute */
    bool is_busybox;                /* its first argument is "sh" */
};

/* Searches without executing. 'path' may be NULL, and so may 'busybox', the directory of
 * --busybox. */
bool shell_find(const char *path, const char *busybox, struct shell *out_shell);

/* Whether an absolute directory of 'path' has that program; its path goes to 'out'. */
bool shell_find_in(const char *path, const char *name, char out[SHELL_PATH_BYTES]);

/* Executes the shell with "-c" and 'text'. Returns only on failure, with errno: ENOENT if there is
 * no shell, or that of the last shell that could not be executed. */
void shell_exec(const char *path, const char *busybox, const char *text);

/* Executes the busybox of --busybox as "sh", with "-c" and 'text' unless it is NULL. Returns only
 * on failure, with errno. */
void shell_exec_busybox(const char *busybox, const char *text);

/* Whether exec's errno means that the file does not exist or is not a program. */
bool shell_is_absent(int reason);

#endif
