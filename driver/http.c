/* SPDX-License-Identifier: MIT */
#include "driver/http_private.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"

#define CEILING_OF_SILENCE  (60 * 1000) /* how long one wait lasts at most */
#define RETRY_AFTER_CEILING (24LL * 3600 * 1000)

static int copy_text(char **out, const char *text)
{
    *out = text == NULL ? NULL : strdup(text);
    return text == NULL || *out != NULL ? 0 : -1;
}

static int copy_options(struct http *http, const struct http_options *options)
{
    http->no_proxy = options->no_proxy || options->unix_socket != NULL;
    http->connect_ms = options->connect_ms > 0 ? (long)options->connect_ms : 0;
    return copy_text(&http->unix_socket, options->unix_socket) < 0 ||
                   copy_text(&http->ca_file, options->ca_file) < 0 ||
                   copy_text(&http->certificate_file, options->certificate_file) < 0 ||
                   copy_text(&http->key_file, options->key_file) < 0
               ? -1
               : 0;
}

struct http *http_new(const struct http_options *options, struct error *err)
{
    /* Not at the start of the program: stages that make no call must not pay for it. libcurl
     * counts these calls, and the end of the process undoes them. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)error_set(err, ERROR_SYSTEM, 0, "cannot initialise libcurl");
        return NULL;
    }
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL || copy_options(http, options) < 0 ||
        (http->multi = curl_multi_init()) == NULL || (http->easy = curl_easy_init()) == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot prepare for HTTP");
        http_free(http);
        return NULL;
    }
    return http;
}

void http_free(struct http *http)
{
    if (http == NULL) {
        return;
    }
    curl_easy_cleanup(http->easy);
    if (http->multi != NULL) {
        (void)curl_multi_cleanup(http->multi);
    }
    free(http->unix_socket);
    free(http->ca_file);
    free(http->certificate_file);
    free(http->key_file);
    free(http);
}

/* "https://host:port" of a URL: without path and query, which can hold tokens, and without a
 * password. */
static void name_authority(const struct http *http, const char *url, char out[AUTHORITY_BYTES])
{
    const char *start = strstr(url, "://");
    if (http->unix_socket != NULL || start == NULL) {
        (void)snprintf(out, AUTHORITY_BYTES, "%s",
                       http->unix_socket != NULL ? http->unix_socket : "the address");
        return;
    }
    start += 3;
    size_t length = strcspn(start, "/?#");
    for (const char *at = memchr(start, '@', length); at != NULL; at = memchr(start, '@', length)) {
        length -= (size_t)(at + 1 - start);
        start = at + 1;
    }
    bool tls = strncasecmp(url, "https:", 6) == 0;
    (void)snprintf(out, AUTHORITY_BYTES, "%s://%.*s", tls ? "https" : "http",
                   length > 255 ? 255 : (int)length, start);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct call *call = context;
    size_t length = size * count;
    const struct http_request *request = call->request;
    long status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->moved_at_ms = clock_now_ms();
    if (request->on_bytes != NULL && status < 300) {
        call->refused = request->on_bytes(request->context, bytes, length) < 0;
        return call->refused ? CURL_WRITEFUNC_ERROR : length;
    }
    if (buffer_append(&call->answer->body, bytes, length) < 0) {
        call->too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return length;
}

static int set_up(struct http *http, struct call *call, struct error *err)
{
    curl_easy_reset(http->easy); /* connections live in the multi handle and stay */
    if (http_prepare(http, call, err) < 0) {
        return -1;
    }
    if (curl_easy_setopt(http->easy, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK ||
        curl_easy_setopt(http->easy, CURLOPT_WRITEDATA, call) != CURLE_OK ||
        curl_multi_add_handle(http->multi, http->easy) != CURLM_OK) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot begin a request to %s", call->authority);
    }
    return 0;
}

/* Whether a byte of the request can have left. */
static bool has_begun(const struct call *call)
{
    long request_bytes = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    return request_bytes > 0;
}

static void notice_movement(struct call *call)
{
    curl_off_t up = 0;
    curl_off_t down = 0;
    long head = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    (void)curl_easy_getinfo(call->easy, CURLINFO_HEADER_SIZE, &head);
    curl_off_t moved = up + down + head;
    if (moved != call->moved_bytes || !has_begun(call)) {
        call->moved_bytes = moved;
        call->moved_at_ms = clock_now_ms();
    }
}

static int fail(struct call *call, enum http_failure failure)
{
    call->answer->failure =
        failure == HTTP_MAYBE_SENT && !has_begun(call) ? HTTP_NOT_SENT : failure;
    return -1;
}

/* What can end a wait other than the answer. */
static int check_patience(struct call *call, struct error *err)
{
    const struct http_request *request = call->request;
    int64_t now = clock_now_ms();
    if (signals_pending(request->signals)) {
        (void)error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        return fail(call, HTTP_STOPPED);
    }
    if (now >= request->deadline_ms) {
        (void)error_set(err, ERROR_SYSTEM, ETIMEDOUT, "no complete answer from %s in time",
                        call->authority);
        return fail(call, HTTP_MAYBE_SENT);
    }
    if (request->stall_ms > 0 && now - call->moved_at_ms >= request->stall_ms) {
        (void)error_set(err, ERROR_SYSTEM, ETIMEDOUT, "%s sent nothing for %lld ms",
                        call->authority, (long long)request->stall_ms);
        return fail(call, HTTP_MAYBE_SENT);
    }
    return 0;
}

static int wait_for_movement(struct http *http, const struct call *call)
{
    const struct http_request *request = call->request;
    int64_t until = clock_earlier_ms(request->deadline_ms, clock_deadline_ms(CEILING_OF_SILENCE));
    if (request->stall_ms > 0) {
        until = clock_earlier_ms(until, call->moved_at_ms + request->stall_ms);
    }
    struct curl_waitfd extra = {
        .fd = request->signals == NULL ? -1 : request->signals->fd,
        .events = CURL_WAIT_POLLIN,
    };
    return curl_multi_poll(http->multi, &extra, request->signals == NULL ? 0 : 1,
                           clock_poll_timeout(until), NULL) == CURLM_OK
               ? 0
               : -1;
}

/* Runs the exchange until libcurl is done with it. */
static int drive(struct http *http, struct call *call, CURLcode *out_code, struct error *err)
{
    for (;;) {
        int running = 0;
        if (curl_multi_perform(http->multi, &running) != CURLM_OK) {
            (void)error_set(err, ERROR_SYSTEM, 0, "cannot drive a request to %s", call->authority);
            return fail(call, HTTP_MAYBE_SENT);
        }
        int left = 0;
        const CURLMsg *message = curl_multi_info_read(http->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE) {
            *out_code = message->data.result;
            return 0;
        }
        notice_movement(call);
        if (check_patience(call, err) < 0) {
            return -1;
        }
        if (wait_for_movement(http, call) < 0) {
            (void)error_set(err, ERROR_SYSTEM, 0, "cannot wait for %s", call->authority);
            return fail(call, HTTP_MAYBE_SENT);
        }
    }
}

static int explain(struct call *call, CURLcode code, struct error *err)
{
    if (call->too_long) {
        (void)error_set(err, ERROR_LIMIT, 0, "the answer of %s is longer than %zu bytes",
                        call->authority, call->answer->body.ceiling_bytes);
        return fail(call, HTTP_STOPPED);
    }
    if (call->refused) {
        (void)error_set(err, ERROR_SYSTEM, 0, "the answer of %s was refused", call->authority);
        return fail(call, HTTP_STOPPED);
    }
    const char *detail = call->detail[0] != '\0' ? call->detail : curl_easy_strerror(code);
    const char *remedy = code == CURLE_PEER_FAILED_VERIFICATION
                             ? "; name the CA's certificates in AWS_CA_BUNDLE or SSL_CERT_FILE"
                             : "";
    (void)error_set(err, ERROR_SYSTEM, 0, "%s: %s%s", call->authority, detail, remedy);
    return fail(call, HTTP_MAYBE_SENT);
}

static void read_header(const struct call *call, const char *name, char *out, size_t size)
{
    struct curl_header *found = NULL;
    if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK) {
        (void)snprintf(out, size, "%s", found->value);
    }
}

static void read_answer(struct call *call)
{
    struct http_answer *answer = call->answer;
    const struct http_request *request = call->request;
    curl_off_t retry_after_s = 0;
    long status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    answer->status = (int)status;
    read_header(call, "Date", answer->date, sizeof(answer->date));
    for (size_t i = 0; i < request->field_count; i++) {
        read_header(call, request->fields[i].name, request->fields[i].value,
                    sizeof(request->fields[i].value));
    }
    if (retry_after_s > 0) {
        answer->retry_after_ms = retry_after_s > RETRY_AFTER_CEILING / 1000
                                     ? RETRY_AFTER_CEILING
                                     : (int64_t)retry_after_s * 1000;
    }
}

int http_call(struct http *http, const struct http_request *request, struct http_answer *answer,
              struct error *err)
{
    struct call call = {
        .request = request, .answer = answer, .easy = http->easy, .moved_at_ms = clock_now_ms()};
    CURLcode code = CURLE_OK;
    answer->status = 0;
    answer->date[0] = '\0';
    answer->retry_after_ms = 0;
    answer->failure = HTTP_NOT_SENT;
    for (size_t i = 0; i < request->field_count; i++) {
        request->fields[i].value[0] = '\0';
    }
    name_authority(http, request->url, call.authority);
    int result = set_up(http, &call, err);
    if (result == 0) {
        result = drive(http, &call, &code, err);
        if (result == 0) {
            result = code == CURLE_OK ? 0 : explain(&call, code, err);
        }
        if (result == 0) {
            answer->failure = 0;
            read_answer(&call);
        }
        (void)curl_multi_remove_handle(http->multi, http->easy);
    }
    curl_easy_reset(http->easy); /* its pointers into 'call' and its keys end here */
    curl_slist_free_all(call.headers);
    return result;
}
