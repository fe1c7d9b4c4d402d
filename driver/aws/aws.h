/* SPDX-License-Identifier: MIT */
/*
 * aws.h - calls of AWS's interfaces, signed (SigV4), retried and under deadlines.
 *
 * A client holds region, endpoints and credentials, which it finds and refreshes by itself; it is
 * made by aws_client_new() and freed by aws_client_free(), which accepts NULL and wipes the keys.
 * An answer with an AWS error code is -1, with the code in 'failure' and the whole story in the
 * error's message (service, operation, code, AWS's text, request id; never a credential).
 * Protocols: AWS JSON 1.1 and the query protocol, as the services' API references state them.
 */
#ifndef BERTH_DRIVER_AWS_H
#define BERTH_DRIVER_AWS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/config.h"
#include "driver/signals.h"

struct aws_client;

struct aws_failure {
    int status;      /* of HTTP; 0: no answer */
    char code[96];   /* "ClusterNotFoundException"; empty: no answer, or one that is not AWS's */
    bool maybe_done; /* the call may have had its effect */
    bool permanent;  /* no retry can heal it: wrong name, missing permission */
};

/* 'signals' may be NULL; a request to stop ends waits and calls. */
struct aws_client *aws_client_new(const struct config *config, struct signals *signals,
                                  struct error *err);
void aws_client_free(struct aws_client *client);
const char *aws_client_region(const struct aws_client *client);
/* After a call: where its credentials came from, for people, and AWS's clock less ours as far as a
 * call was refused for it. */
const char *aws_client_source(const struct aws_client *client);
int64_t aws_client_skew_s(const struct aws_client *client);

/* AWS JSON 1.1: ECS. 'request' stays the caller's; the caller deletes *out_answer. */
int aws_ecs(struct aws_client *client, const char *operation, const cJSON *request,
            int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
            struct error *err) __attribute__((warn_unused_result));

/* ECR of 'region', which a registry's name tells; NULL: the client's. */
int aws_ecr(struct aws_client *client, const char *region, const char *operation,
            const cJSON *request, int64_t deadline_ms, cJSON **out_answer,
            struct aws_failure *out_failure, struct error *err) __attribute__((warn_unused_result));

/* GET of an address that AWS gave away and that carries its own permission: no credentials of ours
 * go with it. The caller has given 'out_body' a ceiling and is done with it in any case. */
int aws_download(struct aws_client *client, const char *url, int64_t deadline_ms,
                 struct buffer *out_body, struct error *err) __attribute__((warn_unused_result));

enum aws_query_service { AWS_EC2, AWS_STS, AWS_IAM };

/* Query protocol: 'parameters' are name, value, name, value, NULL. The XML answer comes as a tree
 * of cJSON objects: an element with children is an object, a leaf a string, and a list (the
 * elements 'item' or 'member') an array. */
int aws_query(struct aws_client *client, enum aws_query_service service, const char *operation,
              const char *const *parameters, int64_t deadline_ms, cJSON **out_answer,
              struct aws_failure *out_failure, struct error *err)
    __attribute__((warn_unused_result));

#endif
