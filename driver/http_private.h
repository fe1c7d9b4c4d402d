/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of driver/http.h share: http.c runs an exchange, http_prepare.c tells libcurl
 * what to send, where to and whom to trust. Nobody else includes this.
 */
#ifndef BERTH_DRIVER_HTTP_PRIVATE_H
#define BERTH_DRIVER_HTTP_PRIVATE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "driver/http.h"

#define AUTHORITY_BYTES 300

struct http {
    CURLM *multi; /* owns the connections */
    CURL *easy;   /* reset before every exchange */
    char *unix_socket, *ca_file, *certificate_file, *key_file;
    bool no_proxy;
    long connect_ms;
};

/* One exchange. */
struct call {
    const struct http_request *request;
    struct http_answer *answer;
    CURL *easy;
    struct curl_slist *headers;
    char detail[CURL_ERROR_SIZE]; /* what libcurl says about a failure */
    char authority[AUTHORITY_BYTES];
    bool too_long; /* the answer's ceiling */
    bool refused;  /* by on_bytes */
    curl_off_t moved_bytes;
    int64_t moved_at_ms; /* the last time a byte went either way */
};

/* Sets the options of 'call->easy' that a request asks for, except who takes the answer. The header
 * list is left in 'call', which owns it, whatever this returns. 0, or -1 with 'err' filled in. See
 * curl_easy_setopt(3). */
int http_prepare(const struct http *http, struct call *call, struct error *err);

#endif
