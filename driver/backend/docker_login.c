/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker_login.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "driver/capture.h"

#define HELPER_MS 30000

void docker_login_copy(char *out, const char *text)
{
    (void)snprintf(out, DOCKER_SECRET_BYTES, "%s", text == NULL ? "" : text);
}

/* cJSON frees texts as they are, so they are wiped first. */
static void wipe(cJSON *item)
{
    for (; item != NULL; item = item->next) {
        if (cJSON_IsString(item)) {
            sodium_memzero(item->valuestring, strlen(item->valuestring));
        }
        wipe(item->child);
    }
}

void docker_login_delete_json(cJSON *root)
{
    wipe(root);
    cJSON_Delete(root);
}

/* What docker-credential-NAME prints: {"Username": ..., "Secret": ...}; the user "<token>" means
 * that the secret is one (docker/docker-credential-helpers, "Development"). */
static int read_helper(const struct buffer *printed, struct docker_login *login)
{
    cJSON *root =
        cJSON_ParseWithLength(printed->bytes == NULL ? "" : printed->bytes, printed->length);
    const char *user = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "Username"));
    const char *secret = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "Secret"));
    bool good = user != NULL && secret != NULL;
    if (good && strcmp(user, "<token>") == 0) {
        docker_login_copy(login->token, secret);
    } else if (good) {
        docker_login_copy(login->user, user);
        docker_login_copy(login->password, secret);
    }
    docker_login_delete_json(root);
    return good ? 0 : -1;
}

int docker_helper_ask(const char *name, const char *registry, struct signals *signals,
                      struct docker_login *login, struct error *err)
{
    char program[128];
    char get[] = "get";
    char *const argv[] = {program, get, NULL};
    struct buffer printed;
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] !=
        '\0') {
        return error_set(err, ERROR_USAGE, 0, "'%s' is no name of a credential helper", name);
    }
    (void)snprintf(program, sizeof(program), "docker-credential-%s", name);
    buffer_init(&printed, DOCKER_SECRET_BYTES);
    int result = capture_run(argv, strcmp(registry, "docker.io") == 0 ? DOCKER_HUB_KEY : registry,
                             signals, clock_deadline_ms(HELPER_MS), &printed, err);
    if (result == 0 && read_helper(&printed, login) < 0) {
        result = error_set(err, ERROR_USAGE, 0, "'%s' printed no login", program);
    }
    buffer_done(&printed);
    return result < 0 ? -1 : 1;
}
