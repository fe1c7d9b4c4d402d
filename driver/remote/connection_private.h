/* SPDX-License-Identifier: MIT */
/*
 * connection_private.h - what connection.c shares with the code that runs commands over a
 * connection: channel_loop.c, exec.c and attachment.c.
 */
#ifndef BERTH_DRIVER_REMOTE_CONNECTION_PRIVATE_H
#define BERTH_DRIVER_REMOTE_CONNECTION_PRIVATE_H

#include <libssh/libssh.h>

#include "driver/remote/connection.h"

/* Detects floods. libssh reads whatever comes, keeps replies that are never read and messages that
 * were not requested, and has no ceiling of its own. */
struct ssh_traffic {
    struct ssh_counter_struct socket;  /* raw bytes */
    struct ssh_counter_struct packets; /* both are counted by libssh */
    uint64_t with_output;              /* packets that carried a job's output */
    bool logged_in;
    bool flooded;        /* final: the connection is not used any more */
    int64_t level, seen; /* useless packets, as a leaky bucket, and how many were seen */
    int64_t leaked_ms;   /* until when the bucket was drained */
};

struct ssh_connection {
    ssh_session session;
    char name[128]; /* "HOST port PORT", for messages */
    char learned[SSH_HOST_KEY_BYTES];
    struct ssh_traffic traffic;
    int64_t login_ms; /* how long it took */
};

/* Call this for each packet that carries a job's output. */
static inline void ssh_connection_count_output(struct ssh_connection *connection)
{
    connection->traffic.with_output++;
}

/* Waits until the session has something to do, at most until the deadline. Returns -1 with 'err'
 * for the deadline, a request to stop, or a lost connection. */
int ssh_connection_wait(struct ssh_connection *connection, struct signals *signals,
                        int64_t deadline_ms, struct error *err) __attribute__((warn_unused_result));

/* Whether the connection is up and not flooded. libssh reports a broken connection by nothing but
 * this. Cheap enough for each turn of a loop. */
bool ssh_connection_healthy(struct ssh_connection *connection);
/* Why it is not healthy. */
const char *ssh_connection_failure(const struct ssh_connection *connection);

#endif
