/* SPDX-License-Identifier: MIT */
/*
 * fd.h - descriptors and files: whole reads and writes, atomic replacement.
 *
 * Descriptors passed in stay the caller's. Everything opened here is close-on-exec. Sizes are
 * bytes. Functions with a struct error fail as error.h says; EINTR is handled inside.
 */
#ifndef BERTH_FD_H
#define BERTH_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/error.h"

/* Opens /dev/null for those of descriptors 0, 1 and 2 that we were started without, so that nothing
 * else gets their numbers. The first thing a program does. Returns -1 with errno. */
int fd_open_standard(void);

/* Sets or clears O_NONBLOCK. Returns -1 with errno. */
int fd_set_nonblocking(int fd, bool nonblocking);

/* Closes every descriptor from 'first' to 'last'. Returns -1 with errno. */
int fd_close_range(unsigned first, unsigned last);

/* Writes all of it to a descriptor that may be non-blocking, waiting for room until the absolute
 * deadline (clock.h). Returns -1 with errno, ETIMEDOUT for the deadline. */
int fd_write_all(int fd, const void *bytes, size_t length, int64_t deadline_ms);

/* Reads a whole file into 'out', which the caller has initialised with a ceiling. The file must
 * be a regular one; a directory, a FIFO or a device is refused before reading. */
int fd_read_file(const char *path, struct buffer *out, struct error *err)
    __attribute__((warn_unused_result));

/* Replaces 'path' with the given bytes so that a reader or a crash sees the old or the new
 * content, never a part: temporary file in the same directory, fsync, rename, fsync of the
 * directory. 'mode' applies whatever the umask. */
int fd_replace_file(const char *path, const void *bytes, size_t length, mode_t mode,
                    struct error *err) __attribute__((warn_unused_result));

/* mkdir -p. Directories made here get 'mode'; existing ones are left as they are. */
int fd_make_directories(const char *path, mode_t mode, struct error *err)
    __attribute__((warn_unused_result));

/* rm -rf without following symbolic links and without leaving the file system's tree below
 * 'path', however deep it is; a missing path is success. Directories without write permission are
 * opened up first (Go's module cache is read-only). */
int fd_remove_tree(const char *path, struct error *err) __attribute__((warn_unused_result));

#endif
