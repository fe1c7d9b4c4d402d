/* SPDX-License-Identifier: MIT */
/* What a Docker Engine, a pipeline and Docker's own files say: JSON lines of a pull, framed logs,
 * 'services:', logins, the engine's address. The first byte chooses. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/backend/docker/host.h"
#include "driver/backend/docker/request.h"
#include "driver/backend/docker/service_logs.h"
#include "driver/backend/docker/stream.h"
#include "driver/backend/service_names.h"
#include "driver/base/json.h"
#include "driver/registry/auth.h"
#include "driver/registry/name.h"
#include "tests/fuzz/fuzz.h"

static void count_object(void *context, const cJSON *object)
{
    size_t *count = context;
    fuzz_require(cJSON_IsObject(object));
    (*count)++;
}

/* In pieces of 'step' bytes. */
static int feed(const char *text, size_t length, size_t step, size_t *count)
{
    struct docker_lines lines;
    int result = 0;
    *count = 0;
    docker_lines_init(&lines, count_object, count);
    for (size_t at = 0; at < length && result == 0; at += step) {
        result = docker_lines_feed(&lines, text + at, length - at < step ? length - at : step);
    }
    result = result == 0 ? docker_lines_end(&lines) : result;
    docker_lines_done(&lines);
    return result;
}

/* How a pull's lines are cut into pieces changes nothing. */
static void check_lines(const char *text, size_t length)
{
    size_t whole = 0;
    size_t pieces = 0;
    int first = feed(text, length, length + 1, &whole);
    int second = feed(text, length, 3, &pieces);
    fuzz_require(first == second && whole == pieces);
}

/* A second answer from the same time on says nothing again. */
static void check_logs(const char *text, size_t length)
{
    struct docker_log_position position = {.since = "0"};
    struct buffer out;
    buffer_init(&out, length * 16 + 64);
    docker_service_logs_take(text, length, "db", &position, &out);
    fuzz_require(strspn(position.since, "-.0123456789") == strlen(position.since));
    size_t once = out.length;
    docker_service_logs_take(text, length, "db", &position, &out);
    fuzz_require(out.length == once);
    buffer_done(&out);
}

static void check_frames(const char *text, size_t length)
{
    struct buffer out;
    buffer_init(&out, 4096);
    docker_frames_text(text, length, &out);
    fuzz_require(out.length <= length);
    buffer_done(&out);
    check_logs(text, length);
}

/* What is taken is within the list, and a host name has no character that means something in the
 * engine's JSON or in a shell. */
static void check_request(const struct config *config)
{
    struct job_keywords request;
    struct error err = {0};
    const cJSON *service = NULL;
    if (docker_request_read(config, true, &request, &err) < 0) {
        fuzz_require(err.message[0] != '\0');
        job_keywords_done(&request);
        return;
    }
    fuzz_require(json_text_at(request.image, "name") != NULL);
    cJSON *taken = cJSON_CreateArray();
    cJSON_ArrayForEach(service, request.services)
    {
        bool ok = true;
        cJSON *names = cJSON_CreateArray();
        cJSON *name = NULL;
        fuzz_require(
            image_name_allowed(&config->docker.allowed_services, json_text_at(service, "name")));
        service_names_read(service, taken, names, &ok);
        cJSON_ArrayForEach(name, names)
        {
            fuzz_require(strpbrk(name->valuestring, " /:;$\"'\n") == NULL);
        }
        cJSON_Delete(names);
    }
    cJSON_Delete(taken);
    job_keywords_done(&request);
}

static void check_services(const char *text, size_t length)
{
    char everything[] = "**", image[] = "a";
    struct config config = {
        .docker = {.image = image, .allowed_services = {.entries = {everything}, .count = 1}}};
    (void)length;
    fuzz_require(unsetenv("JOB_RESPONSE_FILE") == 0);
    fuzz_require(setenv("CUSTOM_ENV_CI_JOB_SERVICES", text, 1) == 0);
    check_request(&config);
    fuzz_require(unsetenv("CUSTOM_ENV_CI_JOB_SERVICES") == 0);
}

static void check_response(const char *text, size_t length)
{
    char pattern[] = "a/*", other[] = "b/**";
    struct config config = {.docker = {.allowed_images = {.entries = {other}, .count = 1},
                                       .allowed_services = {.entries = {pattern}, .count = 1}}};
    char path[FUZZ_PATH_BYTES];
    int fd = fuzz_file((const uint8_t *)text, length, path);
    fuzz_require(setenv("JOB_RESPONSE_FILE", path, 1) == 0);
    check_request(&config);
    (void)close(fd);
}

static void check_auth(const char *text, size_t length)
{
    struct image_name name;
    struct registry_auth auth;
    struct error err = {0};
    (void)length;
    fuzz_require(image_name_parse("registry.example:5000/group/image", &name) == 0);
    fuzz_require(setenv("CUSTOM_ENV_DOCKER_AUTH_CONFIG", text, 1) == 0);
    if (registry_auth_find(&name, NULL, &auth, &err) < 0) {
        fuzz_require(err.message[0] != '\0');
    }
    fuzz_require(auth.header == NULL || strpbrk(auth.header, "\r\n") == NULL);
    sodium_free(auth.header);
}

static void check_host(const char *text, size_t length)
{
    char *host = strdup(text);
    struct config config = {.docker = {.host = host}};
    struct docker_host found = {0};
    struct error err = {0};
    (void)length;
    if (docker_host_find(&config, &found, &err) == 0) {
        fuzz_require((found.socket[0] != '\0') != (found.machine[0] != '\0'));
        fuzz_require(strncmp(found.url, "http", 4) == 0);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    free(host);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static void (*const checks[])(const char *text, size_t length) = {
        check_lines, check_frames, check_services, check_auth, check_host, check_response};
    if (size > 0) {
        char *text = fuzz_text(bytes + 1, size - 1);
        checks[bytes[0] % (sizeof(checks) / sizeof(checks[0]))](text, size - 1);
        free(text);
    }
    return 0;
}
