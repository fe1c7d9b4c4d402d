/* SPDX-License-Identifier: MIT */
/*
 * http-probe - one or more calls of driver/base/http.h, with arguments "name=value", for the
 * black-box tests. Each call prints one line of JSON with everything that came back.
 */
#include <cjson/cJSON.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/parse.h"
#include "driver/base/http.h"

#define HEADER_CEILING 16

struct probe {
    const char *method, *url, *body, *sign, *secret;
    int64_t deadline_ms, stall_ms, ceiling, repeat, body_size, refuse_after, parts;
    bool stream;
    const char *headers[HEADER_CEILING + 1];
    size_t header_count;
    int64_t streamed;
    struct http_options options;
};

static int64_t number(const char *text)
{
    int64_t value = 0;
    if (parse_integer(text, 0, INT64_MAX, &value) < 0) {
        (void)fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static void take_number(struct probe *probe, const char *name, const char *value)
{
    const struct {
        const char *name;
        int64_t *field;
    } rows[] = {
        {"deadline_ms", &probe->deadline_ms},   {"stall_ms", &probe->stall_ms},
        {"ceiling", &probe->ceiling},           {"repeat", &probe->repeat},
        {"body_size", &probe->body_size},       {"parts", &probe->parts},
        {"refuse_after", &probe->refuse_after}, {"connect_ms", &probe->options.connect_ms},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *rows[i].field = number(value);
            return;
        }
    }
    (void)fprintf(stderr, "unknown word: %s\n", name);
    exit(2);
}

static void take(struct probe *probe, char *word)
{
    char *value = strchr(word, '=');
    if (value == NULL) {
        (void)fprintf(stderr, "not name=value: %s\n", word);
        exit(2);
    }
    *value++ = '\0';
    const struct {
        const char *name;
        const char **field;
    } rows[] = {
        {"method", &probe->method},
        {"url", &probe->url},
        {"body", &probe->body},
        {"sign", &probe->sign}, /* region:service:key */
        {"secret", &probe->secret},
        {"socket", &probe->options.unix_socket},
        {"ca", &probe->options.ca_file},
        {"certificate", &probe->options.certificate_file},
        {"key", &probe->options.key_file},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, word) == 0) {
            *rows[i].field = value;
            return;
        }
    }
    if (strcmp(word, "header") == 0 && probe->header_count < HEADER_CEILING) {
        probe->headers[probe->header_count++] = value;
    } else if (strcmp(word, "stream") == 0) {
        probe->stream = number(value) != 0;
    } else if (strcmp(word, "no_proxy") == 0) {
        probe->options.no_proxy = number(value) != 0;
    } else {
        take_number(probe, word, value);
    }
}

static int on_bytes(void *context, const char *bytes, size_t length)
{
    struct probe *probe = context;
    (void)bytes;
    probe->streamed += (int64_t)length;
    return probe->refuse_after > 0 && probe->streamed >= probe->refuse_after ? -1 : 0;
}

static void print(const struct probe *probe, int result, const struct http_answer *answer,
                  const struct error *err, int64_t took_ms)
{
    cJSON *line = cJSON_CreateObject();
    char message[ERROR_TEXT_BYTES];
    (void)cJSON_AddBoolToObject(line, "ok", result == 0);
    (void)cJSON_AddNumberToObject(line, "status", answer->status);
    (void)cJSON_AddNumberToObject(line, "failure", answer->failure);
    (void)cJSON_AddStringToObject(line, "body",
                                  answer->body.bytes == NULL ? "" : answer->body.bytes);
    (void)cJSON_AddNumberToObject(line, "length", (double)answer->body.length);
    (void)cJSON_AddNumberToObject(line, "streamed", (double)probe->streamed);
    (void)cJSON_AddStringToObject(line, "date", answer->date);
    (void)cJSON_AddNumberToObject(line, "retry_after_ms", (double)answer->retry_after_ms);
    (void)cJSON_AddStringToObject(line, "message", result == 0 ? "" : error_text(err, message));
    (void)cJSON_AddNumberToObject(line, "kind", result == 0 ? ERROR_NONE : (int)err->kind);
    (void)cJSON_AddNumberToObject(line, "took_ms", (double)took_ms);
    char *text = cJSON_PrintUnformatted(line);
    (void)printf("%s\n", text);
    (void)fflush(stdout);
    cJSON_free(text);
    cJSON_Delete(line);
}

static void call_once(struct probe *probe, struct http *http, struct signals *signals,
                      const struct http_signing *signing)
{
    cleanup_buffer struct buffer sent;
    struct error err = {0};
    struct http_answer answer = {0};
    buffer_init(&answer.body, (size_t)probe->ceiling);
    buffer_init(&sent, (size_t)probe->body_size);
    for (int64_t i = 0; i < probe->body_size; i++) {
        if (buffer_append(&sent, "x", 1) < 0) {
            abort();
        }
    }
    bool big = probe->body_size > 0;
    const struct http_part parts[] = {{"abc", 3}, {NULL, 0}, {sent.bytes, sent.length}, {"xyz", 3}};
    struct http_request request = {
        .method = probe->method,
        .url = probe->url,
        .headers = probe->headers,
        .body = big ? sent.bytes : probe->body,
        .body_length = big ? sent.length : (probe->body == NULL ? 0 : strlen(probe->body)),
        .parts = probe->parts != 0 ? parts : NULL,
        .part_count = sizeof(parts) / sizeof(parts[0]),
        .deadline_ms = clock_deadline_ms(probe->deadline_ms),
        .stall_ms = probe->stall_ms,
        .signals = signals,
        .signing = signing,
        .on_bytes = probe->stream ? on_bytes : NULL,
        .context = probe,
    };
    int64_t from_ms = clock_now_ms();
    int result = http_call(http, &request, &answer, &err);
    print(probe, result, &answer, &err, clock_now_ms() - from_ms);
    buffer_done(&answer.body);
}

int main(int argc, char **argv)
{
    struct probe probe = {
        .method = "GET",
        .deadline_ms = 10000,
        .ceiling = 1 << 20,
        .repeat = 1,
        .options = {.connect_ms = 5000},
    };
    for (int i = 1; i < argc; i++) {
        take(&probe, argv[i]);
    }
    char scope[3][64] = {"", "", ""};
    const char *at = probe.sign;
    for (size_t i = 0; i < 3 && at != NULL; i++) {
        size_t length = strcspn(at, ":");
        (void)snprintf(scope[i], sizeof(scope[i]), "%.*s", (int)length, at);
        at += length + (at[length] == ':');
    }
    struct http_signing signing = {
        .region = scope[0], .service = scope[1], .key_id = scope[2], .secret = probe.secret};
    struct signals signals = {.fd = -1};
    struct error err = {0};
    struct http *http = NULL;
    signals_block();
    if (probe.url == NULL || signals_open(&signals, &err) < 0 ||
        (http = http_new(&probe.options, &err)) == NULL) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int64_t i = 0; i < probe.repeat; i++) {
        call_once(&probe, http, &signals, probe.sign == NULL ? NULL : &signing);
    }
    http_free(http);
    signals_done(&signals);
    return 0;
}
