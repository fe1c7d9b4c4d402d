/* SPDX-License-Identifier: MIT */
/* Source: API reference of Amazon ECR (GetAuthorizationToken: base64 of "AWS:PASSWORD"). */
#include "driver/registry/ecr_login.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "driver/aws/service.h"
#include "driver/base/json.h"

#define TOKEN_BYTES (2 * REGISTRY_SECRET_BYTES)

/* 0: "user:password" in base64. */
static int split(const char *token, struct registry_login *login)
{
    size_t length = 0;
    char *text = sodium_malloc(TOKEN_BYTES);
    int result = -1;
    if (text != NULL &&
        sodium_base642bin((unsigned char *)text, TOKEN_BYTES - 1, token, strlen(token), NULL,
                          &length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0) {
        text[length] = '\0';
        char *colon = strchr(text, ':');
        if (colon != NULL && strlen(colon + 1) < sizeof(login->password) &&
            (size_t)(colon - text) < sizeof(login->user)) {
            *colon = '\0';
            (void)snprintf(login->user, sizeof(login->user), "%s", text);
            (void)snprintf(login->password, sizeof(login->password), "%s", colon + 1);
            result = 0;
        }
    }
    sodium_free(text);
    return result;
}

static int fetch(struct aws_client *client, const char *region, int64_t deadline_ms,
                 struct registry_login *login, struct error *err)
{
    struct aws_failure failure = {0};
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    if (request == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write a request to ECR");
    }
    int result = aws_ecr(client, region, "GetAuthorizationToken", request, deadline_ms, &answer,
                         &failure, err);
    cJSON_Delete(request);
    if (result == 0) {
        const cJSON *first = cJSON_GetArrayItem(json_at(answer, "authorizationData"), 0);
        const char *token = json_text_at(first, "authorizationToken");
        if (token == NULL || split(token, login) < 0) {
            result = error_set(err, ERROR_PEER, 0, "ecr GetAuthorizationToken: no valid token");
        }
    }
    json_delete_wiped(answer);
    return result;
}

int ecr_login(struct aws_client *client, const char *region, int64_t deadline_ms,
              struct registry_login *login, struct error *err)
{
    /* A job's images are mostly in one region, and this process is short. */
    static struct registry_login *last;
    static char last_region[AWS_REGION_BYTES];
    if (last != NULL && strcmp(last_region, region) == 0) {
        *login = *last;
        return 0;
    }
    if (fetch(client, region, deadline_ms, login, err) < 0) {
        return -1;
    }
    last = last != NULL ? last : registry_login_new(NULL);
    if (last != NULL) {
        *last = *login;
        (void)snprintf(last_region, sizeof(last_region), "%s", region);
    }
    return 0;
}
