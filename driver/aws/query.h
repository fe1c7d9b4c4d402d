/* SPDX-License-Identifier: MIT */
/*
 * query.h - calls of the query protocol with credentials other than the client's, or without: for
 * credentials from STS.
 */
#ifndef BERTH_DRIVER_AWS_QUERY_H
#define BERTH_DRIVER_AWS_QUERY_H

#include "driver/aws/client.h"

struct aws_query {
    enum aws_service service;
    const char *operation;
    const char *const *parameters;             /* as in aws_query() */
    const struct aws_credentials *credentials; /* NULL: the client's own */
    bool unsigned_call;
};

int aws_query_run(struct aws_client *client, const struct aws_query *query, int64_t deadline_ms,
                  cJSON **out_answer, struct aws_failure *out_failure, struct error *err)
    __attribute__((warn_unused_result));

#endif
