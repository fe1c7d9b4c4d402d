/* SPDX-License-Identifier: MIT */
#include "driver/registry/client.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/http.h"
#include "driver/base/json.h"
#include "driver/registry/address.h"
#include "driver/registry/challenge.h"
#include "driver/registry/target.h"

#define HUB_SERVER         "registry-1.docker.io"
#define REDIRECT_CEILING   5
#define TOKEN_BYTES        (16UL << 10)
#define LINE_BYTES         (4 * REGISTRY_SECRET_BYTES)
#define CONNECT_MS         5000
#define TOKEN_ANSWER_BYTES (64UL << 10)
#define PATH_BYTES         (IMAGE_NAME_BYTES + 256)

#define MANIFEST_ACCEPT                                                            \
    "Accept: " MANIFEST_OCI_INDEX ", " MANIFEST_OCI ", " MANIFEST_DOCKER_INDEX "," \
    " " MANIFEST_DOCKER

struct registry {
    struct registry_options options;
    struct http *http;
    const char *repository; /* "library/node"; of 'name' or 'hub_repository' */
    char hub_repository[IMAGE_NAME_BYTES + 16];
    struct target home; /* "https://host/" */
    char *line;         /* "Authorization: ...", LINE_BYTES, for sodium_free(); empty: none */
    bool used_login;
    int64_t bytes_left;
};

/* One request and its redirects. */
struct exchange {
    struct registry *registry;
    struct target target;
    const char *method;
    const char *accept; /* a header; NULL: none */
    int (*on_bytes)(void *context, const char *bytes, size_t length);
    void *context;
    struct registry_answer *answer;
    char challenge[CHALLENGE_HEADER_BYTES];
    char location[TARGET_URL_BYTES];
};

/* --- the repository --- */

static int set_repository(struct registry *registry, const struct image_name *name)
{
    size_t length = strlen(name->registry);
    bool written =
        strncmp(name->repository, name->registry, length) == 0 && name->repository[length] == '/';
    const char *path = written ? name->repository + length + 1 : name->repository;
    registry->repository = path;
    if (image_name_is_hub(name->registry, length) && strchr(path, '/') == NULL) {
        (void)snprintf(registry->hub_repository, sizeof(registry->hub_repository), "library/%s",
                       path);
        registry->repository = registry->hub_repository;
    }
    return strstr(registry->repository, "..") == NULL ? 0 : -1;
}

static int set_home(struct registry *registry, const struct image_name *name, struct error *err)
{
    char url[sizeof(name->registry) + 16];
    const char *host =
        image_name_is_hub(name->registry, strlen(name->registry)) ? HUB_SERVER : name->registry;
    (void)snprintf(url, sizeof(url), "%s://%s/",
                   target_is_insecure(registry->options.insecure, host) ? "http" : "https", host);
    return target_set(url, registry->options.insecure, &registry->home, err);
}

struct registry *registry_open(const struct image_name *name,
                               const struct registry_options *options, struct error *err)
{
    struct http_options http = {.connect_ms = CONNECT_MS};
    struct registry *registry = calloc(1, sizeof(*registry));
    if (registry == NULL || (registry->line = sodium_malloc(LINE_BYTES)) == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot prepare for a registry");
        registry_close(registry);
        return NULL;
    }
    registry->line[0] = '\0';
    registry->options = *options;
    registry->bytes_left = options->ceiling_bytes;
    if (set_repository(registry, name) < 0) {
        (void)error_set(err, ERROR_USAGE, 0, "'%.80s' is not a valid repository",
                        registry->repository);
        registry_close(registry);
        return NULL;
    }
    if (set_home(registry, name, err) < 0 || (registry->http = http_new(&http, err)) == NULL) {
        registry_close(registry);
        return NULL;
    }
    return registry;
}

void registry_close(struct registry *registry)
{
    if (registry != NULL) {
        sodium_free(registry->line);
        http_free(registry->http);
        free(registry);
    }
}

void registry_set_deadline(struct registry *registry, int64_t deadline_ms)
{
    registry->options.deadline_ms = deadline_ms;
}

int64_t registry_bytes_left(const struct registry *registry)
{
    return registry->bytes_left;
}

const char *registry_host(const struct registry *registry)
{
    return registry->home.host;
}

bool registry_used_login(const struct registry *registry)
{
    return registry->used_login;
}

/* --- one request --- */

static bool may_connect(void *context, const struct sockaddr *address)
{
    const struct exchange *exchange = context;
    return exchange->target.is_exempt || address_is_allowed(address) ||
           target_is_proxy(exchange->target.https, address);
}

/* Bytes that go to the caller; the others have the ceiling of their buffer. */
static int take_bytes(void *context, const char *bytes, size_t length)
{
    struct exchange *exchange = context;
    struct registry *registry = exchange->registry;
    if ((int64_t)length > registry->bytes_left) {
        return -1;
    }
    registry->bytes_left -= (int64_t)length;
    return exchange->on_bytes != NULL ? exchange->on_bytes(exchange->context, bytes, length)
                                      : buffer_append(&exchange->answer->body, bytes, length);
}

static int64_t body_ceiling(const struct registry *registry)
{
    return registry->bytes_left < (int64_t)MANIFEST_CEILING_BYTES ? registry->bytes_left
                                                                  : (int64_t)MANIFEST_CEILING_BYTES;
}

/* Whether the request goes to the registry, not to a host that it redirects to. */
static bool is_home(const struct exchange *exchange)
{
    const struct target *home = &exchange->registry->home;
    return strcmp(exchange->target.host, home->host) == 0 && exchange->target.https == home->https;
}

static int send_once(struct exchange *exchange, struct error *err)
{
    struct registry *registry = exchange->registry;
    struct registry_answer *answer = exchange->answer;
    const char *headers[3] = {NULL};
    size_t count = 0;
    if (exchange->accept != NULL) {
        headers[count++] = exchange->accept;
    }
    if (registry->line[0] != '\0' && is_home(exchange)) {
        headers[count++] = registry->line;
    }
    struct http_field fields[] = {
        {.name = "Content-Type", .text = answer->type, .room = sizeof(answer->type)},
        {.name = "Docker-Content-Digest", .text = answer->digest, .room = sizeof(answer->digest)},
        {.name = "Location", .text = exchange->location, .room = sizeof(exchange->location)},
        {.name = "WWW-Authenticate",
         .text = exchange->challenge,
         .room = sizeof(exchange->challenge)},
    };
    struct http_request request = {
        .method = exchange->method,
        .url = exchange->target.url,
        .headers = headers,
        .deadline_ms = registry->options.deadline_ms,
        .stall_ms = registry->options.stall_ms,
        .signals = registry->options.signals,
        .on_bytes = take_bytes,
        .context = exchange,
        .may_connect = may_connect,
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
    };
    struct http_answer http = {.body = {0}};
    buffer_done(&answer->body);
    buffer_init(&answer->body, (size_t)body_ceiling(registry));
    buffer_init(&http.body, (size_t)body_ceiling(registry));
    int result = http_call(registry->http, &request, &http, err);
    answer->status = http.status;
    if (http.body.length > 0) { /* of an error answer or a redirect */
        registry->bytes_left -= (int64_t)http.body.length;
        buffer_done(&answer->body);
        answer->body = http.body;
    } else {
        buffer_done(&http.body);
    }
    if (!digest_is_valid(answer->digest)) {
        answer->digest[0] = '\0';
    }
    return result;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int send_and_follow(struct exchange *exchange, struct error *err)
{
    for (int redirects = 0;; redirects++) {
        if (send_once(exchange, err) < 0) {
            return -1;
        }
        if (!is_redirect(exchange->answer->status)) {
            return 0;
        }
        if (redirects == REDIRECT_CEILING) {
            return error_set(err, ERROR_PEER, 0, "'%s' redirects more than %d times",
                             exchange->registry->home.host, REDIRECT_CEILING);
        }
        if (target_follow(&exchange->target, exchange->location,
                          exchange->registry->options.insecure, &exchange->target, err) < 0) {
            return error_wrap(err, "redirect of '%s'", exchange->registry->home.host);
        }
    }
}

/* --- authentication --- */

static bool has_password(const struct registry_login *login)
{
    return login != NULL && login->user[0] != '\0';
}

static bool has_identity(const struct registry_login *login)
{
    return login != NULL && login->token[0] != '\0';
}

static int write_basic(const struct registry_login *login, char *line, struct error *err)
{
    static const char name[] = "Authorization: Basic ";
    size_t size = strlen(login->user) + strlen(login->password) + 2;
    char *pair = sodium_malloc(size);
    if (pair == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot send the registry's login");
    }
    (void)snprintf(pair, size, "%s:%s", login->user, login->password);
    memcpy(line, name, sizeof(name));
    (void)sodium_bin2base64(line + sizeof(name) - 1, LINE_BYTES - sizeof(name),
                            (const unsigned char *)pair, size - 1, sodium_base64_VARIANT_ORIGINAL);
    sodium_free(pair);
    return 0;
}

/* A token is put into a header: only characters of RFC 6750 and other visible ones. */
static bool is_token(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return length > 0 && length < TOKEN_BYTES;
}

/* 1 with the token in registry->line; 0: the answer has none. */
static int read_token(struct registry *registry, const struct buffer *body)
{
    cJSON *root = cJSON_ParseWithLength(body->bytes == NULL ? "" : body->bytes, body->length);
    const char *token = json_text_at(root, "token");
    token = token != NULL ? token : json_text_at(root, "access_token");
    int result = token != NULL && is_token(token) ? 1 : 0;
    if (result == 1) {
        (void)snprintf(registry->line, LINE_BYTES, "Authorization: Bearer %s", token);
    }
    json_delete_wiped(root);
    return result;
}

/* The body of a request with an identity token; false: out of memory or too long. */
static bool write_form(const struct registry *registry, const char *service, const char *scope,
                       struct buffer *form)
{
    const char *const pairs[][2] = {
        {"grant_type", "refresh_token"},
        {"client_id", "berth"},
        {"service", service},
        {"scope", scope},
        {"refresh_token", registry->options.login->token},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]) && ok; i++) {
        ok = buffer_printf(form, "%s%s=", i == 0 ? "" : "&", pairs[i][0]) == 0;
        for (const char *at = pairs[i][1]; *at != '\0' && ok; at++) {
            bool plain =
                strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *at) !=
                NULL;
            ok = (plain ? buffer_append(form, at, 1)
                        : buffer_printf(form, "%%%02X", (unsigned)(unsigned char)*at)) == 0;
        }
    }
    return ok;
}

/* GET with user and password or anonymously, POST with an identity token. */
static int ask_realm(struct registry *registry, const struct target *realm, const char *service,
                     const char *scope, struct http_answer *answer, struct error *err)
{
    const struct registry_login *login = registry->options.login;
    const char *headers[3] = {NULL};
    size_t count = 0;
    struct buffer form;
    struct exchange exchange = {.registry = registry, .target = *realm};
    bool with_identity = has_identity(login);
    int result = 0;
    registry->line[0] = '\0';
    buffer_init(&form, LINE_BYTES);
    if (has_password(login) && !with_identity) {
        result = write_basic(login, registry->line, err);
        headers[count++] = registry->line;
    } else if (with_identity) {
        headers[count++] = "Content-Type: application/x-www-form-urlencoded";
        result = write_form(registry, service, scope, &form)
                     ? 0
                     : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot send the registry's login");
    }
    struct http_request request = {
        .method = with_identity ? "POST" : "GET",
        .url = exchange.target.url,
        .headers = headers,
        .body = form.bytes,
        .body_length = form.length,
        .deadline_ms = registry->options.deadline_ms,
        .stall_ms = registry->options.stall_ms,
        .signals = registry->options.signals,
        .may_connect = may_connect,
        .context = &exchange,
    };
    if (result == 0) {
        result = http_call(registry->http, &request, answer, err);
    }
    sodium_memzero(registry->line, LINE_BYTES);
    buffer_done(&form);
    return result;
}

/* 1 with a token; 0: the realm refused; -1: no answer. */
static int get_token(struct registry *registry, const struct challenge *challenge,
                     struct error *err)
{
    char scope[IMAGE_NAME_BYTES + 32];
    struct target realm;
    struct http_answer answer = {.status = 0};
    bool with_identity = has_identity(registry->options.login);
    (void)snprintf(scope, sizeof(scope), "repository:%s:pull", registry->repository);
    if (target_set(challenge->realm, registry->options.insecure, &realm, err) < 0 ||
        (!with_identity && ((challenge->service[0] != '\0' &&
                             target_add_query(&realm, "service", challenge->service, err) < 0) ||
                            target_add_query(&realm, "scope", scope, err) < 0))) {
        return error_wrap(err, "realm of '%s'", registry->home.host);
    }
    size_t ceiling = registry->bytes_left < (int64_t)TOKEN_ANSWER_BYTES
                         ? (size_t)registry->bytes_left
                         : TOKEN_ANSWER_BYTES;
    buffer_init(&answer.body, ceiling);
    int result = ask_realm(registry, &realm, challenge->service, scope, &answer, err);
    registry->bytes_left -= (int64_t)answer.body.length;
    if (result == 0 && answer.status == 200) {
        result = read_token(registry, &answer.body);
    } else if (result == 0 &&
               (answer.status == 429 || answer.status >= 500 || is_redirect(answer.status))) {
        result = error_set(err, ERROR_PEER, 0, "the realm '%s' of '%s' answers HTTP %d", realm.host,
                           registry->home.host, answer.status);
    }
    buffer_done(&answer.body);
    return result;
}

/* After a 401 of the registry: 1 when another attempt has more to offer, 0, or -1. */
static int authorize(struct registry *registry, const char *header, struct error *err)
{
    struct challenge challenge;
    const struct registry_login *login = registry->options.login;
    int result = 0;
    challenge_parse(header, &challenge);
    registry->line[0] = '\0';
    if (challenge.scheme == CHALLENGE_BASIC && has_password(login)) {
        result = write_basic(login, registry->line, err) < 0 ? -1 : 1;
    } else if (challenge.scheme == CHALLENGE_BEARER) {
        result = get_token(registry, &challenge, err);
    }
    registry->used_login = has_password(login) || has_identity(login);
    return result;
}

/* --- requests --- */

/* 'exchange' has method, header and sink. */
static int ask(struct exchange *exchange, const char *path, struct error *err)
{
    struct registry *registry = exchange->registry;
    for (bool first = true;; first = false) {
        if (target_follow(&registry->home, path, registry->options.insecure, &exchange->target,
                          err) < 0 ||
            send_and_follow(exchange, err) < 0) {
            return -1;
        }
        bool at_home = is_home(exchange);
        if (exchange->answer->status != 401 || !first || !at_home) {
            return 0;
        }
        int authorized = authorize(registry, exchange->challenge, err);
        if (authorized <= 0) {
            return authorized;
        }
    }
}

static int ask_manifest(struct registry *registry, const char *method, const char *reference,
                        struct registry_answer *answer, struct error *err)
{
    char path[PATH_BYTES];
    struct exchange exchange = {
        .registry = registry, .method = method, .accept = MANIFEST_ACCEPT, .answer = answer};
    (void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", registry->repository, reference);
    return ask(&exchange, path, err);
}

int registry_head(struct registry *registry, const char *reference, struct registry_answer *answer,
                  struct error *err)
{
    return ask_manifest(registry, "HEAD", reference, answer, err);
}

int registry_get_manifest(struct registry *registry, const char *reference,
                          struct registry_answer *answer, struct error *err)
{
    return ask_manifest(registry, "GET", reference, answer, err);
}

int registry_get_blob(struct registry *registry, const char *digest,
                      int (*on_bytes)(void *context, const char *bytes, size_t length),
                      void *context, struct registry_answer *answer, struct error *err)
{
    char path[PATH_BYTES];
    struct exchange exchange = {.registry = registry,
                                .method = "GET",
                                .on_bytes = on_bytes,
                                .context = context,
                                .answer = answer};
    (void)snprintf(path, sizeof(path), "/v2/%s/blobs/%s", registry->repository, digest);
    return ask(&exchange, path, err);
}

bool registry_says_unknown(const struct registry_answer *answer)
{
    static const char *const codes[] = {"NAME_UNKNOWN", "MANIFEST_UNKNOWN", "NOT_FOUND"};
    const struct buffer *body = &answer->body;
    cJSON *root = cJSON_ParseWithLength(body->bytes == NULL ? "" : body->bytes, body->length);
    const cJSON *entry = NULL;
    bool unknown = false;
    cJSON_ArrayForEach(entry, json_at(root, "errors"))
    {
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            unknown = unknown || strcmp(json_text_or_empty(entry, "code"), codes[i]) == 0;
        }
    }
    cJSON_Delete(root);
    return unknown;
}
