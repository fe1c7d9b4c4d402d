/* SPDX-License-Identifier: MIT */
/*
 * session_private.h - what session.c (the loop), auth.c (who gets in), channel_requests.c (what
 * a client asks for), channel.c (one job's bytes) and channel_end.c share, and through
 * durable_private.h a durable job's files. Nothing else includes it.
 */
#ifndef BERTH_AGENT_SESSION_PRIVATE_H
#define BERTH_AGENT_SESSION_PRIVATE_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/job/terminal.h"
#include "agent/limits.h"
#include "agent/session/session.h"
#include "agent/wire.h"
#include "common/buffer.h"

/* The struct is in libssh's public headers, this function is not. The library is linked statically
 * and pinned; one without it does not link. */
void ssh_packet_set_callbacks(ssh_session session, ssh_packet_callbacks callbacks);

/* One more than there may be: a client that closes one and opens the next need not wait, though
 * the closed one cannot be released while it is being served. */
#define CHANNEL_SLOTS (LIMIT_CHANNELS + 1)

enum channel_state {
    CHANNEL_FREE,
    CHANNEL_OPEN,     /* no job asked for yet */
    CHANNEL_STARTING, /* init and the monitor are at work */
    CHANNEL_RUNNING,
    CHANNEL_DRAINING, /* the job ended; its last output is on the way */
};

struct session;
struct durable_channel;

struct channel {
    struct session *session;
    enum channel_state state;
    int number; /* for the log: counts up over the connection's life */
    ssh_channel ssh;
    struct ssh_channel_callbacks_struct callbacks;
    int job;                            /* socket to the job's monitor */
    int stdin_fd, stdout_fd, stderr_fd; /* a durable job's: while it is lent to the session */
    struct durable_channel *durable;    /* a durable job's driver; NULL: a plain job */
    struct buffer variables;            /* that the client set for its job */
    bool wants_terminal;
    char term[LIMIT_TERM_BYTES];
    struct terminal_size size;
    struct terminal_modes modes;
    bool in_line;   /* of its terminal: the last byte did not end a line */
    bool end_typed; /* the end of input has been typed into the terminal */
    char *input;    /* what the job has not taken yet of the last piece read from the client */
    size_t input_length, input_sent;
    char *unsent; /* output that a key exchange under way holds up; nothing is read until it went */
    size_t unsent_length;
    bool unsent_is_stderr;
    struct wire_message exited; /* what the monitor told of the end; type 0: nothing yet */
    int64_t out_bytes;          /* stdout and stderr */
    bool input_ended;           /* the client sent EOF */
    bool client_gone;           /* the client closed the channel */
    int wait_status;            /* once DRAINING */
    int64_t deadline_ms;        /* of DRAINING */
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
    struct ssh_packet_callbacks_struct packet_callbacks, login_callbacks;
    struct terminal_modes modes; /* of the terminal request that is being handled */
    struct ssh_counter_struct traffic;
    int control;
    char user[LIMIT_USER_BYTES];
    int tries;             /* logins tried, questions about keys included */
    int channels_opened;   /* over the connection's life */
    bool shutting_down;    /* init asked us to end */
    int64_t shutdown_ms;   /* when the jobs' grace period ends then */
    bool has_sftp_server;  /* the image had one when the client connected */
    int64_t deadline_ms;   /* of KEY_EXCHANGE and LOGIN together, or of CLOSING */
    int64_t heard_ms;      /* last byte from the client */
    int64_t unanswered_ms; /* since when a login waits for a reply; CLOCK_NEVER: none does */
    uint64_t said_packets; /* how many had been sent by then, or are on their way */
    int keepalives;        /* sent without hearing anything since */
    int64_t asked_ms;      /* when the last of them was sent */
    struct channel channels[CHANNEL_SLOTS];
    struct channel *serving; /* the one whose channel_service() is on the stack, or NULL */
    char *chunk;             /* LIMIT_OUTPUT_CHUNK_BYTES, for moving bytes */
    int64_t quiet_ms;        /* when the chunk's memory goes back; CLOCK_NEVER: it has */
};

/* The only way to change the state. */
void session_set_state(struct session *session, enum session_state state);

/* Output was moved in the chunk: its memory is wanted for a while. */
void session_chunk_used(struct session *session);

/* auth.c */
void auth_install(struct session *session);
/* auth.c: notes when a login asks, before libssh sees it; before the session starts. */
void auth_watch_requests(struct session *session);

/* channel.c: descriptors to wait for; returns how many of at most 4 entries it filled. */
int channel_prepare(struct channel *channel, struct pollfd *entries);
/* channel.c: moves what can be moved, whatever poll said; every step is non-blocking. */
void channel_service(struct channel *channel);
/* channel_end.c: closes and releases. A job still running is ended by its monitor. */
void channel_release(struct channel *channel);
/* channel_end.c: ends it in order: exit-status or exit-signal of a wait status, EOF, close. */
void channel_finish(struct channel *channel);
/* channel_end.c: signals by the names of RFC 4254, section 6.10. 0 and NULL: no such one. */
int channel_signal_number(const char *name, size_t length);
const char *channel_signal_name(int number);

/* durable_channel.c: begins the subsystem "berth-job". Returns 0 when it is granted. */
int durable_channel_start(struct channel *channel);
/* durable_channel.c: takes the place of channel_service() once the subsystem runs. */
void durable_channel_service(struct channel *channel);
void durable_channel_free(struct channel *channel);
/* durable_output.c: whether nothing can be sent of what its job would write. */
bool durable_channel_is_held_up(const struct channel *channel);
/* durable_channel.c: whether the job's socket is waited for to take a message. */
bool durable_channel_wants_to_tell(const struct channel *channel);

/* channel_requests.c: asks init for the job; a NULL command and subsystem mean the user's shell.
 * Returns 0 when the request is granted. */
int channel_start(struct channel *channel, const char *command, const char *subsystem);
/* channel_requests.c: looks at requests before libssh does; before the session starts. */
void channel_watch_requests(struct session *session);
/* channel_requests.c: the callback that accepts a new session channel. */
ssh_channel channel_accept(ssh_session ssh, void *userdata);

#endif
