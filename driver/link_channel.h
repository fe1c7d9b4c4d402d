/* SPDX-License-Identifier: MIT */
/*
 * link_channel.h - one session channel of a link: what plain commands and durable jobs share.
 *
 * Opening it, requests on it, the way of its bytes out of libssh, and the question whether the
 * other side still lives. Structs are the caller's; those with a libssh object inside are valid as
 * long as that object. For the files that run something over a link (ssh_exec.c, attachment.c).
 */
#ifndef BERTH_DRIVER_LINK_CHANNEL_H
#define BERTH_DRIVER_LINK_CHANNEL_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/ssh_private.h"

#define LINK_CHUNK_BYTES 32768 /* one SSH packet */

/* One step of the start: SSH_OK, SSH_AGAIN or SSH_ERROR. */
typedef int link_step(ssh_channel channel, const void *context);

/* Does the step until it is through. A refusal of the other side is an ERROR_PEER on a link that
 * is still healthy. */
int link_do(struct ssh_link *link, ssh_channel channel, link_step *step, const void *context,
            struct signals *signals, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));

/* The first step. */
link_step link_open_session;

/* Whether bytes written now would go out, not pile up in libssh. */
bool link_takes_bytes(const struct ssh_link *link, ssh_channel channel);

/* A stream of a channel on its way to whoever takes its bytes. What is not taken at once is kept
 * here, as far as there is room; the rest stays in libssh, which opens the window only for what it
 * was relieved of. */
struct inflow {
    ssh_channel channel;
    bool is_stderr;
    size_t (*take)(void *context, const char *bytes, size_t length); /* returns how many */
    void *context;
    bool held; /* the last offer was not taken whole: nothing is offered until inflow_flush() */
    int64_t held_ms;    /* since when */
    bool libssh_has_it; /* bytes behind those that are kept */
    bool reading;       /* in inflow_flush(): what libssh receives meanwhile stays there */
    char *kept;         /* INFLOW_BYTES */
    size_t kept_start, kept_length;
};

/* What libssh reads at once from a socket, and a packet that came before. */
#define INFLOW_BYTES (4 * LINK_CHUNK_BYTES)

/* The first four fields are the caller's to set. inflow_done() may be called for zeros, and twice.
 */
int inflow_open(struct inflow *inflow, struct error *err) __attribute__((warn_unused_result));
void inflow_done(struct inflow *inflow);

/* To be called from libssh's data callback, whose result it is. */
int inflow_offer(struct inflow *inflow, const void *bytes, size_t length);
/* Until when the connection is better left alone: a reader that is only slow takes the bytes in a
 * moment, and the kernel holds what comes until then; libssh would copy it, into more and more
 * memory. CLOCK_NEVER: it is not. Soon it is read whatever becomes of the bytes, or nobody would
 * answer the other side's keepalives. */
int64_t inflow_pause_ms(const struct inflow *inflow);
/* Offers what there is until some of it is not taken or nothing is left. -1: libssh fails. */
int inflow_flush(struct inflow *inflow);

#define KEEPALIVE_MISSES 3

struct keepalive {
    struct ssh_link *link;
    int64_t period_ms, next_ms;
    bool asked;
    int missed;
    struct ssh_counter_struct received; /* raw bytes of the socket */
    uint64_t seen_bytes;
};

/* 'period_ms' 0: it never asks. The struct must stay where it is until keepalive_end(). */
void keepalive_begin(struct keepalive *keepalive, struct ssh_link *link, int64_t period_ms);
void keepalive_end(struct keepalive *keepalive);
/* Asks when it is time to. -1: too many questions without any sign of life. */
int keepalive_check(struct keepalive *keepalive, struct error *err)
    __attribute__((warn_unused_result));
int64_t keepalive_deadline_ms(const struct keepalive *keepalive);

#endif
