/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker_auth.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/backend/docker_login.h"
#include "driver/json.h"
#include "driver/runner.h"

#define FILE_CEILING_BYTES (1UL << 20)
#define HEADER_BYTES       (4 * DOCKER_SECRET_BYTES)

/* Where a configuration comes from. */
struct place {
    const char *origin;
    bool helpers; /* those it names are run */
    struct signals *signals;
};

/* "https://registry.example:5000/v2/" is about "registry.example:5000". */
static bool is_about(const char *key, const char *registry)
{
    const char *scheme = strstr(key, "://");
    const char *host = scheme == NULL ? key : scheme + 3;
    size_t length = strcspn(host, "/");
    bool is_hub = strcmp(registry, "docker.io") == 0 && strlen(DOCKER_HUB_HOST) == length &&
                  strncmp(host, DOCKER_HUB_HOST, length) == 0;
    return is_hub || (strlen(registry) == length && strncmp(host, registry, length) == 0);
}

/* "auth" is base64 of "user:password". */
static int split_auth(const char *auth, struct docker_login *login)
{
    char text[DOCKER_SECRET_BYTES];
    size_t length = 0;
    int result = -1;
    if (sodium_base642bin((unsigned char *)text, sizeof(text) - 1, auth, strlen(auth), " \r\n",
                          &length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0) {
        text[length] = '\0';
        char *colon = strchr(text, ':');
        if (colon != NULL) {
            *colon = '\0';
            (void)snprintf(login->user, sizeof(login->user), "%s", text);
            (void)snprintf(login->password, sizeof(login->password), "%s", colon + 1);
            result = 0;
        }
    }
    sodium_memzero(text, sizeof(text));
    return result;
}

static int read_login(const cJSON *entry, const char *key, struct docker_login *login,
                      struct error *err)
{
    const char *auth = json_text_at(entry, "auth");
    docker_login_copy(login->token, json_text_at(entry, "identitytoken"));
    if (auth != NULL && auth[0] != '\0') {
        return split_auth(auth, login) == 0
                   ? 0
                   : error_set(err, ERROR_USAGE, 0,
                               "the login for '%s' is no base64 of user:password", key);
    }
    docker_login_copy(login->user, json_text_at(entry, "username"));
    docker_login_copy(login->password, json_text_at(entry, "password"));
    return 0;
}

static int write_header(const struct docker_login *login, const char *registry, char **out_header,
                        struct error *err)
{
    static const char name[] = "X-Registry-Auth: ";
    bool ok = true;
    cJSON *root = cJSON_CreateObject();
    if (login->token[0] != '\0') {
        json_text(root, "identitytoken", login->token, &ok);
    } else {
        json_text(root, "username", login->user, &ok);
        json_text(root, "password", login->password, &ok);
    }
    json_text(root, "serveraddress", registry, &ok);
    char *text = sodium_malloc(HEADER_BYTES);
    char *header = sodium_malloc(2 * HEADER_BYTES);
    ok = ok && text != NULL && header != NULL &&
         cJSON_PrintPreallocated(root, text, HEADER_BYTES, 0);
    if (ok) {
        size_t length = sizeof(name) - 1;
        memcpy(header, name, sizeof(name));
        (void)sodium_bin2base64(header + length, 2 * HEADER_BYTES - length,
                                (const unsigned char *)text, strlen(text),
                                sodium_base64_VARIANT_URLSAFE);
        *out_header = header;
        header = NULL;
    }
    sodium_free(text);
    sodium_free(header);
    docker_login_delete_json(root);
    return ok ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot pass the registry's login on");
}

/* The login in "auths" of the file. Returns 1 when there is one. */
static int search_auths(const cJSON *root, const char *registry, struct docker_login *login,
                        struct error *err)
{
    const cJSON *auths = json_at(root, "auths");
    const cJSON *entry = NULL;
    if (cJSON_IsArray(auths)) { /* whose entries have no names */
        return error_set(err, ERROR_USAGE, 0, "'auths' is a list, not an object");
    }
    cJSON_ArrayForEach(entry, auths)
    {
        if (is_about(entry->string, registry) && cJSON_GetArraySize(entry) > 0) {
            return read_login(entry, entry->string, login, err) < 0 ? -1 : 1;
        }
    }
    return 0;
}

/* A helper for this registry, then what stands in the file, then the helper for all others, which
 * may well know nothing of this one: then there is no login. */
static int search_all(const cJSON *root, const char *registry, const struct place *place,
                      struct docker_login *login, struct error *err)
{
    const cJSON *helpers = json_at(root, "credHelpers");
    const char *own = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(helpers, registry));
    const char *store = json_text_at(root, "credsStore");
    if (own != NULL && place->helpers) {
        return docker_helper_ask(own, registry, place->signals, login, err);
    }
    int result = search_auths(root, registry, login, err);
    if (result == 0 && store != NULL && place->helpers) {
        struct error ignored;
        result = docker_helper_ask(store, registry, place->signals, login, &ignored);
        if (result < 0) {
            log_debug("no login for '%s': %s", registry, ignored.message);
            result = 0;
        }
    }
    return result;
}

/* Returns 1 when there was a login. */
static int search(const char *text, size_t length, const struct place *place, const char *registry,
                  char **out_header, struct error *err)
{
    cJSON *root = cJSON_ParseWithLength(text, length);
    struct docker_login *login = sodium_malloc(sizeof(*login));
    int result = 0;
    if (root == NULL) {
        result = error_set(err, ERROR_USAGE, 0, "%s is no JSON", place->origin);
    } else if (login == NULL) {
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the registry's login");
    } else {
        memset(login, 0, sizeof(*login));
        result = search_all(root, registry, place, login, err);
        if (result < 0) {
            result = error_wrap(err, "%s", place->origin);
        }
    }
    if (result == 1 && login != NULL && write_header(login, registry, out_header, err) < 0) {
        result = -1;
    }
    sodium_free(login);
    docker_login_delete_json(root);
    return result;
}

static int search_file(const char *registry, struct signals *signals, char **out_header,
                       struct error *err)
{
    char path[PATH_MAX];
    const char *directory = getenv("DOCKER_CONFIG");
    const char *home = getenv("HOME");
    bool named = directory != NULL && directory[0] != '\0';
    if (!named && home == NULL) {
        return 0;
    }
    int length = snprintf(path, sizeof(path), "%s%s/config.json", named ? directory : home,
                          named ? "" : "/.docker");
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return 0;
    }
    struct buffer text;
    struct error own;
    buffer_init(&text, FILE_CEILING_BYTES);
    int result = fd_read_file(path, &text, &own);
    if (result < 0) {
        log_debug("no registry logins: %s", own.message);
        result = 0;
    } else if (text.length > 0) {
        struct place place = {path, true, signals};
        result = search(text.bytes, text.length, &place, registry, out_header, err);
    }
    buffer_done(&text);
    return result;
}

/* The registry of the job's own GitLab, with the login that GitLab gives each job for it: what is
 * looked through as a configuration of its own. */
static int search_gitlab(const char *registry, char **out_header, struct error *err)
{
    static const struct place place = {"the variable CI_REGISTRY_PASSWORD", false, NULL};
    const char *gitlab = runner_variable("CI_REGISTRY");
    const char *user = runner_variable("CI_REGISTRY_USER");
    const char *password = runner_variable("CI_REGISTRY_PASSWORD");
    bool ok = true;
    if (gitlab == NULL || user == NULL || password == NULL) {
        return 0;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON *entry = json_object(json_object(root, "auths", &ok), gitlab, &ok);
    json_text(entry, "username", user, &ok);
    json_text(entry, "password", password, &ok);
    char *text = sodium_malloc(HEADER_BYTES);
    ok = ok && text != NULL && cJSON_PrintPreallocated(root, text, HEADER_BYTES, 0);
    int result = ok ? search(text, strlen(text), &place, registry, out_header, err)
                    : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the registry's login");
    sodium_free(text);
    docker_login_delete_json(root);
    return result;
}

int docker_auth_header(const char *registry, struct signals *signals, char **out_header,
                       struct error *err)
{
    static const struct place place = {"the variable DOCKER_AUTH_CONFIG", false, NULL};
    const char *variable = runner_variable("DOCKER_AUTH_CONFIG");
    int result = variable == NULL
                     ? 0
                     : search(variable, strlen(variable), &place, registry, out_header, err);
    if (result == 0) {
        result = search_file(registry, signals, out_header, err);
    }
    if (result == 0) {
        result = search_gitlab(registry, out_header, err);
    }
    return result < 0 ? -1 : 0;
}
