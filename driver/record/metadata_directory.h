/* SPDX-License-Identifier: MIT */
/*
 * metadata_directory.h - the directory with the metadata of all running jobs, and which of its
 * files are trusted.
 *
 * A user who can write there can make the driver connect to, signal and remove what they like, as
 * root everything. So the directory and each file in it must belong to this process's user and be
 * writable by no other; files must be regular. Modes of existing files are never changed. All
 * access goes through one descriptor of the directory, so that it cannot be exchanged between check
 * and use.
 *
 * A directory with the wrong mode or owner is an ERROR_USAGE that says how to fix it.
 */
#ifndef BERTH_DRIVER_RECORD_METADATA_DIRECTORY_H
#define BERTH_DRIVER_RECORD_METADATA_DIRECTORY_H

#include <stdbool.h>
#include <sys/stat.h>

#include "common/error.h"

#define METADATA_JOB_BYTES 64 /* a job's key, with the NUL */

/* Whether a directory has the owner and mode above; 'key' names it in errors, also for others of
 * this rule. Returns -1 if not. */
int metadata_directory_check(const char *key, const char *directory, const struct stat *status,
                             struct error *err) __attribute__((warn_unused_result));

/* Returns 1 and the descriptor, which the caller closes; 0 when there is no such directory; -1 when
 * it is not trusted or cannot be opened. */
int metadata_directory_open(const char *directory, int *out_fd, struct error *err)
    __attribute__((warn_unused_result));

/* The same, but creates a missing directory with mode 0700. Returns 0 or -1. */
int metadata_directory_make(const char *directory, int *out_fd, struct error *err)
    __attribute__((warn_unused_result));

/* Whether a missing directory would be created below one of this process's own user. */
bool metadata_directory_may_make(const char *directory);

/* Opens the file 'name' in it with flags of open(2), without blocking on a FIFO. Returns 1 and
 * 'out_fd'; 0: there is none; -1: it is not trusted, or cannot be opened. */
int metadata_directory_open_file(int directory_fd, const char *directory, const char *name,
                                 int flags, int *out_fd, struct error *err)
    __attribute__((warn_unused_result));

/* Marks the job as held by a driver for as long as this process or a child has the descriptor,
 * which is never closed. Best effort: some file systems have no locks. */
void metadata_directory_hold(const char *directory, const char *job);
/* The same with the descriptor, -1 without one, for the caller to close: the job is held until
 * every copy is closed, those of child processes included. */
int metadata_directory_hold_fd(const char *directory, const char *job);
/* Whether another process holds the job. */
bool metadata_directory_held(const char *directory, const char *job);

/* Calls 'visit' with the key of each job that has a file; -1 from it ends the walk. A missing
 * directory is empty. */
int metadata_directory_each(const char *directory,
                            int (*visit)(void *context, const char *job, struct error *err),
                            void *context, struct error *err) __attribute__((warn_unused_result));

/* The same with the name of every entry, and the directory's descriptor. */
typedef int metadata_directory_visit(void *context, int directory_fd, const char *name,
                                     struct error *err);
int metadata_directory_each_file(const char *directory, metadata_directory_visit *visit,
                                 void *context, struct error *err)
    __attribute__((warn_unused_result));

#endif
