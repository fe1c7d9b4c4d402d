/* SPDX-License-Identifier: MIT */
#include "driver/registry/credential_helper.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/base/json.h"
#include "driver/base/subprocess_output.h"

#define HELPER_MS 30000

static void copy_text(char *out, const char *text)
{
    (void)snprintf(out, REGISTRY_SECRET_BYTES, "%s", text);
}

/* What docker-credential-NAME prints: {"Username": ..., "Secret": ...}; the user "<token>" means
 * that the secret is one (docker/docker-credential-helpers, "Development"). Returns 1, 0 for an
 * empty one, -1 when it is not one. */
static int read_helper(const struct buffer *printed, struct registry_login *login)
{
    cJSON *root =
        cJSON_ParseWithLength(printed->bytes == NULL ? "" : printed->bytes, printed->length);
    const char *user = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "Username"));
    const char *secret = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "Secret"));
    int result = user == NULL || secret == NULL ? -1 : secret[0] == '\0' ? 0 : 1;
    if (result == 1 && strcmp(user, "<token>") == 0) {
        copy_text(login->token, secret);
    } else if (result == 1) {
        copy_text(login->user, user);
        copy_text(login->password, secret);
    }
    json_delete_wiped(root);
    return result;
}

static bool is_installed(const char *program)
{
    const char *path = getenv("PATH");
    char file[PATH_MAX];
    for (const char *at = path == NULL ? "" : path; *at != '\0';) {
        size_t length = strcspn(at, ":");
        int wrote = snprintf(file, sizeof(file), "%.*s/%s", (int)length, at, program);
        if (wrote > 0 && (size_t)wrote < sizeof(file) && access(file, X_OK) == 0) {
            return true;
        }
        at += length + (at[length] == ':' ? 1 : 0);
    }
    return false;
}

int credential_helper_run(const char *name, const char *key, struct signals *signals,
                          struct registry_login *login, struct error *err)
{
    static const char unknown[] = "credentials not found"; /* the text of every helper */
    char program[128];
    char get[] = "get";
    char *const argv[] = {program, get, NULL};
    struct buffer printed;
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] !=
        '\0') {
        return error_set(err, ERROR_USAGE, 0, "'%s' is not a valid name of a credential helper",
                         name);
    }
    (void)snprintf(program, sizeof(program), "docker-credential-%s", name);
    if (!is_installed(program)) {
        log_info("no login for '%s': '%s' is not installed", key, program);
        return 0;
    }
    buffer_init(&printed, REGISTRY_SECRET_BYTES);
    int result =
        subprocess_read_output(argv, key, signals, clock_deadline_ms(HELPER_MS), &printed, err);
    size_t blank = printed.length == 0 ? 0 : strspn(printed.bytes, " \t\r\n");
    if (blank < printed.length &&
        strncasecmp(printed.bytes + blank, unknown, sizeof(unknown) - 1) == 0) {
        result = 0;
    } else if (result == 0 && blank < printed.length) {
        result = read_helper(&printed, login);
        result = result >= 0
                     ? result
                     : error_set(err, ERROR_SYSTEM, 0, "'%s' did not print a login", program);
    }
    buffer_done(&printed);
    return result;
}
