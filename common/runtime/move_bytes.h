/* SPDX-License-Identifier: MIT */
/*
 * move_bytes.h - memmove(3) with vectors; memmove.c and memcpy.c make it those of the shipped
 * programs.
 *
 * musl moves overlapping memory eight bytes at a time, backwards with the processor's slowest
 * string instruction, and libssh moves every packet it sends by five bytes. Its memcpy is such an
 * instruction too, which some processors do at a third of their speed when the target lies a few
 * bytes further in its page than the source: as a packet behind its header does. 16 bytes at a time
 * is what every x86-64 and every 64-bit ARM can do, so nothing is asked of the processor at run
 * time.
 */
#ifndef BERTH_RUNTIME_MOVE_BYTES_H
#define BERTH_RUNTIME_MOVE_BYTES_H

#include <stddef.h>

/* Returns 'to'. The ranges may overlap in any way. */
void *move_bytes(void *to, const void *from, size_t length);

#endif
