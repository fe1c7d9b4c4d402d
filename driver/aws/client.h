/* SPDX-License-Identifier: MIT */
/*
 * client.h - the definition of struct aws_client, for the files of this directory.
 *
 * A call goes through aws_client_call() (client_call.c), which finds credentials (search.h) and
 * makes the exchange with them (exchange.h).
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

struct aws_exchange;

/* Makes the call with the client's credentials, which are found or refreshed before, and refreshed
 * once if AWS calls them expired. The caller deletes the answer. */
int aws_client_call(struct aws_client *client, const struct aws_exchange *exchange,
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
