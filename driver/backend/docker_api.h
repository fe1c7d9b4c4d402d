/* SPDX-License-Identifier: MIT */
/*
 * docker_api.h - calls of one Docker Engine: where it is, which version is spoken, what it answers.
 *
 * docker_open() finds the engine ([Docker] Host, DOCKER_HOST, the usual sockets), asks for its
 * version and speaks 1.41, or the engine's oldest where that is newer. The caller closes it with
 * docker_close(), which accepts NULL. A call that got no answer is -1 of kind ERROR_SYSTEM; an
 * answer of any status is success of docker_call(), while docker_expect() turns 400 and above into
 * an error with the engine's own words. Request bodies are wiped: they carry the host key's seed.
 * API: Docker Engine API v1.41, docs.docker.com/engine/api.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_API_H
#define BERTH_DRIVER_BACKEND_DOCKER_API_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/config.h"
#include "driver/http.h"
#include "driver/signals.h"

struct docker {
    const struct config *config;
    struct signals *signals; /* may be NULL */
    struct http *http;
    char shown[256];   /* "unix:///var/run/docker.sock", for people */
    char base[320];    /* "http://docker/v1.41" */
    char machine[256]; /* host name of a TCP engine; empty: this machine, over a socket */
    char version[64];  /* of the engine */
};

int docker_open(const struct config *config, struct signals *signals, struct docker **out_docker,
                struct error *err) __attribute__((warn_unused_result));
void docker_close(struct docker *docker);

/* 'path' begins with '/' and is encoded already; 'body' may be NULL and stays the caller's;
 * 'out_answer' may be NULL, else the caller deletes it, and gets NULL for an answer without JSON.
 */
int docker_call(struct docker *docker, const char *method, const char *path, const cJSON *body,
                int64_t deadline_ms, int *out_status, cJSON **out_answer, struct error *err)
    __attribute__((warn_unused_result));
int docker_expect(struct docker *docker, const char *method, const char *path, const cJSON *body,
                  int64_t deadline_ms, cJSON **out_answer, struct error *err)
    __attribute__((warn_unused_result));
/* With a body of bytes, or an answer that is a stream; 'request' has the path as its URL. */
int docker_raw(struct docker *docker, struct http_request *request, struct http_answer *answer,
               struct error *err) __attribute__((warn_unused_result));

/* Turns the answer to a refused call into an error; returns -1. */
int docker_refused(int status, const char *body, const char *method, const char *path,
                   struct error *err);

/* A path with texts put in place of each '%s', encoded as RFC 3986 2.1 says. Returns -1 when it
 * is longer than 'room'. */
int docker_path(char *out, size_t room, const char *format, ...);

#endif
