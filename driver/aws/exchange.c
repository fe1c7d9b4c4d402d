/* SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/aws/client.h"

#define ATTEMPT_CEILING_MS  (60 * 1000)
#define STALL_MS            (25 * 1000)
#define BACKOFF_FIRST_MS    1000
#define BACKOFF_CEILING_MS  (20 * 1000)
#define SKEW_THRESHOLD_S    (5 * 60) /* what a signature's time may be off */
#define REFRESH_BEFORE_S    (15 * 60)
#define TOKEN_CEILING_BYTES (16UL << 10)

/* One call on its way through its attempts. */
struct course {
    struct aws_client *client;
    const struct aws_exchange *exchange;
    const struct aws_credentials *credentials; /* NULL: none are sent */
    struct aws_endpoint endpoint;
    int64_t deadline_ms;
    int attempt; /* from 0 */
    bool refreshed;
    struct aws_failure failure;
    enum aws_meaning meaning;
    int64_t retry_after_ms;
};

static void name_time(const struct aws_client *client, char out[32])
{
    time_t now = (time_t)aws_client_now_s(client);
    struct tm parts;
    (void)gmtime_r(&now, &parts);
    (void)strftime(out, 32, "X-Amz-Date: %Y%m%dT%H%M%SZ", &parts);
}

/* The header with the session token, in memory that is wiped; NULL: no memory. */
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

static int send_with_headers(struct course *course, const char *token_line,
                             struct http_field fields[2], struct http_answer *answer,
                             struct error *err)
{
    const struct aws_exchange *exchange = course->exchange;
    char time_line[32];
    char type_line[96];
    const char *headers[5] = {type_line};
    size_t count = 1;
    (void)snprintf(type_line, sizeof(type_line), "Content-Type: %s", exchange->content_type);
    if (exchange->target != NULL) {
        headers[count++] = exchange->target;
    }
    struct http_signing signing = {.region = course->endpoint.region,
                                   .service = aws_service_row(exchange->service)->name};
    if (course->credentials != NULL) {
        name_time(course->client, time_line);
        headers[count++] = time_line;
        signing.key_id = course->credentials->key_id;
        signing.secret = course->credentials->secret;
    }
    if (token_line != NULL) {
        headers[count++] = token_line;
    }
    struct http_request request = {
        .method = "POST",
        .url = course->endpoint.url,
        .headers = headers,
        .body = exchange->body,
        .body_length = exchange->body_length,
        .deadline_ms = clock_earlier_ms(course->deadline_ms, clock_deadline_ms(ATTEMPT_CEILING_MS)),
        .stall_ms = STALL_MS,
        .signals = course->client->signals,
        .signing = course->credentials == NULL ? NULL : &signing,
        .fields = fields,
        .field_count = 2,
    };
    return http_call(course->client->http, &request, answer, err);
}

static int send_once(struct course *course, struct http_field fields[2], struct http_answer *answer,
                     struct error *err)
{
    char *token_line = NULL;
    if (course->credentials != NULL && course->credentials->token != NULL) {
        token_line = token_header(course->credentials->token);
        if (token_line == NULL) {
            return error_set(err, ERROR_SYSTEM, 0, "cannot send a session token of %zu bytes",
                             strlen(course->credentials->token));
        }
    }
    int result = send_with_headers(course, token_line, fields, answer, err);
    sodium_free(token_line);
    return result;
}

/* No answer: whether another attempt can help. */
static void judge_silence(struct course *course, const struct http_answer *answer,
                          const struct error *err)
{
    course->failure.status = 0;
    course->failure.code[0] = '\0';
    course->failure.maybe_done |= answer->failure != HTTP_NOT_SENT;
    bool hopeless = answer->failure == HTTP_STOPPED || err->kind == ERROR_USAGE;
    course->meaning = hopeless ? AWS_FINAL : AWS_TRANSIENT;
    course->failure.permanent = err->kind == ERROR_USAGE;
}

/* Takes the time of the answer when ours is so far off that signatures are refused. Once. */
static bool correct_clock(struct course *course, const char *date)
{
    struct aws_client *client = course->client;
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

static void tell(const struct course *course, const struct aws_told *told, struct error *err)
{
    const struct aws_exchange *exchange = course->exchange;
    const char *service = aws_service_row(exchange->service)->name;
    int status = course->failure.status;
    char id[96] = "";
    if (told->request_id[0] != '\0') {
        (void)snprintf(id, sizeof(id), " (request %s)", told->request_id);
    }
    if (told->code[0] == '\0') {
        (void)error_set(err, ERROR_SYSTEM, 0,
                        "%s %s: HTTP %d from '%s', which is no answer of AWS%s", service,
                        exchange->operation, status, course->endpoint.url, id);
        return;
    }
    const char *hint =
        course->meaning == AWS_NOT_ALLOWED
            ? "; 'berth-driver doctor --policy' prints the policy that the runner needs"
            : "";
    (void)error_set(err, ERROR_SYSTEM, 0, "%s %s: %s%s%s%s%s", service, exchange->operation,
                    told->code, told->text[0] == '\0' ? "" : ": ", told->text, id, hint);
}

/* An answer that is an error. */
static void judge_error(struct course *course, const struct http_field fields[2],
                        const struct http_answer *answer, struct error *err)
{
    struct aws_told told = {0};
    if (fields[1].value[0] != '\0') {
        aws_told_set_code(&told, fields[1].value);
    }
    course->exchange->protocol->read_error(answer->body.bytes, answer->body.length, &told);
    if (told.request_id[0] == '\0') {
        (void)snprintf(told.request_id, sizeof(told.request_id), "%.63s", fields[0].value);
    }
    struct aws_failure *failure = &course->failure;
    failure->status = answer->status;
    (void)snprintf(failure->code, sizeof(failure->code), "%s", told.code);
    course->meaning = aws_meaning(answer->status, told.code);
    course->retry_after_ms = answer->retry_after_ms;
    failure->maybe_done |= answer->status >= 500;
    failure->permanent = (course->meaning == AWS_FINAL && answer->status >= 400 &&
                          answer->status < 500 && told.code[0] != '\0') ||
                         course->meaning == AWS_NOT_ALLOWED;
    tell(course, &told, err);
}

static int attempt(struct course *course, cJSON **out_answer, struct error *err)
{
    const struct aws_exchange *exchange = course->exchange;
    struct http_field fields[2] = {{.name = "x-amzn-RequestId"}, {.name = "x-amzn-ErrorType"}};
    struct http_answer answer = {.failure = HTTP_NOT_SENT};
    buffer_init(&answer.body, AWS_ANSWER_CEILING_BYTES);
    int64_t from_ms = clock_now_ms();
    course->retry_after_ms = 0;
    int result = send_once(course, fields, &answer, err);
    if (result < 0) {
        judge_silence(course, &answer, err);
        (void)error_wrap(err, "%s %s", aws_service_row(exchange->service)->name,
                         exchange->operation);
    } else if (answer.status == 200) {
        *out_answer = exchange->protocol->read_answer(answer.body.bytes, answer.body.length, err);
        if (*out_answer == NULL) {
            course->failure.status = answer.status;
            course->failure.maybe_done = true;
            course->meaning = AWS_TRANSIENT;
            result = error_wrap(err, "%s %s: the answer cannot be read",
                                aws_service_row(exchange->service)->name, exchange->operation);
        }
    } else {
        judge_error(course, fields, &answer, err);
        if (course->meaning == AWS_CLOCK && !correct_clock(course, answer.date)) {
            course->meaning = AWS_FINAL;
            course->failure.permanent = true;
        }
        result = -1;
    }
    log_debug("%s %s, attempt %d: HTTP %d%s%s after %lld ms",
              aws_service_row(exchange->service)->name, exchange->operation, course->attempt + 1,
              answer.status, course->failure.code[0] == '\0' ? "" : " ", course->failure.code,
              (long long)(clock_now_ms() - from_ms));
    buffer_done(&answer.body);
    return result;
}

/* The client's own credentials, found or refreshed when it is time. A refresh that fails while the
 * old ones still hold is tried again by the next call. */
static int refresh_credentials(struct aws_client *client, bool force, int64_t deadline_ms,
                               struct error *err)
{
    struct aws_credentials *held = &client->credentials;
    int64_t left_s = held->expires_s - aws_client_now_s(client);
    bool due = held->key_id == NULL || (held->expires_s != 0 && left_s < REFRESH_BEFORE_S);
    if (!due && !force) {
        return 0;
    }
    struct aws_credentials fresh = {0};
    if (aws_credentials_find(client, deadline_ms, &fresh, err) < 0) {
        if (held->key_id == NULL || force || left_s <= 0) {
            return -1;
        }
        log_warn("%s, using the credentials at hand, which hold for %lld s", err->message,
                 (long long)left_s);
        return 0;
    }
    aws_credentials_done(held);
    *held = fresh;
    log_debug("credentials from %s%s", held->source,
              held->expires_s == 0 ? "" : ", which will be refreshed");
    return 0;
}

static int choose_credentials(struct course *course, bool force, struct error *err)
{
    const struct aws_exchange *exchange = course->exchange;
    course->credentials = exchange->credentials;
    if (exchange->unsigned_call || exchange->credentials != NULL) {
        return 0;
    }
    if (refresh_credentials(course->client, force, course->deadline_ms, err) < 0) {
        course->failure.permanent = err->kind == ERROR_USAGE;
        return -1;
    }
    course->credentials = &course->client->credentials;
    return 0;
}

/* Full jitter: anything from nothing to the step's whole length. */
static int64_t backoff_ms(const struct course *course)
{
    int64_t step_ms = (int64_t)BACKOFF_FIRST_MS << course->attempt;
    step_ms = step_ms > BACKOFF_CEILING_MS ? BACKOFF_CEILING_MS : step_ms;
    int64_t wait_ms = (int64_t)randombytes_uniform((uint32_t)step_ms + 1);
    int64_t asked_ms =
        course->retry_after_ms > BACKOFF_CEILING_MS ? BACKOFF_CEILING_MS : course->retry_after_ms;
    return wait_ms > asked_ms ? wait_ms : asked_ms;
}

/* After a failed attempt: prepares the next. -1 when there is none, and 'err' stays what failed. */
static int prepare_next(struct course *course, struct error *err)
{
    if (course->attempt + 1 >= course->client->attempts) {
        return -1;
    }
    if (course->meaning == AWS_EXPIRED) {
        if (course->refreshed || course->exchange->credentials != NULL) {
            return -1;
        }
        course->refreshed = true;
        return choose_credentials(course, true, err);
    }
    if (course->meaning == AWS_CLOCK) {
        return 0;
    }
    if (course->meaning != AWS_THROTTLED && course->meaning != AWS_TRANSIENT) {
        return -1;
    }
    int64_t until_ms = clock_deadline_ms(backoff_ms(course));
    if (until_ms >= course->deadline_ms) {
        return -1;
    }
    if (signals_wait(course->client->signals, -1, until_ms) < 0) {
        return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
    }
    return 0;
}

static int run(struct course *course, cJSON **out_answer, struct error *err)
{
    const struct aws_exchange *exchange = course->exchange;
    if (aws_client_endpoint(course->client, exchange->service, exchange->region, &course->endpoint,
                            err) < 0) {
        course->failure.permanent = true;
        return -1;
    }
    if (choose_credentials(course, false, err) < 0) {
        return -1;
    }
    for (;; course->attempt++) {
        if (attempt(course, out_answer, err) == 0) {
            return 0;
        }
        if (prepare_next(course, err) < 0) {
            return -1;
        }
    }
}

int aws_exchange_run(struct aws_client *client, const struct aws_exchange *exchange,
                     int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
                     struct error *err)
{
    struct course course = {.client = client, .exchange = exchange, .deadline_ms = deadline_ms};
    int result = run(&course, out_answer, err);
    if (result < 0 && out_failure != NULL) {
        *out_failure = course.failure;
    }
    return result;
}
