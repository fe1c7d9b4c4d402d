/* SPDX-License-Identifier: MIT */
/*
 * server.h - the SSH server's identity and algorithms, made once in init and inherited by every
 * session.
 *
 * Host key: Ed25519, from a seed of 32 bytes or random. Algorithms are explicit lists, so that a
 * new version of libssh changes nothing by itself; no file of the machine is read.
 */
#ifndef BERTH_AGENT_SESSION_SERVER_H
#define BERTH_AGENT_SESSION_SERVER_H

#include <libssh/libssh.h>
#include <libssh/server.h>

#include "common/error.h"

struct server {
    ssh_bind bind;
    char fingerprint[64]; /* "SHA256:..." of the host key */
    const char *origin;   /* where the host key came from, for the log */
};

/* 'seed_base64' may be NULL. Fails with ERROR_USAGE for a seed that is none. */
int server_open(const char *seed_base64, struct server *out_server, struct error *err)
    __attribute__((warn_unused_result));

/* Frees and wipes the host key; also for forked processes that have no business with it. */
void server_close(struct server *server);

#endif
