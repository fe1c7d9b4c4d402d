/* SPDX-License-Identifier: MIT */
/*
 * resumable_channel.h - the state of the subsystem "berth-job" on one channel, for the files of
 * this folder alone.
 *
 *   GREETING -START-> UPLOADING -INPUT_END-> ASKED -> ATTACHED -EXIT sent-> REPORTED -> ENDING
 *       '-------------- ATTACH -----------------^        RELEASE, or anything refused ---^
 *
 * Runs in a session process. The channel owns its struct resumable_channel. The end of a channel
 * only detaches from the job, which goes on under its monitor.
 */
#ifndef BERTH_AGENT_SESSION_RESUMABLE_RESUMABLE_CHANNEL_H
#define BERTH_AGENT_SESSION_RESUMABLE_RESUMABLE_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/ipc/spool_view.h"
#include "agent/session/channel.h"
#include "common/buffer.h"
#include "common/jobwire.h"

enum resumable_channel_state { GREETING, UPLOADING, ASKED, ATTACHED, REPORTED, ENDING };

struct resumable_channel {
    enum resumable_channel_state state;
    struct jobwire_decoder decoder;
    struct buffer arrived; /* from the client, not yet decoded */
    struct buffer queued;  /* for the client, not yet taken by libssh */
    char id[JOBWIRE_ID_BYTES + 1];
    char *command;
    char *words; /* RUN's payload; NULL: START's command */
    size_t words_bytes;
    int input_fd; /* memory file */
    uint64_t input_bytes;
    bool attaching;         /* requested by ATTACH, not START */
    bool asked_again;       /* after the job's monitor exited before it answered */
    struct spool_view view; /* once ATTACHED */
    uint64_t sent[JOBWIRE_STREAMS], available[JOBWIRE_STREAMS], acked[JOBWIRE_STREAMS];
    uint64_t reported_sent;  /* of both streams together, last reported to the monitor */
    uint64_t reported_acked; /* the same */
    bool ack_pending;        /* newer values have not been reported */
    bool exited;             /* 'available' is final */
    int wait_status;
    struct job_usage usage; /* once exited */
    bool warned;            /* the client knows that the agent shuts down */
    bool rx_overflow;       /* there was no memory for all that arrived */
};

/* reply.c: the client's address, for the log. */
const char *resumable_channel_peer(const struct channel *channel);
/* reply.c: a frame for the client. Without memory for it the channel detaches. */
void resumable_channel_queue(struct channel *channel, const struct jobwire_frame *frame);
/* reply.c: closes the socket to the monitor; queued frames are still sent. */
void resumable_channel_detach(struct channel *channel);
/* reply.c: sends REFUSED and detaches. */
void resumable_channel_refuse(struct channel *channel, enum jobwire_refusal code, const char *text);

/* output.c: sends output, as much as window and socket take. */
void resumable_output_move(struct channel *channel);
/* output.c: sends queued frames, likewise. */
void resumable_output_send_queued(struct channel *channel);
bool resumable_output_is_left(const struct resumable_channel *resumable, int stream);
/* output.c: reports to the monitor what was sent and acknowledged. */
bool resumable_output_ack_is_due(const struct resumable_channel *resumable);
void resumable_output_acknowledge(struct channel *channel);

/* frames.c: libssh's callback. It keeps the bytes for resumable_channel_read(), since libssh
 * discards unread ones, such as the final RELEASE, when the client disconnects. It does not handle
 * frames: a reply could end up inside a frame that is being sent. */
int resumable_channel_on_data(ssh_session ssh, ssh_channel ssh_channel, void *bytes,
                              uint32_t length, int is_stderr, void *userdata);
/* frames.c: handles what the client has sent. */
void resumable_channel_read(struct channel *channel);
/* frames.c: decodes and handles frames, which may arrive in pieces. Exported for fuzzing. */
void resumable_channel_take(struct channel *channel, const char *bytes, size_t length);
/* frames.c: asks init for the job with the client's id, which answers or hands it over. */
void resumable_channel_ask_to_attach(struct channel *channel);

#endif
