/* SPDX-License-Identifier: MIT */
/*
 * terminal_modes.h - the modes that a client wants its terminal to have (RFC 4254, section 8, and
 * RFC 8160 for IUTF8): interrupt and erase characters, echo, line editing.
 *
 * A session takes them out of the client's request; the job's monitor applies what the kernel
 * knows of them. Line speeds mean nothing to a pseudo-terminal and are left alone. No allocation,
 * and no errors: what is not understood changes nothing.
 */
#ifndef BERTH_AGENT_JOB_TERMINAL_MODES_H
#define BERTH_AGENT_JOB_TERMINAL_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

/* More than RFC 4254 has opcodes with a meaning here. */
#define TERMINAL_MODES 64

struct terminal_modes {
    uint32_t count;
    struct {
        uint32_t opcode;
        uint32_t value;
    } entries[TERMINAL_MODES];
};

/* Takes the modes out of the payload of an SSH_MSG_CHANNEL_REQUEST, after its message number. False
 * when that is no whole "pty-req". Modes past the ceiling are dropped. */
bool terminal_modes_read(const void *payload, size_t length, struct terminal_modes *out);

/* In the order in which the client named them. */
void terminal_modes_apply(const struct terminal_modes *modes, struct termios *termios);

/* What the client types at the end of its input; ^D unless it said otherwise, -1: nothing. */
int terminal_modes_end_of_input(const struct terminal_modes *modes);

#endif
