/* SPDX-License-Identifier: MIT */
/*
 * client.h - the definition of struct aws_client, for the files of this directory.
 *
 * aws_exchange_run() makes one call of AWS: endpoint, credentials, signature, attempts (standard
 * mode: three, full jitter, at most 20 s apart), one correction of the clock, one refresh of
 * expired credentials. The caller deletes the answer.
 */
#ifndef BERTH_DRIVER_AWS_CLIENT_H
#define BERTH_DRIVER_AWS_CLIENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "driver/aws/aws.h"
#include "driver/aws/credentials.h"
#include "driver/aws/failure.h"
#include "driver/aws/profile.h"
#include "driver/aws/service.h"
#include "driver/base/http.h"

#define AWS_ANSWER_CEILING_BYTES (8UL << 20)

struct aws_client {
    struct aws_options options;
    struct signals *signals; /* not owned, may be NULL */
    struct http *http;
    struct http *direct; /* without proxies, for metadata services; NULL until it is used */
    struct aws_profiles *profiles;
    char *ca_file; /* NULL: the system's */
    char region[AWS_REGION_BYTES];
    bool fips, dualstack, ignore_endpoints;
    int attempts; /* of one call */
    struct aws_credentials credentials;
    int64_t skew_s;  /* AWS's clock minus this machine's */
    bool skew_known; /* corrected once */
};

/* How a protocol parses answers. */
struct aws_protocol {
    cJSON *(*read_answer)(const char *body, size_t length, struct error *err);
    void (*read_error)(const char *body, size_t length, struct aws_error_body *out);
};

struct aws_exchange {
    enum aws_service service;
    const char *region; /* NULL: the client's */
    const char *operation;
    const char *content_type;
    const char *target; /* "X-Amz-Target: ..." or NULL */
    const char *body;
    size_t body_length;
    const struct aws_protocol *protocol;
    const struct aws_credentials *credentials; /* NULL: the client's own */
    bool unsigned_call;
};

int aws_exchange_run(struct aws_client *client, const struct aws_exchange *exchange,
                     int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
                     struct error *err) __attribute__((warn_unused_result));

/* The endpoint of this service in 'region' (NULL: the client's): a configured one, or AWS's. */
int aws_client_endpoint(const struct aws_client *client, enum aws_service service,
                        const char *region, struct aws_endpoint *out, struct error *err)
    __attribute__((warn_unused_result));

/* For addresses of this machine; owned by the client. NULL with 'err' on failure. */
struct http *aws_client_direct_http(struct aws_client *client, struct error *err);

/* The current time, corrected by the known skew. */
int64_t aws_client_now_s(const struct aws_client *client);

/* A variable of the environment; NULL: unset or empty. */
const char *aws_environment(const char *name);

#endif
