/* SPDX-License-Identifier: MIT */
/*
 * session_state.h - one SSH connection and its session channels: the state that the files of this
 * folder share.
 *
 * session.c owns the struct session; the slots of its channels are filled by channel_accept() and
 * emptied by channel_release(). Times are milliseconds on the monotonic clock.
 */
#ifndef BERTH_AGENT_SESSION_SESSION_STATE_H
#define BERTH_AGENT_SESSION_SESSION_STATE_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/ipc/drain.h"
#include "agent/ipc/terminal_modes.h"
#include "agent/ipc/wire.h"
#include "agent/limits.h"
#include "agent/session/intake.h"
#include "agent/session/session_setup.h"
#include "common/buffer.h"
#include "common/jobwire.h"

/* libssh's public headers have the struct, but not this function. The library is pinned and linked
 * statically. */
void ssh_packet_set_callbacks(ssh_session session, ssh_packet_callbacks callbacks);

/* One more than --max-sessions allows: a client may open a channel while the one that it has closed
 * cannot be released yet, since it is being served. */
#define CHANNEL_SLOTS (LIMIT_CHANNELS + 1)

enum channel_state {
    CHANNEL_FREE,
    CHANNEL_OPEN,     /* no job requested yet */
    CHANNEL_STARTING, /* job requested */
    CHANNEL_RUNNING,
    CHANNEL_DRAINING, /* the job has exited; its last output is being sent */
};

struct session;
struct resumable_channel;

struct channel {
    struct session *session;
    enum channel_state state;
    int number; /* for the log: counts up over the connection's life */
    ssh_channel ssh;
    struct ssh_channel_callbacks_struct callbacks;
    int job; /* socket to the job's monitor */
    int stdin_fd, stdout_fd, stderr_fd;
    struct resumable_channel *resumable; /* NULL: a plain job */
    struct jobwire_decoder *command;     /* of "berth-exec", until RUN is complete; else NULL */
    struct buffer variables;             /* set by the client for its job */
    bool wants_terminal;
    char term[LIMIT_TERM_BYTES];
    struct terminal_size size;
    struct terminal_modes modes;
    bool in_line;   /* the last byte of input did not end a line */
    bool end_typed; /* the end-of-file character has been written to the terminal */
    char *input;    /* the last piece read from the client */
    size_t input_length, input_sent;
    char *unsent; /* output that waits for a key exchange; nothing is read until it is sent */
    size_t unsent_length;
    bool unsent_is_stderr;
    struct wire_message exited; /* the monitor's JOB_EXITED; type 0: none yet */
    int64_t out_bytes;          /* stdout and stderr */
    bool input_ended;           /* the client sent EOF */
    bool client_gone;           /* the client closed the channel */
    int wait_status;            /* once DRAINING */
    struct drain drain;         /* of DRAINING */
};

enum session_state {
    SESSION_KEY_EXCHANGE,
    SESSION_LOGIN,
    SESSION_OPEN,
    SESSION_CLOSING,
    SESSION_CLOSED,
    SESSION_STATES,
};

struct session {
    enum session_state state;
    const struct session_setup *setup;
    ssh_session ssh;
    ssh_event event;
    struct ssh_server_callbacks_struct callbacks;
    struct ssh_packet_callbacks_struct packet_callbacks, login_callbacks, intake_callbacks;
    struct terminal_modes modes;       /* of the terminal request that is being handled */
    struct ssh_counter_struct traffic; /* messages and their payload */
    struct ssh_counter_struct socket;  /* bytes of the connection */
    struct intake intake;
    int control;
    char user[LIMIT_USER_BYTES];
    bool asked;                 /* the client has sent a login request; init knows */
    int tries;                  /* authentication attempts */
    bool algorithm_logged;      /* a refused signature algorithm has been logged */
    int channels_opened;        /* over the connection's life */
    bool shutting_down;         /* init has sent SHUTDOWN, or is gone */
    int64_t shutdown_ms;        /* end of the jobs' grace period */
    bool has_sftp_server;       /* found when the client connected */
    int64_t deadline_ms;        /* of KEY_EXCHANGE and LOGIN together, or of CLOSING */
    int64_t heard_ms;           /* time of the last byte from the client */
    int64_t unanswered_ms;      /* time of a login request without a reply; CLOCK_NEVER: none */
    uint64_t sent_packets_then; /* packets that had been sent or queued at that time */
    int keepalives;             /* unanswered ones */
    int64_t keepalive_ms;       /* time of the last of them */
    struct channel channels[CHANNEL_SLOTS];
    struct channel *serving; /* the one in channel_service(), or NULL */
    char *chunk;             /* LIMIT_OUTPUT_CHUNK_BYTES of output */
    int64_t quiet_ms;        /* when to free the chunk's memory; CLOCK_NEVER: it is free */
};

/* The only way to change the state. */
void session_set_state(struct session *session, enum session_state state);

/* The chunk was used: keep its memory for LIMIT_QUIET_MS. */
void session_chunk_used(struct session *session);

#endif
