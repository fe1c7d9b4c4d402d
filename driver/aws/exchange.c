/* SPDX-License-Identifier: MIT */
#include "driver/aws/exchange.h"

#include <curl/curl.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/aws/client.h"
#include "driver/base/program.h"

#define ATTEMPT_CEILING_MS  (60 * 1000)
#define STALL_MS            (25 * 1000)
#define BACKOFF_FIRST_MS    1000
#define BACKOFF_CEILING_MS  (20 * 1000)
#define SKEW_THRESHOLD_S    (5 * 60) /* the tolerance of signatures */
#define TOKEN_CEILING_BYTES (16UL << 10)

static void name_time(const struct aws_client *client, char out[32])
{
    time_t now = (time_t)aws_client_now_s(client);
    struct tm parts;
    (void)gmtime_r(&now, &parts);
    (void)strftime(out, 32, "X-Amz-Date: %Y%m%dT%H%M%SZ", &parts);
}

/* The header with the session token, in memory that is wiped; NULL: out of memory. */
static char *token_header(const char *token)
{
    static const char name[] = "X-Amz-Security-Token: ";
    size_t size = sizeof(name) + strlen(token);
    char *line = size > TOKEN_CEILING_BYTES ? NULL : sodium_malloc(size);
    if (line != NULL) {
        (void)snprintf(line, size, "%s%s", name, token);
    }
    return line;
}

static int send_with_headers(struct aws_call *call, const char *token_line,
                             struct http_field fields[2], struct http_answer *answer,
                             struct error *err)
{
    const struct aws_exchange *exchange = call->exchange;
    char time_line[32];
    char type_line[96];
    const char *headers[5] = {type_line};
    size_t count = 1;
    (void)snprintf(type_line, sizeof(type_line), "Content-Type: %s", exchange->content_type);
    if (exchange->target != NULL) {
        headers[count++] = exchange->target;
    }
    struct http_signing signing = {.region = call->endpoint.region,
                                   .service = aws_service_row(exchange->service)->name};
    if (call->credentials != NULL) {
        name_time(call->client, time_line);
        headers[count++] = time_line;
        signing.key_id = call->credentials->key_id;
        signing.secret = call->credentials->secret;
    }
    if (token_line != NULL) {
        headers[count++] = token_line;
    }
    struct http_request request = {
        .method = "POST",
        .url = call->endpoint.url,
        .headers = headers,
        .body = exchange->body,
        .body_length = exchange->body_length,
        .deadline_ms = clock_earlier_ms(call->deadline_ms, clock_deadline_ms(ATTEMPT_CEILING_MS)),
        .stall_ms = STALL_MS,
        .signals = call->client->signals,
        .signing = call->credentials == NULL ? NULL : &signing,
        .fields = fields,
        .field_count = 2,
    };
    return http_call(call->client->http, &request, answer, err);
}

static int send_once(struct aws_call *call, struct http_field fields[2], struct http_answer *answer,
                     struct error *err)
{
    char *token_line = NULL;
    if (call->credentials != NULL && call->credentials->token != NULL) {
        token_line = token_header(call->credentials->token);
        if (token_line == NULL) {
            return error_set(err, ERROR_SYSTEM, 0, "cannot send a session token of %zu bytes",
                             strlen(call->credentials->token));
        }
    }
    int result = send_with_headers(call, token_line, fields, answer, err);
    sodium_free(token_line);
    return result;
}

/* Without an answer: decides whether another attempt may help. */
static void judge_no_answer(struct aws_call *call, const struct http_answer *answer,
                            const struct error *err)
{
    call->failure.status = 0;
    call->failure.code[0] = '\0';
    call->failure.maybe_done |= answer->failure != HTTP_NOT_SENT;
    bool hopeless = answer->failure == HTTP_STOPPED || err->kind == ERROR_USAGE;
    call->meaning = hopeless ? AWS_FINAL : AWS_TRANSIENT;
    call->failure.permanent = err->kind == ERROR_USAGE;
}

/* Adopts the time of the answer if this machine's clock is too far off for signatures. Once. */
static bool correct_clock(struct aws_call *call, const char *date)
{
    struct aws_client *client = call->client;
    time_t theirs = date[0] == '\0' ? -1 : curl_getdate(date, NULL);
    if (theirs < 0 || client->skew_known) {
        return false;
    }
    int64_t skew_s = (int64_t)theirs - aws_client_now_s(client);
    if (skew_s > -SKEW_THRESHOLD_S && skew_s < SKEW_THRESHOLD_S) {
        return false;
    }
    client->skew_s += skew_s;
    client->skew_known = true;
    log_warn("this machine's clock is %lld s %s AWS's, signing with AWS's time; set the clock",
             (long long)(skew_s < 0 ? -skew_s : skew_s), skew_s > 0 ? "behind" : "ahead of");
    return true;
}

static void set_error(const struct aws_call *call, const struct aws_error_body *body,
                      struct error *err)
{
    const struct aws_exchange *exchange = call->exchange;
    const char *service = aws_service_row(exchange->service)->name;
    int status = call->failure.status;
    char id[96] = "";
    if (body->request_id[0] != '\0') {
        (void)snprintf(id, sizeof(id), " (request %s)", body->request_id);
    }
    if (body->code[0] == '\0') {
        (void)error_set(err, ERROR_SYSTEM, 0,
                        "%s %s: HTTP %d from '%s', not a valid AWS response%s", service,
                        exchange->operation, status, call->endpoint.url, id);
        return;
    }
    (void)error_set(err, ERROR_SYSTEM, 0, "%s %s: %s%s%s%s", service, exchange->operation,
                    body->code, body->text[0] == '\0' ? "" : ": ", body->text, id);
    if (call->meaning == AWS_NOT_ALLOWED) {
        (void)error_hint(err, "%s", program_policy_hint());
    }
}

/* Handles an error answer. */
static void judge_error(struct aws_call *call, const struct http_field fields[2],
                        const struct http_answer *answer, struct error *err)
{
    struct aws_error_body body = {0};
    if (fields[1].value[0] != '\0') {
        aws_error_body_set_code(&body, fields[1].value);
    }
    call->exchange->protocol->read_error(answer->body.bytes, answer->body.length, &body);
    if (body.request_id[0] == '\0') {
        (void)snprintf(body.request_id, sizeof(body.request_id), "%.63s", fields[0].value);
    }
    struct aws_failure *failure = &call->failure;
    failure->status = answer->status;
    (void)snprintf(failure->code, sizeof(failure->code), "%s", body.code);
    call->meaning = aws_meaning(answer->status, body.code);
    call->retry_after_ms = answer->retry_after_ms;
    failure->maybe_done |= answer->status >= 500;
    failure->permanent = (call->meaning == AWS_FINAL && answer->status >= 400 &&
                          answer->status < 500 && body.code[0] != '\0') ||
                         call->meaning == AWS_NOT_ALLOWED;
    set_error(call, &body, err);
}

static int attempt(struct aws_call *call, cJSON **out_answer, struct error *err)
{
    const struct aws_exchange *exchange = call->exchange;
    struct http_field fields[2] = {{.name = "x-amzn-RequestId"}, {.name = "x-amzn-ErrorType"}};
    struct http_answer answer = {.failure = HTTP_NOT_SENT};
    buffer_init(&answer.body, AWS_ANSWER_CEILING_BYTES);
    int64_t from_ms = clock_now_ms();
    call->retry_after_ms = 0;
    int result = send_once(call, fields, &answer, err);
    if (result < 0) {
        judge_no_answer(call, &answer, err);
        (void)error_wrap(err, "%s %s", aws_service_row(exchange->service)->name,
                         exchange->operation);
    } else if (answer.status == 200) {
        *out_answer = exchange->protocol->read_answer(answer.body.bytes, answer.body.length, err);
        if (*out_answer == NULL) {
            call->failure.status = answer.status;
            call->failure.maybe_done = true;
            call->meaning = AWS_TRANSIENT;
            result = error_wrap(err, "%s %s: cannot parse the answer",
                                aws_service_row(exchange->service)->name, exchange->operation);
        }
    } else {
        judge_error(call, fields, &answer, err);
        if (call->meaning == AWS_CLOCK && !correct_clock(call, answer.date)) {
            call->meaning = AWS_FINAL;
            call->failure.permanent = true;
        }
        result = -1;
    }
    log_debug("%s %s, attempt %d: HTTP %d%s%s after %lld ms",
              aws_service_row(exchange->service)->name, exchange->operation, call->attempt + 1,
              answer.status, call->failure.code[0] == '\0' ? "" : " ", call->failure.code,
              (long long)(clock_now_ms() - from_ms));
    buffer_done(&answer.body);
    return result;
}

/* Full jitter: a random part of the step. */
static int64_t backoff_ms(const struct aws_call *call)
{
    int64_t step_ms = (int64_t)BACKOFF_FIRST_MS << call->attempt;
    step_ms = step_ms > BACKOFF_CEILING_MS ? BACKOFF_CEILING_MS : step_ms;
    int64_t wait_ms = (int64_t)randombytes_uniform((uint32_t)step_ms + 1);
    int64_t asked_ms =
        call->retry_after_ms > BACKOFF_CEILING_MS ? BACKOFF_CEILING_MS : call->retry_after_ms;
    return wait_ms > asked_ms ? wait_ms : asked_ms;
}

/* Prepares the next attempt after a failure. -1 if there is none, with 'err' unchanged. */
static int prepare_next(struct aws_call *call, struct error *err)
{
    if (call->attempt + 1 >= call->client->attempts) {
        return -1;
    }
    if (call->meaning == AWS_EXPIRED) {
        call->expired = true;
        return -1;
    }
    if (call->meaning == AWS_CLOCK) {
        return 0;
    }
    if (call->meaning != AWS_THROTTLED && call->meaning != AWS_TRANSIENT) {
        return -1;
    }
    int64_t until_ms = clock_deadline_ms(backoff_ms(call));
    if (until_ms >= call->deadline_ms) {
        return -1;
    }
    if (signals_wait(call->client->signals, -1, until_ms) < 0) {
        return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
    }
    return 0;
}

int aws_exchange_open(struct aws_call *call, struct error *err)
{
    const struct aws_exchange *exchange = call->exchange;
    if (aws_client_endpoint(call->client, exchange->service, exchange->region, &call->endpoint,
                            err) < 0) {
        call->failure.permanent = true;
        return -1;
    }
    return 0;
}

int aws_exchange_run(struct aws_call *call, cJSON **out_answer, struct error *err)
{
    call->attempt += call->expired ? 1 : 0;
    call->expired = false;
    for (;; call->attempt++) {
        if (attempt(call, out_answer, err) == 0) {
            return 0;
        }
        if (prepare_next(call, err) < 0) {
            return -1;
        }
    }
}
