/* SPDX-License-Identifier: MIT */
#include "driver/registry/auth.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/base/home.h"
#include "driver/base/json.h"
#include "driver/registry/credential_helper.h"
#include "driver/runner/runner.h"

#define DOCKER_HUB_KEY "https://" DOCKER_HUB_HOST "/v1/"

#define FILE_CEILING_BYTES (1UL << 20)
#define HEADER_BYTES       (4 * REGISTRY_SECRET_BYTES)
#define KEY_BYTES          1024

static void copy_text(char *out, const char *text)
{
    (void)snprintf(out, REGISTRY_SECRET_BYTES, "%s", text == NULL ? "" : text);
}

struct login_query {
    const struct image_name *name;
    struct signals *signals;
    struct registry_auth *auth;
    char path[KEY_BYTES];       /* the image's name as keys are compared with it */
    char short_path[KEY_BYTES]; /* Docker Hub's "library/" left out; else the same */
};

/* The source of a configuration. */
struct auth_place {
    const char *origin;
    bool helpers; /* the helpers that it names are run */
};

/* "https://Registry.example:5000/v2/" is "registry.example:5000", "r.example/group/image:1" is
 * "r.example/group/image". Empty for what is too long. */
static void normalise(const char *key, char out[KEY_BYTES])
{
    bool scheme = strncasecmp(key, "https://", 8) == 0 || strncasecmp(key, "http://", 7) == 0;
    const char *host = scheme ? strstr(key, "://") + 3 : key;
    size_t length = strcspn(host, "/");
    size_t end = strlen(host);
    bool slash = end > 0 && host[end - 1] == '/';
    out[0] = '\0';
    while (end > length && host[end - 1] == '/') {
        end--;
    }
    const char *path = host + length;
    if (end + sizeof(DOCKER_HUB) >= KEY_BYTES) {
        return;
    }
    if ((scheme || slash) && end - length == 3 &&
        (strncmp(path, "/v1", 3) == 0 || strncmp(path, "/v2", 3) == 0)) {
        end = length; /* the registry's API, not a namespace */
    }
    size_t at = (size_t)(image_name_is_hub(host, length)
                             ? snprintf(out, KEY_BYTES, "%s", DOCKER_HUB)
                             : snprintf(out, KEY_BYTES, "%.*s", (int)length, host));
    for (size_t i = 0; i < at; i++) {
        out[i] = (char)tolower((unsigned char)out[i]);
    }
    (void)snprintf(out + at, KEY_BYTES - at, "%.*s", (int)(end - length), path);
    char *last = strrchr(out, '/');
    char *tag = last == NULL ? NULL : strchr(last, ':');
    if (tag != NULL) {
        *tag = '\0';
    }
}

static int set_path(struct login_query *query, struct error *err)
{
    const struct image_name *name = query->name;
    size_t length = strlen(name->registry);
    bool written =
        strncmp(name->repository, name->registry, length) == 0 && name->repository[length] == '/';
    char full[2 * KEY_BYTES];
    (void)snprintf(full, sizeof(full), "%s/%s", name->registry,
                   written ? name->repository + length + 1 : name->repository);
    normalise(full, query->path);
    if (query->path[0] == '\0') {
        return error_set(err, ERROR_USAGE, 0, "the name '%.80s' is too long", name->repository);
    }
    (void)snprintf(query->short_path, sizeof(query->short_path), "%s", query->path);
    static const char library[] = DOCKER_HUB "/library/";
    const char *path = query->path + sizeof(DOCKER_HUB);
    if (strncmp(query->path, library, sizeof(library) - 1) == 0) {
        (void)snprintf(query->short_path, sizeof(query->short_path), "%s/%s", DOCKER_HUB,
                       query->path + sizeof(library) - 1);
    } else if (strncmp(query->path, library, sizeof(DOCKER_HUB)) == 0 &&
               strchr(path, '/') == NULL) {
        (void)snprintf(full, sizeof(full), "%s%s", library, path);
        (void)snprintf(query->path, sizeof(query->path), "%.*s", KEY_BYTES - 1, full);
    }
    return 0;
}

/* The length of the key if the image's name begins with it, else 0. */
static size_t matches(const struct login_query *query, const char *key)
{
    char prefix[KEY_BYTES];
    normalise(key, prefix);
    size_t length = strlen(prefix);
    const char *const paths[] = {query->path, query->short_path};
    for (size_t i = 0; length > 0 && i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strncmp(paths[i], prefix, length) == 0 &&
            (paths[i][length] == '\0' || paths[i][length] == '/')) {
            return length;
        }
    }
    return 0;
}

/* The key that Docker itself writes for the registry. */
static const char *own_key(const struct login_query *query)
{
    return image_name_is_hub(query->name->registry, strlen(query->name->registry))
               ? DOCKER_HUB_KEY
               : query->name->registry;
}

static bool has_login(const cJSON *entry)
{
    static const char *const fields[] = {"auth", "identitytoken", "username"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *text = json_text_at(entry, fields[i]);
        if (text != NULL && text[0] != '\0') {
            return true;
        }
    }
    return false;
}

/* The entry with the longest key; of equal ones Docker's own spelling, then the first. 'filled':
 * those of "auths" that hold a login, as with a store they are empty. */
static const cJSON *best(const struct login_query *query, const cJSON *entries, bool filled)
{
    const cJSON *entry = NULL, *found = NULL;
    size_t longest = 0;
    cJSON_ArrayForEach(entry, entries)
    {
        size_t length = entry->string == NULL || (filled && !has_login(entry))
                            ? 0
                            : matches(query, entry->string);
        if (length > longest ||
            (length > 0 && length == longest && strcmp(entry->string, own_key(query)) == 0)) {
            found = entry;
            longest = length;
        }
    }
    return found;
}

/* "auth" is base64 of "user:password". */
static int split_auth(const char *auth, struct registry_login *login)
{
    char text[REGISTRY_SECRET_BYTES];
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

static int read_login(const cJSON *entry, const char *key, struct registry_login *login,
                      struct error *err)
{
    const char *auth = json_text_at(entry, "auth");
    copy_text(login->token, json_text_at(entry, "identitytoken"));
    if (auth != NULL && auth[0] != '\0') {
        return split_auth(auth, login) == 0
                   ? 0
                   : error_set(err, ERROR_USAGE, 0,
                               "the login for '%s' is not base64 of user:password", key);
    }
    copy_text(login->user, json_text_at(entry, "username"));
    copy_text(login->password, json_text_at(entry, "password"));
    return 0;
}

static int write_header(const struct registry_login *login, const char *registry, char **out_header,
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
    json_delete_wiped(root);
    return ok ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the registry's login");
}

/* Returns 1 if the helper has a login. A failure is noted, not returned: the image may need no
 * login. */
static int ask(const struct login_query *query, const char *helper, const char *key,
               struct registry_login *login, struct error *err)
{
    struct error own = {0};
    int result = credential_helper_run(helper, key, query->signals, login, &own);
    if (result < 0 && own.errnum == EINTR) {
        *err = own;
        return -1;
    }
    if (result < 0) {
        log_warn("no login for '%s': %s", key, own.message);
        (void)snprintf(query->auth->note, sizeof(query->auth->note), "%.250s", own.message);
    }
    return result == 1 ? 1 : 0;
}

static int ask_helpers(const struct login_query *query, const cJSON *root,
                       struct registry_login *login, struct error *err)
{
    const cJSON *own = best(query, json_at(root, "credHelpers"), false);
    const cJSON *marked = best(query, json_at(root, "auths"), false);
    const char *store = json_text_at(root, "credsStore");
    const char *helper = cJSON_GetStringValue(own);
    int result = 0;
    if (helper != NULL && helper[0] != '\0') {
        result = ask(query, helper, own->string, login, err);
    }
    if (result != 0 || store == NULL || store[0] == '\0') {
        return result;
    }
    /* 'docker login' leaves the key under which the store has it in "auths", without a login. */
    if (marked != NULL && strcmp(marked->string, own_key(query)) != 0) {
        result = ask(query, store, marked->string, login, err);
    }
    return result != 0 ? result : ask(query, store, own_key(query), login, err);
}

static int search_all(const struct login_query *query, const cJSON *root,
                      const struct auth_place *place, struct registry_login *login,
                      struct error *err)
{
    int result = 0;
    if (cJSON_IsArray(json_at(root, "auths"))) { /* an array has no registry names */
        return error_set(err, ERROR_USAGE, 0, "'auths' is a list, not an object");
    }
    if (place->helpers) {
        result = ask_helpers(query, root, login, err);
    } else if (json_at(root, "credHelpers") != NULL || json_at(root, "credsStore") != NULL) {
        log_warn("ignoring the credential helpers in %s, which a job may set", place->origin);
    }
    const cJSON *entry = best(query, json_at(root, "auths"), true);
    if (result != 0 || entry == NULL) {
        return result;
    }
    return read_login(entry, entry->string, login, err) < 0 ? -1 : 1;
}

/* Returns 1 if there was a login. */
static int search(const struct login_query *query, const char *text, size_t length,
                  const struct auth_place *place, struct registry_login *login, struct error *err)
{
    cJSON *root = cJSON_ParseWithLength(text, length);
    int result = cJSON_IsObject(root) ? search_all(query, root, place, login, err)
                                      : error_set(err, ERROR_USAGE, 0, "not a valid JSON object");
    json_delete_wiped(root);
    return result < 0 ? error_wrap(err, "%s", place->origin) : result;
}

static int search_file(const struct login_query *query, struct registry_login *login,
                       struct error *err)
{
    char path[PATH_MAX];
    const char *directory = getenv("DOCKER_CONFIG");
    const char *home = home_directory();
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
        struct auth_place place = {path, true};
        result = search(query, text.bytes, text.length, &place, login, err);
    }
    buffer_done(&text);
    return result;
}

/* A login as a configuration of its own, so that names of registries are compared in one way. */
static int search_one(const struct login_query *query, const char *registry, const char *user,
                      const char *password, const struct auth_place *place,
                      struct registry_login *login, struct error *err)
{
    bool ok = true;
    if (registry == NULL || user == NULL || password == NULL) {
        return 0;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON *entry = json_object(json_object(root, "auths", &ok), registry, &ok);
    json_text(entry, "username", user, &ok);
    json_text(entry, "password", password, &ok);
    int result = ok ? search_all(query, root, place, login, err)
                    : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the registry's login");
    json_delete_wiped(root);
    return result;
}

/* The login that GitLab gives each job for its own registry. */
static int search_gitlab(const struct login_query *query, struct registry_login *login,
                         struct error *err)
{
    static const struct auth_place place = {"the variable CI_REGISTRY_PASSWORD", false};
    return search_one(query, runner_variable("CI_REGISTRY"), runner_variable("CI_REGISTRY_USER"),
                      runner_variable("CI_REGISTRY_PASSWORD"), &place, login, err);
}

static int search_variable(const struct login_query *query, struct registry_login *login,
                           struct error *err)
{
    static const struct auth_place place = {"the variable DOCKER_AUTH_CONFIG", false};
    const char *variable = runner_variable("DOCKER_AUTH_CONFIG");
    return variable == NULL ? 0 : search(query, variable, strlen(variable), &place, login, err);
}

/* "credentials" of GitLab's job. */
static int search_response(const struct login_query *query, const cJSON *response,
                           struct registry_login *login, struct error *err)
{
    static const struct auth_place place = {"the credentials in JOB_RESPONSE_FILE", false};
    const cJSON *entry = NULL;
    int result = 0;
    cJSON_ArrayForEach(entry, json_at(response, "credentials"))
    {
        if (result == 0 && strcmp(json_text_or_empty(entry, "type"), "registry") == 0) {
            result = search_one(query, json_text_at(entry, "url"), json_text_at(entry, "username"),
                                json_text_at(entry, "password"), &place, login, err);
        }
    }
    return result;
}

/* 1 with a login, 0 without. */
static int search_everywhere(const struct login_query *query, struct registry_login *login,
                             struct error *err)
{
    int result = search_variable(query, login, err);
    if (result == 0) {
        result = search_file(query, login, err);
    }
    return result != 0 ? result : search_gitlab(query, login, err);
}

int registry_auth_find(const struct image_name *name, struct signals *signals,
                       struct registry_auth *out_auth, struct error *err)
{
    struct login_query query = {.name = name, .signals = signals, .auth = out_auth};
    *out_auth = (struct registry_auth){0};
    struct registry_login *login = registry_login_new(err);
    int result = login == NULL ? -1 : set_path(&query, err);
    if (result == 0) {
        result = search_everywhere(&query, login, err);
    }
    if (result == 1) {
        result = write_header(login, own_key(&query), &out_auth->header, err);
    }
    sodium_free(login);
    return result < 0 ? -1 : 0;
}

int registry_auth_login(const struct image_name *name, struct signals *signals,
                        struct registry_login *login, struct error *err)
{
    struct registry_auth unused = {0};
    struct login_query query = {.name = name, .signals = signals, .auth = &unused};
    int result = set_path(&query, err);
    return result != 0 ? result : search_everywhere(&query, login, err);
}

int registry_auth_own(const struct image_name *name, const cJSON *response,
                      struct registry_login *login, struct error *err)
{
    struct registry_auth unused = {0};
    struct login_query query = {.name = name, .auth = &unused};
    int result = set_path(&query, err);
    if (result == 0) {
        result = search_variable(&query, login, err);
    }
    if (result == 0) {
        result = search_response(&query, response, login, err);
    }
    return result != 0 ? result : search_gitlab(&query, login, err);
}

struct registry_login *registry_login_new(struct error *err)
{
    struct registry_login *login = sodium_malloc(sizeof(*login));
    if (login == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the registry's login");
        return NULL;
    }
    memset(login, 0, sizeof(*login));
    return login;
}
