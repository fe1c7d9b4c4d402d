/* SPDX-License-Identifier: MIT */
/*
 * attachment_private.h - what attachment.c (the loop, and what goes to the agent) and
 * attachment_frames.c (what comes from it) share. Nothing else includes it.
 */
#ifndef BERTH_DRIVER_ATTACHMENT_PRIVATE_H
#define BERTH_DRIVER_ATTACHMENT_PRIVATE_H

#include "common/buffer.h"
#include "driver/attachment.h"
#include "driver/link_channel.h"

#define ATTACHMENT_NONE (-1)

struct attachment {
    struct durable_job *job;
    struct ssh_link *link;
    ssh_channel channel;
    ssh_event event;
    struct inflow inflow;
    struct jobwire_decoder decoder;
    int blocked; /* the stream whose descriptor takes no more, or ATTACHMENT_NONE */
    struct buffer outgoing;
    size_t outgoing_sent;
    size_t input_sent; /* of the request's input */
    bool uploading;    /* INPUT_END was not queued yet */
    uint64_t unacked_bytes;
    int64_t ack_ms;
    bool ended; /* the agent sends no more */
    bool failed;
    struct error *err; /* filled once 'failed' */
    struct keepalive keepalive;
};

/* Fills 'err', once: the first reason counts. */
void attachment_fail(struct attachment *attachment, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Obeys frames as they lie in libssh's memory; 'context' is the attachment. Returns how many bytes
 * were taken: less than all of them when an output takes no more. */
size_t attachment_take(void *context, const char *bytes, size_t length);

#endif
