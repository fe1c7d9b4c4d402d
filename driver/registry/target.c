/* SPDX-License-Identifier: MIT */
#include "driver/registry/target.h"

#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/parse.h"
#include "driver/registry/address.h"

bool target_is_insecure(const struct config_list *insecure, const char *host)
{
    for (size_t i = 0; i < insecure->count; i++) {
        if (strcasecmp(insecure->entries[i], host) == 0) {
            return true;
        }
    }
    return false;
}

static int not_valid(struct error *err)
{
    return error_set(err, ERROR_PEER, 0, "the registry named an address that is not a valid URL");
}

/* One part of a URL; false when it is missing or too long. */
static bool read_part(CURLU *url, CURLUPart part, unsigned flags, char *out, size_t room)
{
    char *text = NULL;
    bool found = curl_url_get(url, part, &text, flags) == CURLUE_OK && text != NULL;
    bool fits = found && strlen(text) < room;
    if (fits) {
        (void)snprintf(out, room, "%s", text);
    }
    curl_free(text);
    return fits;
}

static int check(struct target *target, const char *host, const struct config_list *insecure,
                 struct error *err)
{
    target->is_exempt = target_is_insecure(insecure, target->host);
    if (!target->https && !target->is_exempt) {
        return error_set(err, ERROR_PEER, 0, "refusing plain HTTP to '%s'", target->host);
    }
    if (!target->is_exempt && !address_host_is_allowed(host)) {
        return error_set(err, ERROR_PEER, 0,
                         "refusing to connect to '%s': a loopback, link-local or reserved address",
                         target->host);
    }
    return 0;
}

static int read_url(CURLU *url, const struct config_list *insecure, struct target *target,
                    struct error *err)
{
    char scheme[16];
    char host[256];
    char port[8];
    if (!read_part(url, CURLUPART_URL, 0, target->url, sizeof(target->url)) ||
        !read_part(url, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) ||
        !read_part(url, CURLUPART_HOST, 0, host, sizeof(host))) {
        return not_valid(err);
    }
    char *text = NULL;
    bool has_user = curl_url_get(url, CURLUPART_USER, &text, 0) != CURLUE_NO_USER;
    curl_free(text);
    target->https = strcmp(scheme, "https") == 0;
    if (has_user || (!target->https && strcmp(scheme, "http") != 0)) {
        return not_valid(err);
    }
    for (char *at = host; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    bool has_port = read_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, port, sizeof(port));
    (void)snprintf(target->host, sizeof(target->host), "%s%s%s", host, has_port ? ":" : "",
                   has_port ? port : "");
    return check(target, host, insecure, err);
}

int target_set(const char *url, const struct config_list *insecure, struct target *out_target,
               struct error *err)
{
    struct target target = {.https = false};
    CURLU *parsed = curl_url();
    int result = parsed == NULL || curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK
                     ? not_valid(err)
                     : read_url(parsed, insecure, &target, err);
    curl_url_cleanup(parsed);
    if (result == 0) {
        *out_target = target;
    }
    return result;
}

int target_follow(const struct target *from, const char *location,
                  const struct config_list *insecure, struct target *out_target, struct error *err)
{
    struct target target = {.https = false};
    CURLU *parsed = curl_url();
    bool set = parsed != NULL && location[0] != '\0' &&
               curl_url_set(parsed, CURLUPART_URL, from->url, 0) == CURLUE_OK &&
               curl_url_set(parsed, CURLUPART_URL, location, 0) == CURLUE_OK;
    int result = set ? read_url(parsed, insecure, &target, err) : not_valid(err);
    curl_url_cleanup(parsed);
    if (result == 0) {
        *out_target = target;
    }
    return result;
}

int target_add_query(struct target *target, const char *name, const char *value, struct error *err)
{
    char pair[1024];
    int length = snprintf(pair, sizeof(pair), "%s=%s", name, value);
    CURLU *parsed = curl_url();
    bool set = parsed != NULL && length > 0 && (size_t)length < sizeof(pair) &&
               curl_url_set(parsed, CURLUPART_URL, target->url, 0) == CURLUE_OK &&
               curl_url_set(parsed, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE) ==
                   CURLUE_OK &&
               read_part(parsed, CURLUPART_URL, 0, target->url, sizeof(target->url));
    curl_url_cleanup(parsed);
    return set ? 0 : not_valid(err);
}

/* libcurl reads http_proxy in lower case alone. */
static const char *proxy_url(bool https)
{
    static const char *const names[2][4] = {
        {"http_proxy", "all_proxy", "ALL_PROXY", NULL},
        {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}};
    for (size_t i = 0; i < 4 && names[https][i] != NULL; i++) {
        const char *value = getenv(names[https][i]);
        if (value != NULL && value[0] != '\0') {
            return value;
        }
    }
    return NULL;
}

static int64_t port_of(const struct sockaddr *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        return ntohs(in.sin_port);
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&in6, address, sizeof(in6));
        return ntohs(in6.sin6_port);
    }
    return -1;
}

bool target_is_proxy(bool https, const struct sockaddr *address)
{
    char host[256];
    char port[8] = "1080"; /* libcurl's default */
    int64_t number = 0;
    const char *url = proxy_url(https);
    CURLU *parsed = url == NULL ? NULL : curl_url();
    bool local = parsed != NULL &&
                 curl_url_set(parsed, CURLUPART_URL, url,
                              CURLU_DEFAULT_SCHEME | CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
                 read_part(parsed, CURLUPART_HOST, 0, host, sizeof(host)) &&
                 !address_host_is_allowed(host);
    if (local) {
        (void)read_part(parsed, CURLUPART_PORT, 0, port, sizeof(port));
    }
    curl_url_cleanup(parsed);
    return local && parse_integer(port, 1, UINT16_MAX, &number) == 0 && number == port_of(address);
}
