/* SPDX-License-Identifier: MIT */
/*
 * wire.h - messages between the agent's processes: init, sessions and job monitors.
 *
 * Each pair has a SOCK_SEQPACKET socket pair. A message is one struct of fixed size with at most
 * WIRE_FDS descriptors (SCM_RIGHTS, received close-on-exec). Text of variable length, such as a
 * command, is in a memory file among the descriptors, so that init passes it on without reading it.
 * These messages exist:
 *
 *   session -> init      LOGIN_ASKED           once: the client has sent a login request
 *                        LOGGED_IN             once: the connection is authenticated
 *                        CLAIMED               the client claims the task for its job
 *                        JOB_START + 2 fds     request file, the monitor's end of a job socket
 *                        RESUMABLE_START + 3 fds id; the same, and the file with its input
 *                        RESUMABLE_ATTACH + 1 fd id; the monitor's end of a job socket
 *   init -> session      SHUTDOWN              exit when the last channel is closed
 *   init -> monitor      JOB_ATTACH + 1 fd     a resumable job's new session
 *   session -> monitor   JOB_SIGNAL            signal number, until the output has ended
 *                        JOB_ACK               resumable: offsets up to which output may be
 *                                              discarded, and up to which it was sent
 *                        JOB_RELEASE           resumable: the result may be discarded
 *                        JOB_RESIZE            size of its terminal
 *   monitor -> session   JOB_STARTED + 3 fds   stdin, stdout, stderr of the job
 *                                              (resumable: 1 fd, the spool, and its first offsets)
 *                        JOB_ATTACHED + 1 fd   resumable: the same, for a job that was started
 *                                              before
 *                        JOB_OUTPUT            resumable: offsets up to which there is output
 *                        JOB_REPLACED          resumable: another session has attached
 *                        JOB_FAILED            errno of the start, and whether a retry can succeed
 *                        JOB_EXITED            wait status; the last message (resumable: and the
 *                                              offsets at which the output ends)
 *
 * Any other message closes the socket. Sockets are non-blocking.
 */
#ifndef BERTH_AGENT_IPC_WIRE_H
#define BERTH_AGENT_IPC_WIRE_H

#include <stdint.h>

#include "agent/ipc/job_usage.h"
#include "agent/ipc/terminal_modes.h"
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
    WIRE_RESUMABLE_START,
    WIRE_RESUMABLE_ATTACH,
    WIRE_JOB_ATTACH,
    WIRE_JOB_ATTACHED,
    WIRE_JOB_OUTPUT,
    WIRE_JOB_ACK,
    WIRE_JOB_RELEASE,
    WIRE_JOB_REPLACED,
    WIRE_LOGIN_ASKED,
    WIRE_CLAIMED,
};

enum wire_result { WIRE_MESSAGE, WIRE_NOTHING, WIRE_CLOSED };

struct wire_message {
    int32_t type;
    int32_t number;                /* signal number, errno or wait status */
    int32_t permanent;             /* JOB_FAILED: a retry cannot succeed */
    int64_t ran_ms;                /* JOB_EXITED: how long the job ran */
    int64_t offsets[2];            /* in stdout and stderr */
    int64_t sent[2];               /* JOB_ACK: up to which output was sent */
    char id[JOBWIRE_ID_BYTES + 1]; /* RESUMABLE_START and RESUMABLE_ATTACH */
    struct terminal_size size;     /* JOB_RESIZE */
    struct job_usage usage;        /* JOB_EXITED */
};

/* Two connected, non-blocking, close-on-exec ends. Returns -1 with errno. */
int wire_pair(int out_ends[2]);

/* Sends a message with copies of 'count' descriptors, which stay the caller's. The queue has room
 * for more messages than any state of the protocol can have outstanding. -1 with errno: the peer is
 * gone or does not read; its last messages may still be received. */
int wire_send(int socket, const struct wire_message *message, const int *fds, int count);

/* Receives one message. On WIRE_MESSAGE the caller owns out_fds; unused ones are -1. A malformed
 * message is WIRE_CLOSED. So is a closed peer, after its last message. */
enum wire_result wire_receive(int socket, struct wire_message *out_message, int out_fds[WIRE_FDS]);

#endif
