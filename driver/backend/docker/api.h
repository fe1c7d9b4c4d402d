/* SPDX-License-Identifier: MIT */
/*
 * api.h - requests to one Docker Engine.
 *
 * docker_open() finds the engine ([Docker] Host, DOCKER_HOST, the usual sockets) and sends nothing.
 * Requests use API 1.41, or the oldest that the engine supports once it has rejected that: an
 * engine executes two programs to report its version, so it is read only then, or by
 * docker_identify(), which takes at most 15 s, or until the deadline. The caller closes it with
 * docker_close(), which accepts NULL. Without an answer, calls fail with ERROR_SYSTEM; an answer of
 * any status is success of docker_call(), while docker_expect() turns 400 and above into an error
 * with the engine's message. Request bodies are wiped: they hold the host key's seed. API: Docker
 * Engine API v1.41, docs.docker.com/engine/api.
 */
#ifndef BERTH_DRIVER_BACKEND_DOCKER_API_H
#define BERTH_DRIVER_BACKEND_DOCKER_API_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/base/http.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"

#define DOCKER_URL_BYTES 2368

struct docker {
    const struct config *config;
    struct signals *signals; /* may be NULL */
    struct http *http;
    char shown[256];    /* "unix:///var/run/docker.sock", for people */
    char base[320];     /* "http://docker" */
    char api[16];       /* "/v1.41" */
    char machine[256];  /* host name of a TCP engine; empty: this machine, over a socket */
    bool identified;    /* the next two were read, and 'api' is a version of the engine */
    char version[64];   /* of the engine */
    char processor[32]; /* of the engine, such as "amd64"; empty: unknown */
};

int docker_open(const struct config *config, struct signals *signals, struct docker **out_docker,
                struct error *err) __attribute__((warn_unused_result));
/* One more connection to the same engine, with the version of the API that 'known' uses. */
int docker_open_again(const struct docker *known, struct docker **out_docker, struct error *err)
    __attribute__((warn_unused_result));
/* Reads version and processor, once. ERROR_USAGE if the engine is too old. */
int docker_identify(struct docker *docker, int64_t deadline_ms, struct error *err)
    __attribute__((warn_unused_result));
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
/* With a body of bytes, or a streamed answer; 'request' has the path as its URL. */
int docker_raw(struct docker *docker, struct http_request *request, struct http_answer *answer,
               struct error *err) __attribute__((warn_unused_result));

/* A POST without a body whose answer is waited for later: docker_finish() must follow
 * docker_begin(), which has taken the request, and nothing else with this 'docker' before it. */
struct docker_pending {
    char url[DOCKER_URL_BYTES];
    struct http_request request;
    struct http_answer answer;
};
int docker_begin(struct docker *docker, const char *path, int64_t deadline_ms,
                 struct docker_pending *pending, struct error *err)
    __attribute__((warn_unused_result));
/* Returns what docker_expect() does. */
int docker_finish(struct docker *docker, struct docker_pending *pending, struct error *err)
    __attribute__((warn_unused_result));

/* Turns an error answer into an error; returns -1. ERROR_USAGE if the request is wrong,
 * ERROR_SYSTEM if a retry may help. Callers for which a missing object is a mistake check the
 * status first. 'answer' and 'body' may be NULL. */
int docker_refused(int status, const cJSON *answer, const char *method, const char *path,
                   struct error *err);
int docker_refused_text(int status, const char *body, const char *method, const char *path,
                        struct error *err);

/* A path whose arguments for each '%s' are percent-encoded (RFC 3986 2.1). Returns -1 if it is
 * longer than 'room'. */
int docker_path(char *out, size_t room, const char *format, ...);

#endif
