/* SPDX-License-Identifier: MIT */
/* AWS JSON 1.1: POST to "/", the operation in X-Amz-Target, JSON both ways. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/aws/client.h"
#include "driver/aws/exchange.h"

#define ECS_TARGET  "AmazonEC2ContainerServiceV20141113"
#define ECR_TARGET  "AmazonEC2ContainerRegistry_V20150921"
#define LOGS_TARGET "Logs_20140328"

static cJSON *read_answer(const char *body, size_t length, struct error *err)
{
    cJSON *answer = body == NULL ? NULL : cJSON_ParseWithLength(body, length);
    if (!cJSON_IsObject(answer)) {
        cJSON_Delete(answer);
        (void)error_set(err, ERROR_PEER, 0, "not a JSON object (%zu bytes)", length);
        return NULL;
    }
    return answer;
}

static const struct aws_protocol protocol = {
    .read_answer = read_answer,
    .read_error = aws_error_body_read_json,
};

/* 'call' has service, region and operation. */
static int run(struct aws_client *client, const struct aws_exchange *call, const char *target,
               const cJSON *request, int64_t deadline_ms, cJSON **out_answer,
               struct aws_failure *out_failure, struct error *err)
{
    char header[128];
    char *body = cJSON_PrintUnformatted(request);
    if (body == NULL) {
        *out_failure = (struct aws_failure){0};
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write a request to %s",
                         aws_service_row(call->service)->label);
    }
    (void)snprintf(header, sizeof(header), "X-Amz-Target: %s.%s", target, call->operation);
    struct aws_exchange exchange = *call;
    exchange.content_type = "application/x-amz-json-1.1";
    exchange.target = header;
    exchange.body = body;
    exchange.body_length = strlen(body);
    exchange.protocol = &protocol;
    int result = aws_client_call(client, &exchange, deadline_ms, out_answer, out_failure, err);
    cJSON_free(body);
    return result;
}

int aws_ecs(struct aws_client *client, const char *operation, const cJSON *request,
            int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
            struct error *err)
{
    struct aws_exchange call = {.service = AWS_SERVICE_ECS, .operation = operation};
    return run(client, &call, ECS_TARGET, request, deadline_ms, out_answer, out_failure, err);
}

int aws_ecr(struct aws_client *client, const char *region, const char *operation,
            const cJSON *request, int64_t deadline_ms, cJSON **out_answer,
            struct aws_failure *out_failure, struct error *err)
{
    struct aws_exchange call = {
        .service = AWS_SERVICE_ECR, .region = region, .operation = operation};
    return run(client, &call, ECR_TARGET, request, deadline_ms, out_answer, out_failure, err);
}

int aws_logs(struct aws_client *client, const char *operation, const cJSON *request,
             int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
             struct error *err)
{
    struct aws_exchange call = {.service = AWS_SERVICE_LOGS, .operation = operation};
    return run(client, &call, LOGS_TARGET, request, deadline_ms, out_answer, out_failure, err);
}
