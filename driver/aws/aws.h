/* SPDX-License-Identifier: MIT */
/*
 * aws.h - calls of AWS APIs: signed (SigV4), retried, with deadlines.
 *
 * A client finds region, endpoints and credentials by itself and refreshes the latter.
 * aws_client_new() creates it and aws_client_free() frees it; the latter accepts NULL and wipes the
 * keys. An answer with an AWS error code is -1, with the code in 'failure' and service, operation,
 * code, AWS's text and request id in the message, never a credential.
 * Protocols: AWS JSON 1.1 and the query protocol, as in the services' API references.
 */
#ifndef BERTH_DRIVER_AWS_AWS_H
#define BERTH_DRIVER_AWS_AWS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/base/signals.h"

struct aws_client;

struct aws_failure {
    int status;      /* of HTTP; 0: no answer */
    char code[96];   /* "ClusterNotFoundException"; empty: no valid AWS answer */
    bool maybe_done; /* the call may have taken effect */
    bool permanent;  /* a retry cannot fix it: wrong name, missing permission */
};

/* The texts are not owned and must outlive the client. */
struct aws_options {
    const char *region;        /* NULL: as the SDKs choose one */
    const char *profile;       /* the same */
    char *const *session_tags; /* "key=value" each, for an assumed role */
    size_t session_tag_count;
};

/* 'signals' may be NULL; a request to stop ends waits and calls. */
struct aws_client *aws_client_new(const struct aws_options *options, struct signals *signals,
                                  struct error *err);
void aws_client_free(struct aws_client *client);
const char *aws_client_region(const struct aws_client *client);
/* A word for the credentials as they are configured, without a call: two clients of one word use
 * the same account. Another word may be the same account, too: a changed key, a second profile. */
#define AWS_IDENTITY_BYTES 33
void aws_client_identity(const struct aws_client *client, char out[AWS_IDENTITY_BYTES]);
/* The same for one login, region and endpoint of ECS: two clients of one word get the same answers.
 * Empty: unknown. */
#define AWS_SCOPE_BYTES 33
void aws_client_scope(const struct aws_client *client, char out[AWS_SCOPE_BYTES]);
/* After a call: the source of its credentials, for messages, and how far AWS's clock is ahead of
 * this machine's, if a call was refused for that. */
const char *aws_client_source(const struct aws_client *client);
int64_t aws_client_skew_s(const struct aws_client *client);

/* ECS, in AWS JSON 1.1. The caller keeps 'request' and deletes *out_answer. */
int aws_ecs(struct aws_client *client, const char *operation, const cJSON *request,
            int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
            struct error *err) __attribute__((warn_unused_result));

/* ECR of 'region', as in the registry's name; NULL: the client's. */
int aws_ecr(struct aws_client *client, const char *region, const char *operation,
            const cJSON *request, int64_t deadline_ms, cJSON **out_answer,
            struct aws_failure *out_failure, struct error *err) __attribute__((warn_unused_result));

/* CloudWatch Logs. */
int aws_logs(struct aws_client *client, const char *operation, const cJSON *request,
             int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
             struct error *err) __attribute__((warn_unused_result));

/* GET of a presigned address, without the client's credentials. The caller gives 'out_body' a
 * ceiling and frees it in any case. */
int aws_download(struct aws_client *client, const char *url, int64_t deadline_ms,
                 struct buffer *out_body, struct error *err) __attribute__((warn_unused_result));

enum aws_query_service { AWS_EC2, AWS_STS, AWS_IAM };

/* Query protocol: 'parameters' are name, value, name, value, NULL. The XML answer becomes a cJSON
 * tree, see xml.h. */
int aws_query(struct aws_client *client, enum aws_query_service service, const char *operation,
              const char *const *parameters, int64_t deadline_ms, cJSON **out_answer,
              struct aws_failure *out_failure, struct error *err)
    __attribute__((warn_unused_result));

#endif
