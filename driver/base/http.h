/* SPDX-License-Identifier: MIT */
/*
 * http.h - one HTTP request over libcurl, for AWS and for the Docker Engine.
 *
 * http_call() blocks until the response is complete, the deadline passes, the response passes its
 * ceiling, or a request to stop comes in. It follows no redirects, keeps no cookies, reads no
 * .netrc, and logs neither headers nor bodies. A response of any HTTP status is success; -1 means
 * that there was none, and 'failure' says whether the request may have arrived. Connections are
 * reused within one struct http; when the server has closed one, libcurl sends the request again
 * over a new one. Proxies come from the environment as libcurl reads it: http_proxy, HTTPS_PROXY,
 * ALL_PROXY, NO_PROXY.
 *
 * The caller makes and frees the struct; http_free() accepts NULL. Times are milliseconds, the
 * deadline absolute (clock.h). Errors name scheme and host of the URL, never its path, which can
 * hold a token.
 */
#ifndef BERTH_DRIVER_BASE_HTTP_H
#define BERTH_DRIVER_BASE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/base/signals.h"

struct http; /* connections and TLS state */

struct http_options {
    const char *unix_socket;      /* path; NULL: TCP to the URL's host */
    const char *ca_file;          /* PEM; NULL: SSL_CERT_FILE, or the system's bundle */
    const char *certificate_file; /* PEM of a client certificate and its key; NULL: none */
    const char *key_file;
    bool no_proxy; /* ignore the environment's proxy settings: for metadata services and sockets */
    int64_t connect_ms;
};

/* AWS Signature Version 4, by libcurl. A header "X-Amz-Date: yyyymmddThhmmssZ" of the request
 * replaces the machine's clock; every header of the request is signed, a session token too. */
struct http_signing {
    const char *region, *service;
    const char *key_id, *secret; /* libcurl keeps copies until the exchange is over */
};

/* A header of the response that the caller needs; empty when it is missing. */
struct http_field {
    const char *name;
    char value[128];
    /* Instead of 'value', for long ones; repeated headers are joined by ", ". One that does not fit
     * is left empty. NULL: 'value' is used. */
    char *text;
    size_t room;
};

struct http_part {
    const void *bytes;
    size_t length;
};

struct http_request {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value", NULL at the end; may be NULL. May hold secrets */
    const void *body;           /* may be NULL */
    size_t body_length;
    const struct http_part *parts; /* instead of 'body': sent one after the other; may be NULL */
    size_t part_count;
    int64_t deadline_ms;
    int64_t stall_ms;                   /* longest time without a byte either way; 0: no limit */
    struct signals *signals;            /* may be NULL */
    const struct http_signing *signing; /* NULL: not signed */
    /* Called with the response's bytes as they come when the status is below 300, instead of
     * collecting them; -1 aborts the request. May be NULL. */
    int (*on_bytes)(void *context, const char *bytes, size_t length);
    void *context;
    /* Called with each address before a connection to it is opened; false: it is not opened.
     * Connections that exist are reused without a call: use one struct http for one rule. With a
     * proxy the address is the proxy's. May be NULL. */
    bool (*may_connect)(void *context, const struct sockaddr *address);
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
    char date[HTTP_DATE_BYTES]; /* the Date header; empty: none */
    int64_t retry_after_ms;     /* 0: no such header */
    enum http_failure failure;
};

struct http *http_new(const struct http_options *options, struct error *err);
void http_free(struct http *http);

int http_call(struct http *http, const struct http_request *request, struct http_answer *answer,
              struct error *err) __attribute__((warn_unused_result));

/* The same in two halves: http_begin() returns when the request is on its way, after which
 * http_finish() must be called, and nothing else with this struct before it. Until then the caller
 * keeps request and answer. */
int http_begin(struct http *http, const struct http_request *request, struct http_answer *answer,
               struct error *err) __attribute__((warn_unused_result));
int http_finish(struct http *http, struct error *err) __attribute__((warn_unused_result));

#endif
