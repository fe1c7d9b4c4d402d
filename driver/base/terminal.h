/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - the size of the terminal on a descriptor.
 */
#ifndef BERTH_DRIVER_BASE_TERMINAL_H
#define BERTH_DRIVER_BASE_TERMINAL_H

#include <stddef.h>

/* Columns; 0: not a terminal, or one that does not know its size. */
size_t terminal_width(int fd);

#endif
