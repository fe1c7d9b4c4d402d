/* SPDX-License-Identifier: MIT */
/*
 * cleanup.h - variables that release their resource at the end of their scope.
 *
 * Declare at the point of acquisition ('cleanup_fd int fd = -1;'); hand over with steal_fd(), which
 * leaves -1 behind.
 */
#ifndef BERTH_COMMON_CLEANUP_H
#define BERTH_COMMON_CLEANUP_H

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

#endif
