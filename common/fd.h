/* SPDX-License-Identifier: MIT */
/*
 * fd.h - descriptors and files: whole reads and writes, atomic replacement.
 *
 * Descriptors passed in stay the caller's. Everything opened here is close-on-exec. Sizes are
 * bytes. Functions with a struct error fail as error.h says; EINTR is handled inside.
 */
#ifndef BERTH_COMMON_FD_H
#define BERTH_COMMON_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/error.h"

/* Opens /dev/null for descriptors 0, 1 and 2 if they are closed, so that no other file gets these
 * numbers. Call it first. Returns -1 with errno. */
int fd_open_standard(void);

/* Sets O_NONBLOCK. Returns -1 with errno. */
int fd_set_nonblocking(int fd);

/* Closes all descriptors from 'first' to 'last', also if close_range(2) is missing or refused by a
 * seccomp filter. Returns -1 with errno. */
int fd_close_range(unsigned first, unsigned last);

/* Creates an empty memory file: memfd_create(2), close-on-exec, with additional 'flags'. Returns -1
 * and fills 'err'. */
int fd_memory_file(const char *name, unsigned flags, struct error *err)
    __attribute__((warn_unused_result));

/* Writes all bytes to a descriptor that may be non-blocking, until the absolute deadline (clock.h).
 * Returns -1 with errno, ETIMEDOUT at the deadline. */
int fd_write_all(int fd, const void *bytes, size_t length, int64_t deadline_ms);

/* Reads a regular file into 'out', which the caller has initialised with a ceiling. Directories,
 * FIFOs and devices are refused. */
int fd_read_file(const char *path, struct buffer *out, struct error *err)
    __attribute__((warn_unused_result));

/* Reads a descriptor to its end; 'path' is for messages. */
int fd_read_to_end(int fd, const char *path, struct buffer *out, struct error *err)
    __attribute__((warn_unused_result));

/* Reads exactly 'length' bytes from 'offset' on. Returns -1 with errno, EPROTO at the end of the
 * file. */
int fd_read_at(int fd, void *bytes, size_t length, off_t offset)
    __attribute__((warn_unused_result));

/* Replaces 'path' atomically: temporary file in the same directory, fsync, rename, fsync of the
 * directory. 'mode' ignores the umask. */
int fd_replace_file(const char *path, const void *bytes, size_t length, mode_t mode,
                    struct error *err) __attribute__((warn_unused_result));

/* The same in an open directory. Returns -1 with errno. */
int fd_replace_at(int directory_fd, const char *name, const void *bytes, size_t length, mode_t mode)
    __attribute__((warn_unused_result));

/* The same with what 'source_fd' holds from its position on; a file of any size. */
int fd_replace_from(int directory_fd, const char *name, int source_fd, mode_t mode)
    __attribute__((warn_unused_result));

/* mkdir -p. New directories get 'mode'; existing ones are unchanged. */
int fd_make_directories(const char *path, mode_t mode, struct error *err)
    __attribute__((warn_unused_result));

/* rm -rf without following symbolic links, for trees of any depth; a missing path is success. Makes
 * directories writable first (Go's module cache is read-only). */
int fd_remove_tree(const char *path, struct error *err) __attribute__((warn_unused_result));

#endif
