/* SPDX-License-Identifier: MIT */
/*
 * server.h - host key and algorithms of the SSH server, set up in init and inherited by sessions.
 *
 * The host key is Ed25519, from a seed of 32 bytes or random. Algorithms are explicit lists, so
 * that an update of libssh does not change them. No configuration file is read.
 */
#ifndef BERTH_AGENT_SESSION_SERVER_H
#define BERTH_AGENT_SESSION_SERVER_H

#include <libssh/libssh.h>
#include <libssh/server.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/* Accepted signature algorithms of logins; authorized_keys.h has the keys. */
#define SERVER_SIGNATURES                                                                   \
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512," \
    "rsa-sha2-256"

struct server {
    ssh_bind bind;
    char fingerprint[64]; /* "SHA256:..." of the host key */
    const char *origin;   /* of the host key, for the log */
};

/* 'seed_base64' may be NULL. Fails with ERROR_USAGE for an invalid seed. */
int server_open(const char *seed_base64, struct server *out_server, struct error *err)
    __attribute__((warn_unused_result));

/* Whether SERVER_SIGNATURES has the algorithm, whose name need not be terminated. */
bool server_accepts_signature(const unsigned char *name, size_t length);

/* Wipes and frees the host key; also in forked processes that do not need it. */
void server_close(struct server *server);

#endif
