/* SPDX-License-Identifier: MIT */
/*
 * intake.h - limits how much a client may send, and how much is queued for one that does not read.
 *
 * libssh replies to every unknown message and queues replies without a ceiling, so that any client
 * could make a session use up the task's memory. Before the login the number of messages and bytes
 * is limited, which limits the queue too. After the login reading stops while too much is queued.
 *
 * Only counts are kept here; session.c gets them from libssh's counters and packet callbacks.
 */
#ifndef BERTH_AGENT_SESSION_INTAKE_H
#define BERTH_AGENT_SESSION_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

struct intake {
    /* Received from the client. */
    uint64_t messages; /* of all types */
    uint64_t bytes;    /* of the socket */
    uint64_t known;    /* messages that a client may send */
    uint64_t chatter;  /* of these: IGNORE, UNIMPLEMENTED, DEBUG, EXT_INFO */
    /* Sent to the client up to the last time that nothing was queued. */
    uint64_t sent_messages, sent_payload, sent_bytes;
};

/* Counts a message by its type; for every message that libssh passes on. */
void intake_count(struct intake *intake, uint8_t type);

/* Why the connection must be closed, or NULL. */
const char *intake_refusal(const struct intake *intake, bool logged_in);

/* An upper bound of the bytes that are queued: 'messages' with 'payload' bytes were sent in all,
 * and 'bytes' were written to the socket. Each message counts with the largest framing. */
uint64_t intake_queued(const struct intake *intake, uint64_t messages, uint64_t payload,
                       uint64_t bytes);

#endif
