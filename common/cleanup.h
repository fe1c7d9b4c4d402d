/* SPDX-License-Identifier: MIT */
/*
 * cleanup.h - resources that release themselves when their variable leaves scope.
 *
 * Declare at the point of acquisition ('cleanup_fd int fd = -1;'); hand over with steal_fd() or
 * steal_ptr(), which leave -1 or NULL behind. Used in every process.
 */
#ifndef BERTH_CLEANUP_H
#define BERTH_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd_fn(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static inline void cleanup_free_fn(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_file_fn(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

static inline void cleanup_dir_fn(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir);
    }
}

#define cleanup_fd   __attribute__((cleanup(cleanup_fd_fn)))
#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))
#define cleanup_file __attribute__((cleanup(cleanup_file_fn)))
#define cleanup_dir  __attribute__((cleanup(cleanup_dir_fn)))

static inline int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define steal_ptr(pointer)                     \
    __extension__({                            \
        __typeof__(pointer) taken = (pointer); \
        (pointer) = NULL;                      \
        taken;                                 \
    })

#endif
