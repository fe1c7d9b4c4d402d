/* SPDX-License-Identifier: MIT */
/*
 * ssh.h - one SSH connection to a task, and one command on it.
 *
 * ssh_link_open() connects (again and again while the port refuses, until the deadline), compares
 * the host key with the one this job expects BEFORE it offers any key of its own, and logs in.
 * ssh_link_run() runs one command: bytes pass as they come, a reader that stops makes the task
 * stop, and a request to stop (signals.h) becomes TERM for the job, then KILL after the grace
 * period. Times are milliseconds, deadlines absolute (clock.h). The link is freed by the caller
 * with ssh_link_free(), which closes the connection; the agent then ends what still runs on it.
 * No file of the machine or of the user is read. Errors: ERROR_PEER when the other side is not
 * who it should be or refuses us, ERROR_SYSTEM for a lost or unreachable task.
 */
#ifndef BERTH_DRIVER_SSH_H
#define BERTH_DRIVER_SSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/keys.h"
#include "driver/signals.h"

struct ssh_target {
    const char *host; /* numeric address */
    int port;
    const char *username;
    const struct keys *keys;
    /* Host keys: the one of the seed in 'keys', or else the one of 'pinned' ("TYPE BASE64", NULL
     * or empty: none), or else any, when 'learn' says so: ssh_link_learned() then names it. */
    const char *pinned;
    bool learn;
};

#define SSH_HOST_KEY_BYTES 1024 /* "TYPE BASE64"; RSA with 4096 bits takes 730 */

/* Asked between two tries: -1 with 'err' when the task is gone, and waiting is pointless. */
struct ssh_watch {
    int (*alive)(void *context, struct error *err);
    void *context;
};

struct ssh_link;

/* 'watch' and 'signals' may be NULL. */
int ssh_link_open(const struct ssh_target *target, const struct ssh_watch *watch,
                  struct signals *signals, int64_t deadline_ms, struct ssh_link **out_link,
                  struct error *err) __attribute__((warn_unused_result));
void ssh_link_free(struct ssh_link *link); /* accepts NULL */
/* The host key that was taken unseen, "TYPE BASE64"; empty: it was known. */
const char *ssh_link_learned(const struct ssh_link *link);

struct ssh_request {
    const char *command;
    const void *input; /* sent first; may be NULL */
    size_t input_length;
    int input_fd;         /* then this descriptor until its end; -1: none */
    int64_t start_ms;     /* how long the task may take to accept the command */
    int64_t grace_ms;     /* from TERM to KILL when we are asked to stop */
    int64_t keepalive_ms; /* three unanswered ones: the link is lost. 0: never asked */
    struct signals *signals;
};

struct ssh_outcome {
    bool cancelled;  /* we were asked to stop; the job is confirmed dead */
    int status;      /* exit status when 'signal' is empty */
    char signal[32]; /* name without SIG */
};

/* Output goes to our descriptors 1 and 2. Success means an exit report came in and every byte
 * before it was written. */
int ssh_link_run(struct ssh_link *link, const struct ssh_request *request,
                 struct ssh_outcome *out_outcome, struct error *err)
    __attribute__((warn_unused_result));

#endif
