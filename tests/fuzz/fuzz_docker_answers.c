/* SPDX-License-Identifier: MIT */
/* What a Docker Engine, a pipeline and Docker's own files say: JSON lines of a pull, framed logs,
 * 'services:', logins, the engine's address. The first byte chooses. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "driver/backend/docker_auth.h"
#include "driver/backend/docker_host.h"
#include "driver/backend/docker_services.h"
#include "driver/backend/docker_stream.h"
#include "driver/json.h"
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

static void check_frames(const char *text, size_t length)
{
    struct buffer out;
    buffer_init(&out, 4096);
    docker_frames_text(text, length, &out);
    fuzz_require(out.length <= length);
    buffer_done(&out);
}

/* A host name has no character that means something in the engine's JSON or in a shell. */
static void check_services(const char *text, size_t length)
{
    char everything[] = "**";
    struct config config = {.docker = {.allowed_services = {.entries = {everything}, .count = 1}}};
    struct error err = {0};
    cJSON *services = NULL;
    cJSON *service = NULL;
    (void)length;
    if (docker_services_parse(&config, text, &services, &err) < 0) {
        fuzz_require(services == NULL && err.kind == ERROR_USAGE);
    }
    cJSON_ArrayForEach(service, services)
    {
        bool ok = true;
        cJSON *names = cJSON_CreateArray();
        cJSON *name = NULL;
        docker_service_aliases(service, names, &ok);
        cJSON_ArrayForEach(name, names)
        {
            fuzz_require(strpbrk(name->valuestring, " /:;$\"'\n") == NULL);
        }
        cJSON_Delete(names);
    }
    cJSON_Delete(services);
}

static void check_auth(const char *text, size_t length)
{
    char *header = NULL;
    struct error err = {0};
    (void)length;
    fuzz_require(setenv("CUSTOM_ENV_DOCKER_AUTH_CONFIG", text, 1) == 0);
    if (docker_auth_header("registry.example:5000", NULL, &header, &err) < 0) {
        fuzz_require(err.message[0] != '\0');
    }
    fuzz_require(header == NULL || strpbrk(header, "\r\n") == NULL);
    sodium_free(header);
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
        check_lines, check_frames, check_services, check_auth, check_host};
    if (size > 0) {
        char *text = fuzz_text(bytes + 1, size - 1);
        checks[bytes[0] % (sizeof(checks) / sizeof(checks[0]))](text, size - 1);
        free(text);
    }
    return 0;
}
