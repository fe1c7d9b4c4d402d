/* SPDX-License-Identifier: MIT */
/*
 * connection.h - one SSH connection to a task.
 *
 * ssh_connection_open() connects, retries with a back-off, compares the host key with the one that
 * this job expects BEFORE it offers any key of its own, and logs in. exec.h and attachment.h run
 * commands over it. Times are milliseconds, deadlines absolute (clock.h); bytes that come in do not
 * extend them. A server that floods the connection is dropped: it can take a few MiB of memory at
 * most. No file of the machine or of the user is read.
 *
 * ssh_connection_free() closes the connection; the agent then ends the plain commands that still
 * run on it. Errors: ERROR_PEER when the other side is not the task or refuses us, ERROR_SYSTEM
 * for a lost or unreachable task.
 */
#ifndef BERTH_DRIVER_REMOTE_CONNECTION_H
#define BERTH_DRIVER_REMOTE_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/record/keys.h"

struct ssh_target {
    const char *host; /* numeric address */
    int port;
    const char *username;
    const unsigned char *user_seed, *host_seed; /* keys.h */
    /* Host keys: the one of 'host_seed', or else the one of 'pinned' ("TYPE BASE64", NULL
     * or empty: none), or else any, when 'learn' says so: ssh_connection_learned_key() then names
     * it. */
    const char *pinned;
    bool learn;
};

#define SSH_HOST_KEY_BYTES 1024 /* "TYPE BASE64"; RSA with 4096 bits takes 730 */

/* How long to try, and what to retry. */
struct ssh_retry {
    int64_t deadline_ms;
    int64_t last_try_ms; /* no try begins after this; one that has begun may go on */
    /* The task was reached before: every failed try is repeated, unless the server is another one.
     * Otherwise only tries that get no SSH server: refused connections, a server that is starting.
     */
    bool reached_before;
    /* Called between two tries; -1 with 'err': the task has ended, so give up. */
    int (*alive)(void *context, struct error *err);
    void *context;
};

struct ssh_connection;

/* Retries until the deadline or the last try (errno ETIMEDOUT), a request to stop (EINTR), or a
 * failure that a retry cannot fix. 'signals' may be NULL. */
int ssh_connection_open(const struct ssh_target *target, const struct ssh_retry *retry,
                        struct signals *signals, struct ssh_connection **out_connection,
                        struct error *err) __attribute__((warn_unused_result));
void ssh_connection_free(struct ssh_connection *connection); /* accepts NULL */
/* The connection's descriptor; it stays the connection's. */
int ssh_connection_fd(const struct ssh_connection *connection);
/* How long its login took, from the TCP connection on. */
int64_t ssh_connection_login_ms(const struct ssh_connection *connection);
/* The host key that was accepted at first sight, "TYPE BASE64"; empty: it was known. */
const char *ssh_connection_learned_key(const struct ssh_connection *connection);

#endif
