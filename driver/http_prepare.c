/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "driver/http_private.h"

#define SCOPE_BYTES          256
#define RECEIVE_BUFFER_BYTES (64L << 10)

/* Where systems keep the certificates they trust: Debian and Alpine, RHEL and Amazon Linux, older
 * RHEL, SUSE, old Alpine. This program is static and may run on any of them. */
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
    /* A name without a value takes libcurl's own header out: no form was filled in, and a server
     * that ignores 'Expect' would cost a second. */
    if ((!has_header(request, "Content-Type") && append_header(call, "Content-Type:") < 0) ||
        append_header(call, "Expect:") < 0) {
        return -1;
    }
    return curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK ? 0 : -1;
}

static int set_method(struct call *call)
{
    CURL *easy = call->easy;
    const struct http_request *request = call->request;
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "DELETE") == 0;
    CURLcode code = CURLE_OK;
    if (strcmp(request->method, "HEAD") == 0) {
        code = curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (!reads || request->body != NULL) {
        /* An empty body is told as such by Content-Length: 0. */
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

/* The file with the certificates to trust, NULL when this system has none where it should be. */
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
                         "no certificates to trust for %s; install the package ca-certificates or "
                         "set SSL_CERT_FILE",
                         call->authority);
    }
    if (access(ca_file, R_OK) < 0) {
        return error_set(err, ERROR_USAGE, errno, "cannot read the certificates to trust in '%s'",
                         ca_file);
    }
    bool set =
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSLCERT, http->certificate_file) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SSLKEY, http->key_file) == CURLE_OK;
    return set ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot prepare for TLS");
}

static int set_long_options(CURL *easy, long connect_ms)
{
    const struct {
        CURLoption option;
        long value;
    } values[] = {
        {CURLOPT_NOSIGNAL, 1}, /* signals belong to signals.h */
        {CURLOPT_NOPROGRESS, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_QUICK_EXIT, 1}, /* a deadline does not wait for a name server */
        {CURLOPT_TCP_KEEPALIVE, 1},
        {CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES},
        {CURLOPT_CONNECTTIMEOUT_MS, connect_ms},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (curl_easy_setopt(easy, values[i].option, values[i].value) != CURLE_OK) {
            return -1;
        }
    }
    return 0;
}

static int set_target(const struct http *http, struct call *call)
{
    CURL *easy = call->easy;
    bool set =
        curl_easy_setopt(easy, CURLOPT_URL, call->request->url) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "berth-driver/" BERTH_VERSION) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, http->unix_socket) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail) == CURLE_OK &&
        (!http->no_proxy || curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK);
    return set ? 0 : -1;
}

int http_prepare(const struct http *http, struct call *call, struct error *err)
{
    if (set_tls(http, call, err) < 0) {
        return -1;
    }
    if (set_long_options(call->easy, http->connect_ms) < 0 || set_target(http, call) < 0 ||
        set_method(call) < 0 || set_headers(call) < 0 || set_signing(call) < 0) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot prepare a request to %s", call->authority);
    }
    return 0;
}
