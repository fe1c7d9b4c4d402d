/* SPDX-License-Identifier: MIT */
#include "driver/aws/failure.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/json.h"

static const struct {
    const char *code;
    enum aws_meaning meaning;
} codes[] = {
    {"BandwidthLimitExceeded", AWS_THROTTLED},
    {"EC2ThrottledException", AWS_THROTTLED},
    {"LimitExceededException", AWS_THROTTLED},
    {"PriorRequestNotComplete", AWS_THROTTLED},
    {"ProvisionedThroughputExceededException", AWS_THROTTLED},
    {"RequestLimitExceeded", AWS_THROTTLED},
    {"RequestThrottled", AWS_THROTTLED},
    {"RequestThrottledException", AWS_THROTTLED},
    {"SlowDown", AWS_THROTTLED},
    {"ThrottledException", AWS_THROTTLED},
    {"Throttling", AWS_THROTTLED},
    {"ThrottlingException", AWS_THROTTLED},
    {"TooManyRequestsException", AWS_THROTTLED},
    {"TransactionInProgressException", AWS_THROTTLED},
    {"RequestTimeout", AWS_TRANSIENT},
    {"RequestTimeoutException", AWS_TRANSIENT},
    {"IDPCommunicationError", AWS_TRANSIENT}, /* STS could not reach the identity provider */
    {"ExpiredToken", AWS_EXPIRED},
    {"ExpiredTokenException", AWS_EXPIRED},
    {"TokenRefreshRequired", AWS_EXPIRED},
    {"AuthFailure", AWS_CLOCK}, /* EC2 also uses it for a signature mismatch */
    {"InvalidSignatureException", AWS_CLOCK},
    {"RequestExpired", AWS_CLOCK},
    {"RequestInTheFuture", AWS_CLOCK},
    {"RequestTimeTooSkewed", AWS_CLOCK},
    {"SignatureDoesNotMatch", AWS_CLOCK},
    {"AccessDenied", AWS_NOT_ALLOWED},
    {"AccessDeniedException", AWS_NOT_ALLOWED},
    {"UnauthorizedOperation", AWS_NOT_ALLOWED},
};

enum aws_meaning aws_meaning(int status, const char *code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(codes[i].code, code) == 0) {
            return codes[i].meaning;
        }
    }
    switch (status) {
    case 429: /* from a proxy */
        return AWS_THROTTLED;
    case 500:
    case 502:
    case 503:
    case 504:
        return AWS_TRANSIENT;
    default:
        return AWS_FINAL;
    }
}

void aws_error_body_set_code(struct aws_error_body *out, const char *raw)
{
    const char *hash = strchr(raw, '#');
    const char *start = hash == NULL ? raw : hash + 1;
    (void)snprintf(out->code, sizeof(out->code), "%.*s", (int)strcspn(start, ":"), start);
}

void aws_error_body_read_json(const char *body, size_t length, struct aws_error_body *out)
{
    cJSON *answer = body == NULL ? NULL : cJSON_ParseWithLength(body, length);
    const char *code = json_text_at(answer, "__type");
    const char *text = json_text_at(answer, "message");
    code = code != NULL ? code : json_text_at(answer, "code");
    text = text != NULL ? text : json_text_at(answer, "Message");
    if (code != NULL && out->code[0] == '\0') {
        aws_error_body_set_code(out, code);
    }
    if (text != NULL) {
        (void)snprintf(out->text, sizeof(out->text), "%s", text);
    }
    cJSON_Delete(answer);
}
