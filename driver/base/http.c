/* SPDX-License-Identifier: MIT */
#include "driver/base/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/clock.h"

#define CEILING_OF_SILENCE   (60 * 1000) /* longest single wait */
#define RETRY_AFTER_CEILING  (24LL * 3600 * 1000)
#define SCOPE_BYTES          256
#define RECEIVE_BUFFER_BYTES (64L << 10)
#define SEND_BUFFER_BYTES    (256L << 10)
#define AUTHORITY_BYTES      300

/* One request. */
struct call {
    const struct http_request *request;
    struct http_answer *answer;
    CURL *easy;
    struct curl_slist *headers;
    char detail[CURL_ERROR_SIZE]; /* what libcurl says about a failure */
    char authority[AUTHORITY_BYTES];
    bool too_long;          /* the response passed its ceiling */
    bool refused;           /* by on_bytes */
    bool blocked;           /* an address, by may_connect */
    bool is_done;           /* libcurl's part is over, with 'code' */
    size_t part, part_sent; /* how far the request's parts have been sent */
    CURLcode code;
    curl_off_t moved_bytes;
    int64_t moved_at_ms; /* the last time a byte went either way */
};

struct http {
    CURLM *multi;     /* owns the connections */
    CURL *easy;       /* reset before every exchange */
    struct call call; /* of the current exchange */
    char *unix_socket, *ca_file, *certificate_file, *key_file;
    bool no_proxy;
    long connect_ms;
};

static int copy_text(char **out, const char *text)
{
    *out = text == NULL ? NULL : strdup(text);
    return text == NULL || *out != NULL ? 0 : -1;
}

struct http *http_new(const struct http_options *options, struct error *err)
{
    /* Not at startup: stages that make no request must not pay for it. libcurl counts these calls,
     * and the end of the process undoes them. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)error_set(err, ERROR_SYSTEM, 0, "cannot initialise libcurl");
        return NULL;
    }
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL || copy_text(&http->unix_socket, options->unix_socket) < 0 ||
        copy_text(&http->ca_file, options->ca_file) < 0 ||
        copy_text(&http->certificate_file, options->certificate_file) < 0 ||
        copy_text(&http->key_file, options->key_file) < 0 ||
        (http->multi = curl_multi_init()) == NULL || (http->easy = curl_easy_init()) == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot prepare for HTTP");
        http_free(http);
        return NULL;
    }
    http->no_proxy = options->no_proxy || options->unix_socket != NULL;
    http->connect_ms = options->connect_ms > 0 ? (long)options->connect_ms : 0;
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

/* --- the request --- */

/* Where systems keep the CA certificates: Debian and Alpine, RHEL and Amazon Linux, older RHEL,
 * SUSE, old Alpine. This program is static and may run on any of them. */
static const char *const ca_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",     "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",       "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/cert.pem",
};

static bool has_header(const struct http_request *request, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        if (strncasecmp(request->headers[i], name, length) == 0 &&
            request->headers[i][length] == ':') {
            return true;
        }
    }
    return false;
}

static int append_header(struct call *call, const char *line)
{
    struct curl_slist *longer = curl_slist_append(call->headers, line);
    if (longer == NULL) {
        return -1;
    }
    call->headers = longer;
    return 0;
}

static int set_headers(struct call *call)
{
    const struct http_request *request = call->request;
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        if (append_header(call, request->headers[i]) < 0) {
            return -1;
        }
    }
    /* A name without a value removes libcurl's own header: the body is not a form, and a server
     * that ignores 'Expect' would cost a second. */
    if ((!has_header(request, "Content-Type") && append_header(call, "Content-Type:") < 0) ||
        append_header(call, "Expect:") < 0) {
        return -1;
    }
    return curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK ? 0 : -1;
}

static size_t on_read(char *out, size_t size, size_t count, void *context)
{
    struct call *call = context;
    const struct http_request *request = call->request;
    size_t room = size * count;
    size_t length = 0;
    while (length < room && call->part < request->part_count) {
        const struct http_part *part = &request->parts[call->part];
        size_t left = part->length - call->part_sent;
        size_t piece = left < room - length ? left : room - length;
        if (piece > 0) {
            memcpy(out + length, (const char *)part->bytes + call->part_sent, piece);
        }
        length += piece;
        call->part_sent += piece;
        if (piece == left) {
            call->part++;
            call->part_sent = 0;
        }
    }
    return length;
}

/* libcurl starts again on another connection when the first was closed while it was idle. */
static int on_rewind(void *context, curl_off_t offset, int origin)
{
    struct call *call = context;
    if (offset != 0 || origin != SEEK_SET) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    call->part = call->part_sent = 0;
    return CURL_SEEKFUNC_OK;
}

static CURLcode set_parts(struct call *call)
{
    CURL *easy = call->easy;
    const struct http_request *request = call->request;
    curl_off_t length = 0;
    for (size_t i = 0; i < request->part_count; i++) {
        length += (curl_off_t)request->parts[i].length;
    }
    bool set = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, length) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_READDATA, call) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_SEEKDATA, call) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER_BYTES) == CURLE_OK;
    return set ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static int set_method(struct call *call)
{
    CURL *easy = call->easy;
    const struct http_request *request = call->request;
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "DELETE") == 0;
    CURLcode code = CURLE_OK;
    if (strcmp(request->method, "HEAD") == 0) {
        code = curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->parts != NULL) {
        code = set_parts(call);
    } else if (!reads || request->body != NULL) {
        /* An empty body goes as Content-Length: 0. */
        code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                (curl_off_t)(request->body == NULL ? 0 : request->body_length));
        if (code == CURLE_OK) {
            code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                    request->body == NULL ? "" : request->body);
        }
    }
    if (code == CURLE_OK) {
        code = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    }
    return code == CURLE_OK ? 0 : -1;
}

static int set_signing(struct call *call)
{
    const struct http_signing *signing = call->request->signing;
    char scope[SCOPE_BYTES];
    if (signing == NULL) {
        return 0;
    }
    int length = snprintf(scope, sizeof(scope), "aws:amz:%s:%s", signing->region, signing->service);
    if (length < 0 || (size_t)length >= sizeof(scope)) {
        return -1;
    }
    CURL *easy = call->easy;
    return curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, scope) == CURLE_OK &&
                   curl_easy_setopt(easy, CURLOPT_USERNAME, signing->key_id) == CURLE_OK &&
                   curl_easy_setopt(easy, CURLOPT_PASSWORD, signing->secret) == CURLE_OK
               ? 0
               : -1;
}

/* The file with the CA certificates, NULL when there is none in the usual places. */
static const char *find_ca_file(const struct http *http)
{
    if (http->ca_file != NULL) {
        return http->ca_file;
    }
    const char *named = getenv("SSL_CERT_FILE");
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    for (size_t i = 0; i < sizeof(ca_bundles) / sizeof(ca_bundles[0]); i++) {
        if (access(ca_bundles[i], R_OK) == 0) {
            return ca_bundles[i];
        }
    }
    return NULL;
}

static int set_tls(const struct http *http, struct call *call, struct error *err)
{
    CURL *easy = call->easy;
    if (strncasecmp(call->request->url, "https:", 6) != 0) {
        return 0;
    }
    const char *ca_file = find_ca_file(http);
    if (ca_file == NULL) {
        return error_set(err, ERROR_USAGE, 0,
                         "no CA certificates found for %s; install the package ca-certificates or "
                         "set SSL_CERT_FILE",
                         call->authority);
    }
    if (access(ca_file, R_OK) < 0) {
        return error_set(err, ERROR_USAGE, errno, "cannot read the CA certificates in '%s'",
                         ca_file);
    }
    bool set =
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSLCERT, http->certificate_file) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSLKEY, http->key_file) == CURLE_OK;
    return set ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot prepare for TLS");
}

static int set_target(const struct http *http, struct call *call)
{
    CURL *easy = call->easy;
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1}, /* signals belong to signals.h */
        {CURLOPT_NOPROGRESS, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_QUICK_EXIT, 1}, /* a deadline does not wait for a name server */
        {CURLOPT_TCP_KEEPALIVE, 1},
        {CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES},
        {CURLOPT_CONNECTTIMEOUT_MS, http->connect_ms},
    };
    bool set =
        curl_easy_setopt(easy, CURLOPT_URL, call->request->url) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "berth-driver/" BERTH_VERSION) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, http->unix_socket) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail) == CURLE_OK &&
        (!http->no_proxy || curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && set; i++) {
        set = curl_easy_setopt(easy, numbers[i].option, numbers[i].value) == CURLE_OK;
    }
    return set ? 0 : -1;
}

/* libcurl calls this with each address in turn. */
static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct call *call = context;
    const struct http_request *request = call->request;
    if (purpose != CURLSOCKTYPE_IPCXN || !request->may_connect(request->context, &address->addr)) {
        call->blocked = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int set_guard(struct call *call)
{
    return call->request->may_connect == NULL ||
                   (curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
                    curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETDATA, call) == CURLE_OK)
               ? 0
               : -1;
}

/* Sets the options of a request. 'call' owns the header list, also on failure. */
static int prepare(const struct http *http, struct call *call, struct error *err)
{
    if (set_tls(http, call, err) < 0) {
        return -1;
    }
    if (set_target(http, call) < 0 || set_method(call) < 0 || set_headers(call) < 0 ||
        set_signing(call) < 0 || set_guard(call) < 0) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot prepare a request to %s", call->authority);
    }
    return 0;
}

/* --- the exchange --- */

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

/* Whether a byte of the request may have been sent. */
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

/* Whether a signal, the deadline or a stall ends the exchange. */
static int check_limits(struct call *call, struct error *err)
{
    const struct http_request *request = call->request;
    int64_t now = clock_now_ms();
    if (signals_pending(request->signals)) {
        (void)error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        return fail(call, HTTP_STOPPED);
    }
    if (now >= request->deadline_ms) {
        (void)error_set(err, ERROR_SYSTEM, ETIMEDOUT, "no complete response from %s in time",
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

/* Runs the exchange until libcurl is done with it, or with 'until_sent' until the request is on its
 * way. */
static int drive(struct http *http, struct call *call, bool until_sent, struct error *err)
{
    while (!call->is_done) {
        int running = 0;
        if (curl_multi_perform(http->multi, &running) != CURLM_OK) {
            (void)error_set(err, ERROR_SYSTEM, 0, "cannot perform a request to %s",
                            call->authority);
            return fail(call, HTTP_MAYBE_SENT);
        }
        int left = 0;
        const CURLMsg *message = curl_multi_info_read(http->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE) {
            call->code = message->data.result;
            call->is_done = true;
            return 0;
        }
        notice_movement(call);
        if (until_sent && has_begun(call)) {
            return 0;
        }
        if (check_limits(call, err) < 0) {
            return -1;
        }
        if (wait_for_movement(http, call) < 0) {
            (void)error_set(err, ERROR_SYSTEM, 0, "cannot wait for %s", call->authority);
            return fail(call, HTTP_MAYBE_SENT);
        }
    }
    return 0;
}

static int explain(struct call *call, CURLcode code, struct error *err)
{
    if (call->too_long) {
        (void)error_set(err, ERROR_LIMIT, 0, "the response of %s is longer than %zu bytes",
                        call->authority, call->answer->body.ceiling_bytes);
        return fail(call, HTTP_STOPPED);
    }
    if (call->refused) {
        (void)error_set(err, ERROR_SYSTEM, 0, "the response of %s was rejected", call->authority);
        return fail(call, HTTP_STOPPED);
    }
    if (call->blocked && !has_begun(call)) {
        (void)error_set(err, ERROR_PEER, 0,
                        "refusing to connect to %s: its address is not allowed here",
                        call->authority);
        return fail(call, HTTP_NOT_SENT);
    }
    const char *detail = call->detail[0] != '\0' ? call->detail : curl_easy_strerror(code);
    (void)error_set(err, ERROR_SYSTEM, 0, "%s: %s", call->authority, detail);
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        (void)error_hint(err, "set AWS_CA_BUNDLE or SSL_CERT_FILE to the CA's certificates");
    }
    return fail(call, HTTP_MAYBE_SENT);
}

static void read_header(const struct call *call, const char *name, char *out, size_t size)
{
    struct curl_header *found = NULL;
    if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK) {
        (void)snprintf(out, size, "%s", found->value);
    }
}

/* All headers of the name, joined. */
static void read_long_field(const struct call *call, struct http_field *field)
{
    struct curl_header *found = NULL;
    size_t length = 0;
    for (size_t i = 0;
         curl_easy_header(call->easy, field->name, i, CURLH_HEADER, -1, &found) == CURLHE_OK; i++) {
        int wrote = snprintf(field->text + length, field->room - length, "%s%s", i == 0 ? "" : ", ",
                             found->value);
        if (wrote < 0 || (size_t)wrote >= field->room - length) {
            field->text[0] = '\0';
            return;
        }
        length += (size_t)wrote;
    }
}

static void read_field(const struct call *call, struct http_field *field)
{
    if (field->text != NULL) {
        read_long_field(call, field);
    } else {
        read_header(call, field->name, field->value, sizeof(field->value));
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
        read_field(call, &request->fields[i]);
    }
    if (retry_after_s > 0) {
        answer->retry_after_ms = retry_after_s > RETRY_AFTER_CEILING / 1000
                                     ? RETRY_AFTER_CEILING
                                     : (int64_t)retry_after_s * 1000;
    }
}

static void clear_answer(const struct http_request *request, struct http_answer *answer)
{
    answer->status = 0;
    answer->date[0] = '\0';
    answer->retry_after_ms = 0;
    answer->failure = HTTP_NOT_SENT;
    for (size_t i = 0; i < request->field_count; i++) {
        request->fields[i].value[0] = '\0';
        if (request->fields[i].text != NULL) {
            request->fields[i].text[0] = '\0';
        }
    }
}

static void end_call(struct http *http)
{
    (void)curl_multi_remove_handle(http->multi, http->easy); /* which may not be in there */
    curl_easy_reset(http->easy); /* drops its pointers into the call, and the keys */
    curl_slist_free_all(http->call.headers);
    http->call.headers = NULL;
}

int http_begin(struct http *http, const struct http_request *request, struct http_answer *answer,
               struct error *err)
{
    struct call *call = &http->call;
    *call = (struct call){
        .request = request, .answer = answer, .easy = http->easy, .moved_at_ms = clock_now_ms()};
    clear_answer(request, answer);
    name_authority(http, request->url, call->authority);
    curl_easy_reset(http->easy); /* connections live in the multi handle and stay */
    int result = prepare(http, call, err);
    if (result == 0 && (curl_easy_setopt(http->easy, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK ||
                        curl_easy_setopt(http->easy, CURLOPT_WRITEDATA, call) != CURLE_OK ||
                        curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)) {
        result = error_set(err, ERROR_SYSTEM, 0, "cannot begin a request to %s", call->authority);
    }
    if (result == 0) {
        result = drive(http, call, true, err);
    }
    if (result < 0) {
        end_call(http);
    }
    return result;
}

int http_finish(struct http *http, struct error *err)
{
    struct call *call = &http->call;
    int result = drive(http, call, false, err);
    if (result == 0) {
        result = call->code == CURLE_OK ? 0 : explain(call, call->code, err);
    }
    if (result == 0) {
        call->answer->failure = 0;
        read_answer(call);
    }
    end_call(http);
    return result;
}

int http_call(struct http *http, const struct http_request *request, struct http_answer *answer,
              struct error *err)
{
    return http_begin(http, request, answer, err) < 0 ? -1 : http_finish(http, err);
}
