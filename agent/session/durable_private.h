/* SPDX-License-Identifier: MIT */
/*
 * durable_private.h - what durable_channel.c (a durable job's start and end), durable_output.c,
 * durable_borrow.c and durable_frames.c (what its client sends) share. Nothing else includes it.
 *
 *   GREETING -START-> UPLOADING -INPUT_END-> ASKED -> ATTACHED -EXIT sent-> REPORTED -> ENDING
 *       '-------------- ATTACH -----------------^        RELEASE, or anything refused ---^
 *
 * Runs in a session process. The channel owns its struct durable_channel. Whatever ends the channel
 * only detaches: the job is its monitor's.
 */
#ifndef BERTH_AGENT_DURABLE_PRIVATE_H
#define BERTH_AGENT_DURABLE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/job/spool.h"
#include "agent/session/session_private.h"
#include "agent/wire.h"
#include "common/buffer.h"
#include "common/jobwire.h"

enum durable_channel_state { GREETING, UPLOADING, ASKED, ATTACHED, REPORTED, ENDING };

struct durable_channel {
    enum durable_channel_state state;
    struct jobwire_decoder decoder;
    struct buffer arrived; /* from the client, since the last look */
    struct buffer queued;  /* for the client, when window or socket did not take it */
    char id[JOBWIRE_ID_BYTES + 1];
    char *command;
    int input_fd; /* memory file */
    uint64_t input_bytes;
    bool attaching;         /* asked by ATTACH */
    struct spool_view view; /* once ATTACHED */
    uint64_t sent[JOBWIRE_STREAMS], available[JOBWIRE_STREAMS], acked[JOBWIRE_STREAMS];
    struct spool borrowed; /* while 'lent': lease.h; the pipes are the channel's */
    uint64_t told_sent;    /* of both streams together, as far as the monitor knows */
    uint64_t told_acked;   /* the same */
    bool ack_untold;
    bool lent;
    bool exited; /* 'available' is all there will be */
    int wait_status;
    struct job_usage usage; /* once exited */
    bool warned;            /* of the agent's end */
    bool deaf;              /* some of what arrived could not be kept */
};

/* Of the client, for the log. */
const char *durable_channel_peer(const struct channel *channel);
/* ENDING: what is queued is still sent, the job's socket is closed. */
void durable_channel_detach(struct channel *channel);
/* A frame for the client. Without memory for it the channel detaches. */
void durable_channel_queue(struct channel *channel, const struct jobwire_frame *frame);
/* Says why and detaches. */
void durable_channel_refuse(struct channel *channel, enum jobwire_refusal code, const char *text);

/* durable_output.c: sends what there is, as far as window and socket take it. */
void durable_output_move(struct channel *channel);
/* durable_output.c: sends what is queued, likewise. */
void durable_output_send_queued(struct channel *channel);
bool durable_output_is_left(const struct durable_channel *durable, int stream);
/* durable_output.c: what was sent and acknowledged, for the monitor. */
bool durable_output_ack_is_due(const struct durable_channel *durable);
void durable_output_tell(struct channel *channel);

/* durable_borrow.c: the job's output is read here from now on; the descriptors are taken. */
void durable_borrow(struct channel *channel, const struct wire_message *message, int fds[WIRE_FDS]);
/* durable_borrow.c: reads what the pipe holds, at most a slot. Returns whether there was some. */
bool durable_borrow_fill(struct channel *channel, int stream);
/* durable_borrow.c: the client has what it acknowledged. */
void durable_borrow_release(struct channel *channel);
/* durable_borrow.c: the monitor reads again. Safe to call again. */
void durable_borrow_end(struct channel *channel);

/* durable_frames.c: libssh's callback, which keeps what came for durable_channel_read(). What a
 * client sent before it hung up could not be read from libssh any more, and its last word is the
 * release. It obeys nothing: a frame's answer must not meet another that is being sent. */
int durable_channel_on_data(ssh_session ssh, ssh_channel ssh_channel, void *bytes, uint32_t length,
                            int is_stderr, void *userdata);
/* durable_frames.c: obeys what the client sent. */
void durable_channel_read(struct channel *channel);
/* durable_frames.c: obeys frames, which may come in pieces. */
void durable_channel_take(struct channel *channel, const char *bytes, size_t length);

#endif
