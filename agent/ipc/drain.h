/* SPDX-License-Identifier: MIT */
/*
 * drain.h - decides when the output of a job ends after its shell has exited.
 *
 * A pipe ends when the last process that holds it open exits, and leftovers of a job may hold it
 * forever. So the output ends at the earliest of:
 *
 *   both pipes are closed
 *   silence: nothing was read for 'silence_ms', and both pipes are empty
 *   LIMIT_DRAIN_TIMES as long has passed since the exit, even if more is written
 *
 * but not before the bytes that were in the pipes when the shell exited have been read, however
 * slowly the client reads. Used by a plain job's session and a resumable job's monitor. No function
 * fails; the descriptors stay the caller's.
 */
#ifndef BERTH_AGENT_IPC_DRAIN_H
#define BERTH_AGENT_IPC_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRAIN_STREAMS 2

struct drain {
    int64_t silence_ms;
    int64_t bound_ms;             /* absolute */
    int64_t deadline_ms;          /* absolute: call drain_is_over() again by then */
    uint64_t owed[DRAIN_STREAMS]; /* bytes from before the exit that are still unread */
};

/* After the shell has exited; 'fds' are its output pipes, -1: closed. */
void drain_begin(struct drain *drain, const int fds[DRAIN_STREAMS], int64_t silence_ms);

/* After bytes were read from a pipe. */
void drain_read(struct drain *drain, int stream, size_t bytes);

/* Whether the output has ended. 'held': bytes that were read have not been sent yet. */
bool drain_is_over(struct drain *drain, const int fds[DRAIN_STREAMS], bool held);

#endif
