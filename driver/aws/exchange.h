/* SPDX-License-Identifier: MIT */
/*
 * exchange.h - one call of AWS with credentials that the caller has: endpoint, signature, attempts
 * (standard mode of the SDKs: three, full jitter, at most 20 s apart), one correction of the clock.
 *
 * Nothing in a struct is owned. The caller deletes the answer.
 */
#ifndef BERTH_DRIVER_AWS_EXCHANGE_H
#define BERTH_DRIVER_AWS_EXCHANGE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/aws/aws.h"
#include "driver/aws/credentials.h"
#include "driver/aws/failure.h"
#include "driver/aws/service.h"

#define AWS_ANSWER_CEILING_BYTES (8UL << 20)

/* How a protocol parses answers. */
struct aws_protocol {
    cJSON *(*read_answer)(const char *body, size_t length, struct error *err);
    void (*read_error)(const char *body, size_t length, struct aws_error_body *out);
};

/* What is sent. */
struct aws_exchange {
    enum aws_service service;
    const char *region; /* NULL: the client's */
    const char *operation;
    const char *content_type;
    const char *target; /* "X-Amz-Target: ..." or NULL */
    const char *body;
    size_t body_length;
    const struct aws_protocol *protocol;
};

/* A call and the state of its attempts. The caller sets the first four and zeroes the rest. */
struct aws_call {
    struct aws_client *client;
    const struct aws_exchange *exchange;
    const struct aws_credentials *credentials; /* NULL: none are sent */
    int64_t deadline_ms;
    struct aws_endpoint endpoint;
    int attempt; /* from 0 */
    struct aws_failure failure;
    enum aws_meaning meaning;
    bool expired; /* the credentials are, and an attempt is left */
    int64_t retry_after_ms;
};

/* Finds the endpoint. */
int aws_exchange_open(struct aws_call *call, struct error *err) __attribute__((warn_unused_result));

/* Makes attempts until one succeeds or none is left. After -1 with 'expired' it may be called again
 * with fresh credentials, for the remaining attempts. */
int aws_exchange_run(struct aws_call *call, cJSON **out_answer, struct error *err)
    __attribute__((warn_unused_result));

#endif
