/* SPDX-License-Identifier: MIT */
/* AWS JSON 1.1: POST to "/", the operation in X-Amz-Target, JSON both ways. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/aws/client.h"

#define ECS_TARGET "AmazonEC2ContainerServiceV20141113"

static cJSON *read_answer(const char *body, size_t length, struct error *err)
{
    cJSON *answer = body == NULL ? NULL : cJSON_ParseWithLength(body, length);
    if (!cJSON_IsObject(answer)) {
        cJSON_Delete(answer);
        (void)error_set(err, ERROR_PEER, 0, "no JSON object in %zu bytes", length);
        return NULL;
    }
    return answer;
}

static const struct aws_protocol protocol = {
    .read_answer = read_answer,
    .read_error = aws_told_read_json,
};

int aws_ecs(struct aws_client *client, const char *operation, const cJSON *request,
            int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
            struct error *err)
{
    char target[128];
    char *body = cJSON_PrintUnformatted(request);
    if (body == NULL) {
        *out_failure = (struct aws_failure){0};
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write a request to ECS");
    }
    (void)snprintf(target, sizeof(target), "X-Amz-Target: " ECS_TARGET ".%s", operation);
    struct aws_exchange exchange = {
        .service = AWS_SERVICE_ECS,
        .operation = operation,
        .content_type = "application/x-amz-json-1.1",
        .target = target,
        .body = body,
        .body_length = strlen(body),
        .protocol = &protocol,
    };
    int result = aws_exchange_run(client, &exchange, deadline_ms, out_answer, out_failure, err);
    cJSON_free(body);
    return result;
}
