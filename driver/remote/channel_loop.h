/* SPDX-License-Identifier: MIT */
/*
 * channel_loop.h - one session channel of a connection, and the loop that drives it.
 *
 * Plain commands (exec.c) and resumable jobs (attachment.c) differ in what they send and in when
 * they are over; a table of functions holds what differs. The loop is common to both: it polls,
 * writes output, stops receiving while an output is blocked, sends keepalives and runs the stop
 * sequence.
 *
 * The struct is the caller's. Set the fields of its first part, call channel_loop_open(), then
 * channel_loop_do() for each step that starts the command, then channel_loop_run(), then
 * channel_loop_close(), which may be called at any time and twice. The connection must outlive it.
 */
#ifndef BERTH_DRIVER_REMOTE_CHANNEL_LOOP_H
#define BERTH_DRIVER_REMOTE_CHANNEL_LOOP_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/remote/connection_private.h"
#include "driver/remote/output.h"
#include "driver/remote/stop_sequence.h"

#define CHANNEL_PACKET_BYTES 32768 /* one SSH packet */
#define CHANNEL_NOT_BLOCKED  (-1)

enum channel_stream { CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_STREAMS };

enum channel_end {
    CHANNEL_RUNNING,
    CHANNEL_ENDED,
    CHANNEL_LOST, /* the connection; the error says why */
    CHANNEL_FAILED,
};

/* What the stop sequence may do now. */
enum channel_stop {
    CHANNEL_STOP_SIGNALS, /* send signals as they are due */
    CHANNEL_STOP_LIMIT,   /* the job cannot get signals yet: only the limit counts */
    CHANNEL_STOP_OVER,    /* the job has exited: nothing is due any more */
};

struct channel_loop;

/* All of these may fail by channel_loop_fail(). */
struct channel_operations {
    /* Bytes came in. Drops them, or keeps them with channel_loop_offer(). Returns how many were
     * taken. */
    size_t (*receive)(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                      size_t length);
    /* Writes bytes of a stream to the outputs. Returns how many were taken; when it is less than
     * all, '*out_blocked' is the output that takes no more, or CHANNEL_NOT_BLOCKED. */
    size_t (*write)(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                    size_t length, int *out_blocked);
    /* Sends what can be sent now and returns the state. Called before each wait. */
    enum channel_end (*turn)(struct channel_loop *loop, struct error *err);
    /* The job has to end: by request, or ('unread') because its output cannot be written any more.
     */
    void (*on_stop)(struct channel_loop *loop, bool unread);
    void (*send_signal)(struct channel_loop *loop, const char *name);
    /* The job did not end in time. */
    void (*give_up)(struct channel_loop *loop);
    /* When turn() has something to do even if nothing happens, or CLOCK_NEVER. */
    int64_t (*deadline_ms)(const struct channel_loop *loop);
};

/* One more descriptor to poll for input. */
struct channel_poll {
    int fd; /* -1: none */
    void (*on_readable)(struct channel_loop *loop);
};

/* Bytes of a stream that were received and not written yet. What does not fit stays in libssh,
 * which extends the window only as bytes are taken from it. */
struct rx_buffer {
    bool held;          /* some bytes could not be written; new ones are queued behind them */
    int64_t held_ms;    /* since when */
    int blocked;        /* the output that is blocked, or CHANNEL_NOT_BLOCKED */
    bool libssh_has_it; /* libssh holds more bytes of the stream */
    bool reading;       /* in flush(): what libssh receives meanwhile stays in libssh */
    char *kept;
    size_t kept_start, kept_length;
};

struct keepalive {
    int64_t period_ms, next_ms;
    bool sent;
    int missed;
    uint64_t seen_bytes;
};

struct channel_loop {
    struct ssh_connection *connection;
    const struct channel_operations *operations;
    void *context;                                 /* for the operations */
    struct ssh_channel_callbacks_struct callbacks; /* set those for exit reports and replies only */
    struct signals *signals;                       /* may be NULL */
    struct stop_sequence *stop;
    struct output *outputs; /* standard output and error */
    int streams;            /* 1: standard output alone is kept */
    int64_t keepalive_ms;   /* after three unanswered ones the connection is lost; 0: none */

    /* Changed by the operations while the loop runs. */
    enum channel_stop stop_allowed;
    bool received_all; /* nothing more is needed from the server: errors of the connection are
                          ignored, since they would make libssh refuse what it has already received
                        */
    struct channel_poll polls[2];

    ssh_channel ssh;
    bool eof;             /* the server sends no more bytes */
    struct error failure; /* kind ERROR_NONE: none */
    ssh_event event;
    struct rx_buffer rx_buffers[CHANNEL_STREAMS];
    struct keepalive keepalive;
};

int channel_loop_open(struct channel_loop *loop, struct error *err)
    __attribute__((warn_unused_result));
void channel_loop_close(struct channel_loop *loop);

/* One step of the start: SSH_OK, SSH_AGAIN or SSH_ERROR. */
typedef int channel_step(ssh_channel ssh, const void *context);
channel_step channel_loop_open_session;      /* the first one */
channel_step channel_loop_request_subsystem; /* 'context': its name */

/* Repeats the step until it is done. Returns 0, -1, or 1 when the server refused it and the
 * connection is still healthy; 'err' says why for both. */
int channel_loop_do(struct channel_loop *loop, channel_step *step, const void *context,
                    int64_t deadline_ms, struct error *err) __attribute__((warn_unused_result));

/* Runs until turn() reports an end, an operation fails or the connection is lost. 'err' is filled
 * for CHANNEL_LOST and CHANNEL_FAILED. */
enum channel_end channel_loop_run(struct channel_loop *loop, struct error *err)
    __attribute__((warn_unused_result));

/* Where an operation puts its error, which ends the loop. NULL when it has failed already: the
 * first error counts. */
static inline struct error *channel_loop_fail(struct channel_loop *loop)
{
    return loop->failure.kind == ERROR_NONE ? &loop->failure : NULL;
}

/* For receive(): writes the bytes, or keeps them until they can be written. */
size_t channel_loop_offer(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                          size_t length);

/* Whether received bytes still wait to be written. */
static inline bool channel_loop_holds_output(const struct channel_loop *loop)
{
    return loop->rx_buffers[CHANNEL_STDOUT].held || loop->rx_buffers[CHANNEL_STDERR].held;
}

/* Whether bytes written now go to the socket instead of piling up in libssh. */
bool channel_loop_takes_bytes(const struct channel_loop *loop);

#endif
