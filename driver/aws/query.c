/* SPDX-License-Identifier: MIT */
#include "driver/aws/client.h"
#include "driver/aws/query_form.h"

int aws_query(struct aws_client *client, enum aws_query_service service, const char *operation,
              const char *const *parameters, int64_t deadline_ms, cJSON **out_answer,
              struct aws_failure *out_failure, struct error *err)
{
    struct aws_exchange exchange;
    struct buffer form;
    buffer_init(&form, AWS_QUERY_FORM_BYTES);
    int result =
        aws_query_form(&form, (enum aws_service)service, operation, parameters, &exchange, err);
    if (result < 0) {
        *out_failure = (struct aws_failure){0};
    } else {
        result = aws_client_call(client, &exchange, deadline_ms, out_answer, out_failure, err);
    }
    buffer_done(&form);
    return result;
}
