/* SPDX-License-Identifier: MIT */
/* Responses of AWS, or of a server in its place: errors, XML, credentials as JSON,
 * a task of ECS, an image's manifest, a page of a log. The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "driver/aws/credentials.h"
#include "driver/aws/failure.h"
#include "driver/aws/sources.h"
#include "driver/aws/xml.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/service_logs.h"
#include "driver/commands/doctor/platforms.h"
#include "tests/fuzz/fuzz.h"

/* Texts of an error are terminated and become a meaning. */
static void check_error_body(const struct aws_error_body *body)
{
    fuzz_require(memchr(body->code, '\0', sizeof(body->code)) != NULL);
    fuzz_require(memchr(body->text, '\0', sizeof(body->text)) != NULL);
    enum aws_meaning meaning = aws_meaning(400, body->code);
    fuzz_require(meaning >= AWS_FINAL && meaning <= AWS_NOT_ALLOWED);
    (void)ecs_advice_of_refusal(body->text);
    (void)ecs_advice_of_stop(body->text);
}

static void check_error(const char *text, size_t length)
{
    struct aws_error_body body = {0};
    aws_error_body_read_json(text, length, &body);
    check_error_body(&body);
}

static size_t depth_of(const cJSON *tree)
{
    size_t deepest = 0;
    const cJSON *child = NULL;
    cJSON_ArrayForEach(child, tree)
    {
        size_t depth = depth_of(child);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

static void check_xml(const char *text, size_t length)
{
    struct aws_error_body body = {0};
    struct error err = {0};
    cJSON *tree = xml_parse(text, length, &err);
    fuzz_require(tree != NULL || err.message[0] != '\0');
    fuzz_require(tree == NULL || depth_of(tree) <= XML_DEPTH_CEILING);
    cJSON_Delete(tree);
    xml_read_error(text, length, &body);
    check_error_body(&body);
}

/* Credentials that are taken are complete. */
static void check_credentials(const char *text, size_t length)
{
    struct aws_credentials credentials = {0};
    struct aws_search search = {.out = &credentials};
    struct error err = {0};
    if (aws_source_read_json(&search, text, length, "SessionToken", "here", &err) == 1) {
        fuzz_require(credentials.key_id != NULL && credentials.key_id[0] != '\0');
        fuzz_require(credentials.secret != NULL && credentials.secret[0] != '\0');
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    aws_credentials_done(&credentials);
}

static void check_task(const char *text, size_t length)
{
    struct ecs_view view;
    struct error err = {0};
    cJSON *answer = cJSON_ParseWithLength(text, length);
    ecs_view_read(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "tasks"), 0),
                  "ci-coordinator", &view);
    fuzz_require(!view.missing || view.status[0] == '\0');
    (void)ecs_view_ends(&view);
    fuzz_require(ecs_view_error(&view, &err) == -1 && err.message[0] != '\0');
    cJSON_Delete(answer);
}

/* What is reported of a manifest fits, and an empty index has nothing. */
static void check_manifest(const char *text, size_t length)
{
    struct platforms platforms = {0};
    char body[64];
    cJSON *manifest = cJSON_ParseWithLength(text, length);
    const char *digest = platforms_config_digest(manifest);
    fuzz_require(digest == NULL || strlen(digest) == 71);
    if (platforms_read_index(manifest, &platforms)) {
        int entries = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(manifest, "manifests"));
        fuzz_require(platforms.count <= (size_t)entries);
    }
    platforms_read_config(manifest, &platforms);
    fuzz_require(platforms.count <= PLATFORMS_CEILING);
    platforms_write(&platforms, body, sizeof(body));
    fuzz_require(memchr(body, '\0', sizeof(body)) != NULL);
    for (size_t i = 0; i < platforms.count; i++) {
        fuzz_require(platforms_have(&platforms, platforms.names[i]));
    }
    cJSON_Delete(manifest);
}

/* A page that was taken is not taken again, however often a small buffer is emptied. */
static void check_log(const char *text, size_t length)
{
    cJSON *answer = cJSON_ParseWithLength(text, length);
    cJSON *entry = cJSON_Parse("{\"name\":\"db\"}");
    struct buffer out;
    bool ok = true;
    buffer_init(&out, 8192);
    for (size_t round = 0; ecs_service_logs_take(answer, entry, &out, &ok); round++) {
        fuzz_require(out.length > 0 && round <= length);
        buffer_clear(&out);
    }
    fuzz_require(ok && (out.length == 0 || out.bytes[out.length - 1] == '\n'));
    buffer_clear(&out);
    fuzz_require(!ecs_service_logs_take(answer, entry, &out, &ok) && out.length == 0);
    buffer_done(&out);
    cJSON_Delete(entry);
    cJSON_Delete(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static void (*const checks[])(const char *text, size_t length) = {
        check_error, check_xml, check_credentials, check_task, check_manifest, check_log};
    if (size > 0) {
        char *text = malloc(size);
        fuzz_require(text != NULL);
        memcpy(text, bytes + 1, size - 1);
        checks[bytes[0] % (sizeof(checks) / sizeof(checks[0]))](text, size - 1);
        free(text);
    }
    return 0;
}
