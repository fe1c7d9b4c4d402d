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
 *                        DURABLE_START + 3 fds id; the same and, third, the file of its input
 *                        DURABLE_ATTACH + 1 fd id; the monitor's end of a job socket
 *   init -> session      SHUTDOWN              end when the last channel is closed
 *   init -> monitor      JOB_ATTACH + 1 fd     a durable job's new session
 *   session -> monitor   JOB_SIGNAL            signal number, until the output is at its end
 *                        JOB_ACK               durable: offsets of what may be forgotten, and of
 *                                              what the session has sent or is sending
 *                        JOB_RELEASE           durable: the result may be forgotten
 *                        JOB_RESIZE            size of its terminal
 *   monitor -> session   JOB_STARTED + 3 fds   stdin, stdout, stderr of the job
 *                                              (durable: 1 fd, the spool, and its first offsets)
 *                        JOB_ATTACHED + 1 fd   durable: the same for a job that runs or ended
 *                        JOB_OUTPUT            durable: offsets up to which there is output
 *                        JOB_LENT + 3 fds      durable: the session reads the job's output itself
 *                                              (lease.h, whose number is 'number'): spool, stdout,
 *                                              stderr. A JOB_ACK says that it gave it back
 *                        JOB_REPLACED          durable: another session has the job now
 *                        JOB_FAILED            errno of what could not be started, and whether
 *                                              another try could do better
 *                        JOB_EXITED            wait status; the last message (durable: and the
 *                                              offsets at which the output ends)
 *
 * Anything else on a socket is a broken peer and closes it. Sockets are non-blocking.
 */
#ifndef BERTH_AGENT_WIRE_H
#define BERTH_AGENT_WIRE_H

#include <stdint.h>

#include "agent/job/terminal.h"
#include "agent/job/usage.h"
#include "common/jobwire.h"

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
    WIRE_DURABLE_START,
    WIRE_DURABLE_ATTACH,
    WIRE_JOB_ATTACH,
    WIRE_JOB_ATTACHED,
    WIRE_JOB_OUTPUT,
    WIRE_JOB_ACK,
    WIRE_JOB_RELEASE,
    WIRE_JOB_REPLACED,
    WIRE_JOB_LENT,
};

enum wire_result { WIRE_MESSAGE, WIRE_NOTHING, WIRE_CLOSED };

struct wire_message {
    int32_t type;
    int32_t number;                /* signal number, errno or wait status */
    int32_t for_good;              /* JOB_FAILED: no later try can succeed */
    int64_t ran_ms;                /* JOB_EXITED: how long the job ran */
    int64_t offsets[2];            /* of stdout and stderr, in bytes */
    int64_t sent[2];               /* JOB_ACK: the same of what the session needs no more of */
    char id[JOBWIRE_ID_BYTES + 1]; /* DURABLE_START and DURABLE_ATTACH: the job's name */
    struct terminal_size size;     /* JOB_RESIZE */
    struct job_usage usage;        /* JOB_EXITED: what it cost */
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
