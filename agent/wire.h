/* SPDX-License-Identifier: MIT */
/*
 * wire.h - messages between the agent's processes: init, sessions and job monitors.
 *
 * Each pair talks over a SOCK_SEQPACKET socket pair: one message is one struct of fixed size plus
 * at most WIRE_FDS descriptors (SCM_RIGHTS, received close-on-exec). Text of any length (a
 * command) never travels in a message but in a memory file among the descriptors, so init moves
 * it without looking at it. The requests that may cross each boundary:
 *
 *   session -> init      LOGGED_IN             once, counts the connection as authenticated
 *                        JOB_START + 2 fds     request file, the monitor's end of a job socket
 *   init -> session      SHUTDOWN              end when the last channel is closed
 *   session -> monitor   JOB_SIGNAL            signal number, while the job runs
 *                        JOB_RESIZE            size of its terminal
 *   monitor -> session   JOB_STARTED + 3 fds   stdin, stdout, stderr of the job; without the last
 *                                              when it has a terminal
 *                        JOB_FAILED            errno of what could not be started
 *                        JOB_EXITED            wait status; the last message
 *
 * Anything else on a socket is a broken peer and closes it. Sockets are non-blocking.
 */
#ifndef BERTH_AGENT_WIRE_H
#define BERTH_AGENT_WIRE_H

#include <stdint.h>

#include "agent/job/terminal.h"
#include "agent/job/usage.h"

#define WIRE_FDS 3

enum wire_type {
    WIRE_LOGGED_IN = 1,
    WIRE_JOB_START,
    WIRE_SHUTDOWN,
    WIRE_JOB_SIGNAL,
    WIRE_JOB_RESIZE,
    WIRE_JOB_STARTED,
    WIRE_JOB_FAILED,
    WIRE_JOB_EXITED,
};

enum wire_result { WIRE_MESSAGE, WIRE_NOTHING, WIRE_CLOSED };

struct wire_message {
    int32_t type;
    int32_t number;            /* signal number, errno or wait status */
    int64_t ran_ms;            /* JOB_EXITED: how long the job ran */
    struct terminal_size size; /* JOB_RESIZE */
    struct job_usage usage;    /* JOB_EXITED: what it cost */
};

/* Two connected, non-blocking, close-on-exec ends. Returns -1 with errno. */
int wire_pair(int out_ends[2]);

/* Sends a message with copies of 'count' descriptors, which stay the caller's. The receiver's
 * queue holds more messages than any protocol state can have outstanding; -1 with errno means a
 * dead or broken peer. */
int wire_send(int socket, const struct wire_message *message, const int *fds, int count);

/* Receives one message; descriptors that did not come are -1. On WIRE_MESSAGE the caller owns
 * out_fds. A malformed message is WIRE_CLOSED. */
enum wire_result wire_receive(int socket, struct wire_message *out_message, int out_fds[WIRE_FDS]);

#endif
