/* SPDX-License-Identifier: MIT */
/*
 * terminal_modes.h - size and modes of a client's terminal (RFC 4254, section 8; RFC 8160 for
 * IUTF8): interrupt and erase characters, echo, line editing.
 *
 * A session reads the modes from the client's request, the job's monitor applies those that the
 * kernel supports. Unknown modes and line speeds are ignored. Nothing here allocates or fails.
 */
#ifndef BERTH_AGENT_IPC_TERMINAL_MODES_H
#define BERTH_AGENT_IPC_TERMINAL_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

struct terminal_size {
    uint16_t columns, rows;
    uint16_t width, height; /* pixels; 0: unknown */
};

/* More than the opcodes of RFC 4254. */
#define TERMINAL_MODES 64

struct terminal_modes {
    uint32_t count;
    struct {
        uint32_t opcode;
        uint32_t value;
    } entries[TERMINAL_MODES];
};

/* Reads the modes from the payload of an SSH_MSG_CHANNEL_REQUEST, after its message number. False:
 * not a complete "pty-req". Modes past the ceiling are dropped. */
bool terminal_modes_read(const void *payload, size_t length, struct terminal_modes *out);

/* In the client's order. */
void terminal_modes_apply(const struct terminal_modes *modes, struct termios *termios);

/* The end-of-file character: ^D unless the client changed it; -1: disabled. */
int terminal_modes_end_of_input(const struct terminal_modes *modes);

#endif
