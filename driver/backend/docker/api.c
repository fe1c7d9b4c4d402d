/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/api.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/docker/host.h"
#include "driver/base/json.h"

#define ANSWER_CEILING_BYTES  (8UL << 20)
#define REQUEST_CEILING_BYTES (1UL << 20)
#define REQUEST_FIRST_BYTES   (16UL << 10)
#define CONNECT_MS            10000
#define VERSION_MS            15000
#define OLDEST_MINOR          41 /* Docker 20.10 */

int docker_path(char *out, size_t room, const char *format, ...)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";
    struct buffer path;
    va_list texts;
    buffer_init(&path, room - 1);
    int result = 0;
    va_start(texts, format);
    for (const char *at = format; *at != '\0' && result == 0; at++) {
        if (at[0] != '%' || at[1] != 's') {
            result = buffer_append(&path, at, 1);
            continue;
        }
        at++;
        for (const char *text = va_arg(texts, const char *); *text != '\0' && result == 0; text++) {
            result = strchr(plain, *text) != NULL
                         ? buffer_append(&path, text, 1)
                         : buffer_printf(&path, "%%%02X", (unsigned char)*text);
        }
    }
    va_end(texts);
    if (result == 0) {
        (void)snprintf(out, room, "%s", path.bytes == NULL ? "" : path.bytes);
    }
    buffer_done(&path);
    return result;
}

static int make_url(const struct docker *docker, const char *path, char out[DOCKER_URL_BYTES],
                    struct error *err)
{
    int length = snprintf(out, DOCKER_URL_BYTES, "%s%s%s", docker->base, docker->api, path);
    return length < 0 || length >= DOCKER_URL_BYTES
               ? error_set(err, ERROR_USAGE, 0, "a name is too long for the Docker Engine")
               : 0;
}

static int send_request(struct docker *docker, const struct http_request *request,
                        struct http_answer *answer, struct error *err)
{
    char url[DOCKER_URL_BYTES];
    struct http_request own = *request;
    if (make_url(docker, request->url, url, err) < 0) {
        return -1;
    }
    own.url = url;
    own.signals = docker->signals;
    if (http_call(docker->http, &own, answer, err) == 0) {
        return 0;
    }
    (void)error_wrap(err, "Docker Engine at '%s'", docker->shown);
    return docker->machine[0] == '\0' || err->hint[0] != '\0' || err->errnum == EINTR
               ? -1
               : error_hint(err, "check that it runs, and [Docker] Host or DOCKER_HOST");
}

/* Whether the engine rejected the version of the API, before anything else (moby,
 * middleware/version.go). */
static bool rejects_version(const struct docker *docker, const struct http_answer *answer)
{
    return !docker->identified && docker->api[0] != '\0' && answer->status == 400 &&
           answer->body.bytes != NULL && strstr(answer->body.bytes, "client version") != NULL;
}

int docker_raw(struct docker *docker, struct http_request *request, struct http_answer *answer,
               struct error *err)
{
    if (send_request(docker, request, answer, err) < 0) {
        return -1;
    }
    if (!rejects_version(docker, answer)) {
        return 0;
    }
    buffer_clear(&answer->body);
    return docker_identify(docker, request->deadline_ms, err) < 0
               ? -1
               : send_request(docker, request, answer, err);
}

/* Sends the body from memory that is wiped afterwards. Such memory is filled when it is allocated,
 * so most requests get less than the ceiling. */
static int print_body(const cJSON *body, char **out_text, struct error *err)
{
    *out_text = NULL;
    if (body == NULL) {
        return 0;
    }
    for (size_t room = REQUEST_FIRST_BYTES; room <= REQUEST_CEILING_BYTES; room *= 8) {
        *out_text = sodium_malloc(room);
        if (*out_text != NULL &&
            cJSON_PrintPreallocated((cJSON *)(uintptr_t)body, *out_text, (int)room, 0)) {
            return 0;
        }
        sodium_free(*out_text);
        *out_text = NULL;
    }
    return error_set(err, ERROR_LIMIT, 0, "a request to the Docker Engine is larger than %lu bytes",
                     REQUEST_CEILING_BYTES);
}

static int call_for_text(struct docker *docker, const char *method, const char *path,
                         const cJSON *body, int64_t deadline_ms, struct http_answer *answer,
                         struct error *err)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    char *text = NULL;
    if (print_body(body, &text, err) < 0) {
        return -1;
    }
    struct http_request request = {
        .method = method,
        .url = path,
        .headers = text == NULL ? NULL : headers,
        .body = text,
        .body_length = text == NULL ? 0 : strlen(text),
        .deadline_ms = deadline_ms,
    };
    buffer_init(&answer->body, ANSWER_CEILING_BYTES);
    int result = docker_raw(docker, &request, answer, err);
    sodium_free(text);
    if (result == 0) {
        log_debug("docker: %s %s: %d", method, path, answer->status);
    }
    return result;
}

static cJSON *parse_answer(const struct http_answer *answer)
{
    return answer->body.length == 0
               ? NULL
               : cJSON_ParseWithLength(answer->body.bytes, answer->body.length);
}

int docker_call(struct docker *docker, const char *method, const char *path, const cJSON *body,
                int64_t deadline_ms, int *out_status, cJSON **out_answer, struct error *err)
{
    struct http_answer answer = {0};
    int result = call_for_text(docker, method, path, body, deadline_ms, &answer, err);
    if (result == 0) {
        *out_status = answer.status;
        if (out_answer != NULL) {
            *out_answer = parse_answer(&answer);
        }
    }
    buffer_done(&answer.body);
    return result;
}

/* Whether a retry may help: objects that are missing, in use or exhausted may not be later; a wrong
 * request, or a user or group that the image lacks, stays wrong. */
static bool may_pass(int status, const char *message)
{
    static const char *const lasting[] = {
        "unable to find user", "unable to find group", "uids and gids must be in range",
        "authorization denied by plugin", "executable file not found"}; /* podman: 500 */
    for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++) {
        if (message != NULL && strcasestr(message, lasting[i]) != NULL) {
            return false;
        }
    }
    switch (status) {
    case 403: /* a name or an address in use */
    case 404: /* removed by another client */
    case 408:
    case 409:
    case 423:
    case 425:
    case 429:
        return true;
    default:
        return status >= 500 && status != 501;
    }
}

int docker_refused(int status, const cJSON *answer, const char *method, const char *path,
                   struct error *err)
{
    const char *message = json_text_at(answer, "message");
    enum error_kind kind = may_pass(status, message) ? ERROR_SYSTEM : ERROR_USAGE;
    if (message != NULL && message[0] != '\0') {
        (void)error_set(err, kind, 0, "Docker Engine: %.600s", message);
    } else {
        (void)error_set(err, kind, 0, "%s %s: the Docker Engine returned status %d", method, path,
                        status);
    }
    return -1;
}

int docker_refused_text(int status, const char *body, const char *method, const char *path,
                        struct error *err)
{
    cJSON *answer = body == NULL ? NULL : cJSON_Parse(body);
    int result = docker_refused(status, answer, method, path, err);
    cJSON_Delete(answer);
    return result;
}

int docker_expect(struct docker *docker, const char *method, const char *path, const cJSON *body,
                  int64_t deadline_ms, cJSON **out_answer, struct error *err)
{
    struct http_answer answer = {0};
    int result = call_for_text(docker, method, path, body, deadline_ms, &answer, err);
    if (result == 0 && answer.status >= 400) {
        result = docker_refused_text(answer.status, answer.body.bytes, method, path, err);
    } else if (result == 0 && out_answer != NULL) {
        *out_answer = parse_answer(&answer);
        if (*out_answer == NULL) {
            result = error_set(err, ERROR_PEER, 0,
                               "the Docker Engine's answer to %s is not valid JSON", path);
        }
    }
    buffer_done(&answer.body);
    return result;
}

int docker_begin(struct docker *docker, const char *path, int64_t deadline_ms,
                 struct docker_pending *pending, struct error *err)
{
    *pending = (struct docker_pending){
        .request = {.method = "POST", .deadline_ms = deadline_ms, .signals = docker->signals}};
    if (make_url(docker, path, pending->url, err) < 0) {
        return -1;
    }
    pending->request.url = pending->url;
    buffer_init(&pending->answer.body, ANSWER_CEILING_BYTES);
    if (http_begin(docker->http, &pending->request, &pending->answer, err) < 0) {
        buffer_done(&pending->answer.body);
        return error_wrap(err, "Docker Engine at '%s'", docker->shown);
    }
    return 0;
}

int docker_finish(struct docker *docker, struct docker_pending *pending, struct error *err)
{
    int result = http_finish(docker->http, err);
    if (result < 0) {
        (void)error_wrap(err, "Docker Engine at '%s'", docker->shown);
    } else if (pending->answer.status >= 400) {
        result = docker_refused_text(pending->answer.status, pending->answer.body.bytes, "POST",
                                     pending->url, err);
    }
    buffer_done(&pending->answer.body);
    return result;
}

/* "1.41" to 41; 0: not a version. */
static int minor_of(const char *version)
{
    if (version == NULL || strncmp(version, "1.", 2) != 0) {
        return 0;
    }
    long minor = strtol(version + 2, NULL, 10);
    return minor > 0 && minor < 10000 ? (int)minor : 0;
}

static void set_version(struct docker *docker, int minor)
{
    (void)snprintf(docker->api, sizeof(docker->api), "/v1.%d", minor);
}

int docker_identify(struct docker *docker, int64_t deadline_ms, struct error *err)
{
    cJSON *answer = NULL;
    if (docker->identified) {
        return 0;
    }
    docker->api[0] = '\0'; /* every engine knows this path without a version */
    deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(VERSION_MS));
    int result = docker_expect(docker, "GET", "/version", NULL, deadline_ms, &answer, err);
    set_version(docker, OLDEST_MINOR);
    if (result < 0) {
        return -1;
    }
    int newest = minor_of(json_text_at(answer, "ApiVersion"));
    int oldest = minor_of(json_text_at(answer, "MinAPIVersion"));
    const char *version = json_text_at(answer, "Version");
    (void)snprintf(docker->version, sizeof(docker->version), "%s", version == NULL ? "" : version);
    (void)snprintf(docker->processor, sizeof(docker->processor), "%s",
                   json_text_or_empty(answer, "Arch"));
    cJSON_Delete(answer);
    if (newest < OLDEST_MINOR) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "the Docker Engine at '%s' is version '%s' with API 1.%d", docker->shown,
                        docker->version, newest);
        return error_hint(err, "Berth needs API 1.%d (Docker 20.10)", OLDEST_MINOR);
    }
    set_version(docker, oldest > OLDEST_MINOR ? oldest : OLDEST_MINOR);
    docker->identified = true;
    return 0;
}

static int prepare(struct docker *docker, const struct docker_host *host, struct error *err)
{
    struct http_options options = {
        .unix_socket = host->socket[0] != '\0' ? host->socket : NULL,
        .ca_file = host->tls ? host->ca_file : NULL,
        .certificate_file = host->tls ? host->certificate_file : NULL,
        .key_file = host->tls ? host->key_file : NULL,
        .no_proxy = host->socket[0] != '\0',
        .connect_ms = CONNECT_MS,
    };
    (void)snprintf(docker->shown, sizeof(docker->shown), "%s", host->shown);
    (void)snprintf(docker->machine, sizeof(docker->machine), "%s", host->machine);
    (void)snprintf(docker->base, sizeof(docker->base), "%s", host->url);
    set_version(docker, OLDEST_MINOR);
    docker->http = http_new(&options, err);
    return docker->http == NULL ? -1 : 0;
}

int docker_open(const struct config *config, struct signals *signals, struct docker **out_docker,
                struct error *err)
{
    struct docker_host host;
    if (docker_host_find(config, &host, err) < 0 || docker_host_probe(&host, err) < 0) {
        return -1;
    }
    struct docker *docker = calloc(1, sizeof(*docker));
    if (docker == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open the Docker Engine");
    }
    docker->config = config;
    docker->signals = signals;
    if (prepare(docker, &host, err) < 0) {
        docker_close(docker);
        return -1;
    }
    *out_docker = docker;
    return 0;
}

int docker_open_again(const struct docker *known, struct docker **out_docker, struct error *err)
{
    if (docker_open(known->config, known->signals, out_docker, err) < 0) {
        return -1;
    }
    memcpy((*out_docker)->api, known->api, sizeof(known->api));
    (*out_docker)->identified = known->identified;
    return 0;
}

void docker_close(struct docker *docker)
{
    if (docker != NULL) {
        http_free(docker->http);
        free(docker);
    }
}
