/* SPDX-License-Identifier: MIT */
/*
 * tar.h - a small tar archive in memory, for files of a container.
 *
 * Format: POSIX.1-1988 ustar, owner root, time 0, so that the same input is the same bytes. The
 * caller owns the buffer: entries in order, then tar_end(). Names are relative, up to 99 bytes.
 */
#ifndef BERTH_DRIVER_BACKEND_TAR_H
#define BERTH_DRIVER_BACKEND_TAR_H

#include <stddef.h>

#include "common/buffer.h"

/* Return -1 if the name is too long or the buffer is full. */
int tar_directory(struct buffer *archive, const char *name, unsigned mode)
    __attribute__((warn_unused_result));
int tar_file(struct buffer *archive, const char *name, unsigned mode, const void *bytes,
             size_t length) __attribute__((warn_unused_result));
/* A file in pieces: its header, then 'length' bytes that are not in the buffer, then its padding.
 */
int tar_file_begin(struct buffer *archive, const char *name, unsigned mode, size_t length)
    __attribute__((warn_unused_result));
int tar_file_end(struct buffer *archive, size_t length) __attribute__((warn_unused_result));
int tar_end(struct buffer *archive) __attribute__((warn_unused_result));

#endif
