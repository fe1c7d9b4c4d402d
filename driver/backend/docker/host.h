/* SPDX-License-Identifier: MIT */
/*
 * host.h - where the Docker Engine is: [Docker] Host, DOCKER_HOST, else the usual sockets.
 *
 * unix://PATH and tcp://HOST[:PORT], with TLS for [Docker] TLSVerify or DOCKER_TLS_VERIFY and the
 * three files ca.pem, cert.pem, key.pem of [Docker] CertPath, DOCKER_CERT_PATH or ~/.docker, as
 * Docker's own client does. Mistakes are ERROR_USAGE, an engine that is not running ERROR_SYSTEM.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_HOST_H
#define BERTH_DRIVER_BACKEND_DOCKER_HOST_H

#include <limits.h>
#include <stdbool.h>

#include "driver/config/config.h"

struct docker_host {
    char shown[256];   /* for messages */
    char url[300];     /* for HTTP, without a path */
    char socket[108];  /* empty: TCP */
    char machine[256]; /* TCP: host name or address */
    bool tls;
    char ca_file[PATH_MAX], certificate_file[PATH_MAX], key_file[PATH_MAX];
};

int docker_host_find(const struct config *config, struct docker_host *out_host, struct error *err)
    __attribute__((warn_unused_result));

/* Checks that the socket can be used; TCP is not checked. */
int docker_host_probe(const struct docker_host *host, struct error *err)
    __attribute__((warn_unused_result));

#endif
