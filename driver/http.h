/* SPDX-License-Identifier: MIT */
/*
 * http.h - one HTTP exchange over libcurl, for AWS and for the Docker Engine.
 *
 * http_call() blocks until the answer is complete, the deadline passes, the answer passes its
 * ceiling, or a request to stop comes in. It follows no redirects, keeps no cookies, reads no
 * .netrc, and logs neither headers nor bodies. An answer of any HTTP status is success; -1 is for
 * exchanges that got none, with a 'failure' that says whether the request can have arrived.
 * A connection is reused within one struct http, which the caller makes and frees; when the server
 * has closed it meanwhile, libcurl sends the request again over a new one. Proxies come from the
 * environment as libcurl reads it: http_proxy, HTTPS_PROXY, ALL_PROXY, NO_PROXY. Times are
 * milliseconds, the deadline absolute (clock.h). http_free() accepts NULL. Errors name scheme and
 * host of the URL, never its path, which can hold a token.
 */
#ifndef BERTH_DRIVER_HTTP_H
#define BERTH_DRIVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/signals.h"

struct http; /* connections and TLS state */

struct http_options {
    const char *unix_socket; /* path; NULL: TCP to the URL's host */
    const char *ca_file; /* PEM; NULL: SSL_CERT_FILE, or the bundle where this system keeps it */
    const char *certificate_file; /* PEM of a client certificate and its key; NULL: none */
    const char *key_file;
    bool no_proxy; /* the environment's proxy settings do not count: metadata services, sockets */
    int64_t connect_ms;
};

/* AWS Signature Version 4, by libcurl. A header "X-Amz-Date: yyyymmddThhmmssZ" of the request
 * replaces the machine's clock; every header of the request is signed, a session token too. */
struct http_signing {
    const char *region, *service;
    const char *key_id, *secret; /* libcurl keeps copies until the exchange is over */
};

/* A header of the answer that the caller wants to see; empty when it was not there. */
struct http_field {
    const char *name;
    char value[128];
};

struct http_request {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value", NULL at the end; may be NULL. May hold secrets */
    const void *body;           /* may be NULL */
    size_t body_length;
    int64_t deadline_ms;
    int64_t stall_ms;                   /* without a byte either way; 0: only the deadline counts */
    struct signals *signals;            /* may be NULL */
    const struct http_signing *signing; /* NULL: not signed */
    /* Called with the answer's bytes as they come when the status is below 300, instead of
     * collecting them; -1 ends the exchange. May be NULL. */
    int (*on_bytes)(void *context, const char *bytes, size_t length);
    void *context;
    struct http_field *fields; /* filled in; may be NULL */
    size_t field_count;
};

enum http_failure {
    HTTP_NOT_SENT = 1, /* no connection: the request cannot have had an effect */
    HTTP_MAYBE_SENT,   /* reset, stall or deadline on the way */
    HTTP_STOPPED,      /* by 'signals', on_bytes or a ceiling */
};

#define HTTP_DATE_BYTES 64

struct http_answer {
    int status;
    struct buffer body;         /* set its ceiling with buffer_init() before the call */
    char date[HTTP_DATE_BYTES]; /* the Date header, empty when there was none */
    int64_t retry_after_ms;     /* 0: not said */
    enum http_failure failure;
};

struct http *http_new(const struct http_options *options, struct error *err);
void http_free(struct http *http);

int http_call(struct http *http, const struct http_request *request, struct http_answer *answer,
              struct error *err) __attribute__((warn_unused_result));

#endif
