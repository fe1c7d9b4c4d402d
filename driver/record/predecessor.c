/* SPDX-License-Identifier: MIT */
#include "driver/record/predecessor.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/fd.h"
#include "driver/runner/runner.h"

#define FILE_CEILING_BYTES (64UL << 10)

static const char *or_else(const char *value, const char *otherwise)
{
    return value == NULL ? otherwise : value;
}

/* The path that that driver makes of variables. A pipeline can set them, so no part may lead to
 * another directory. */
static int path_of(const char *directory, char out[PATH_MAX])
{
    char identity[4096];
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof(hash) + 1];
    const char *token = or_else(runner_variable("CI_RUNNER_SHORT_TOKEN"), "unknown");
    const char *job = runner_variable("CI_JOB_ID");
    int length = snprintf(identity, sizeof(identity), "%s-%s-%s",
                          or_else(runner_variable("CI_PROJECT_URL"), "unknown"),
                          or_else(runner_variable("CI_PIPELINE_ID"), "0"), or_else(job, "0"));
    if (job == NULL || length < 0 || (size_t)length >= sizeof(identity) ||
        strchr(token, '/') != NULL) {
        return -1;
    }
    (void)crypto_hash_sha256(hash, (const unsigned char *)identity, (size_t)length);
    (void)sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    length = snprintf(out, PATH_MAX, "%s/%s-%s.json", directory, token, hex);
    return length > 0 && length < PATH_MAX ? 0 : -1;
}

int predecessor_check(const char *directory, struct error *err)
{
    char path[PATH_MAX];
    struct error ignored;
    struct buffer text;
    cJSON *metadata = NULL;
    if (path_of(directory, path) < 0 || access(path, F_OK) < 0) {
        return 0;
    }
    buffer_init(&text, FILE_CEILING_BYTES);
    if (fd_read_file(path, &text, &ignored) == 0 && text.length > 0) {
        metadata = cJSON_ParseWithLength(text.bytes, text.length);
    }
    buffer_done(&text);
    const char *arn = cJSON_GetStringValue(cJSON_GetObjectItem(metadata, "TaskARN"));
    (void)error_set(
        err, ERROR_SYSTEM, 0,
        "GitLab's Fargate driver launched the task of this job ('%s'), which may still be running; "
        "stop the task '%s', or run that driver's 'custom cleanup' for this job",
        path, arn != NULL ? arn : "named in that file");
    cJSON_Delete(metadata);
    return -1;
}
