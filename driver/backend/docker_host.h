/* SPDX-License-Identifier: MIT */
/*
 * docker_host.h - where the Docker Engine is: [Docker] Host, DOCKER_HOST, else the usual sockets.
 *
 * unix://PATH and tcp://HOST[:PORT], with TLS for [Docker] TLSVerify or DOCKER_TLS_VERIFY and the
 * three files ca.pem, cert.pem, key.pem of [Docker] CertPath, DOCKER_CERT_PATH or ~/.docker, as
 * Docker's own client has them. Mistakes are ERROR_USAGE, an engine that is not there ERROR_SYSTEM.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_HOST_H
#define BERTH_DRIVER_BACKEND_DOCKER_HOST_H

#include <limits.h>
#include <stdbool.h>

#include "driver/config.h"

struct docker_host {
    char shown[256];   /* as a person would write it */
    char url[300];     /* for HTTP, without a path */
    char socket[108];  /* empty: TCP */
    char machine[256]; /* TCP: host name or address */
    bool tls;
    char ca_file[PATH_MAX], certificate_file[PATH_MAX], key_file[PATH_MAX];
};

int docker_host_find(const struct config *config, struct docker_host *out_host, struct error *err)
    __attribute__((warn_unused_result));

/* Says what is wrong with a socket that cannot be used, in words that help; TCP is not tried. */
int docker_host_probe(const struct docker_host *host, struct error *err)
    __attribute__((warn_unused_result));

#endif
