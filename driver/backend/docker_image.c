/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker_image.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/docker_auth.h"
#include "driver/backend/docker_name.h"
#include "driver/backend/docker_stream.h"
#include "driver/json.h"

#define INSPECT_MS     30000
#define STALL_MS       120000 /* an engine that retries a registry is silent for a while */
#define PROGRESS_MS    5000
#define LAYER_CEILING  256
#define ANSWER_CEILING (64UL << 10)
#define PATH_BYTES     1600

enum policy { POLICY_IF_NOT_PRESENT, POLICY_ALWAYS, POLICY_NEVER };

struct layer {
    char id[16];
    int64_t bytes, of_bytes;
    bool done;
};

/* One pull on its way. */
struct pull {
    const char *image;
    struct docker_lines lines;
    struct layer layers[LAYER_CEILING];
    size_t layer_count;
    int64_t next_progress_ms;
    char failure[512]; /* the engine's words, empty: none */
    bool broken;
};

static int choose_policy(const struct config *config, enum policy *out_policy, struct error *err)
{
    static const char *const words[] = {
        [POLICY_IF_NOT_PRESENT] = "if-not-present",
        [POLICY_ALWAYS] = "always",
        [POLICY_NEVER] = "never",
    };
    const char *word = config->docker.pull_policy;
    for (size_t i = 0; word != NULL && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(word, words[i]) == 0) {
            *out_policy = (enum policy)i;
            return 0;
        }
    }
    *out_policy = POLICY_IF_NOT_PRESENT;
    return word == NULL ? 0
                        : error_set(err, ERROR_USAGE, 0,
                                    "[Docker] PullPolicy '%s' is not one of 'if-not-present', "
                                    "'always', 'never'",
                                    word);
}

int docker_image_check_policy(const struct config *config, struct error *err)
{
    enum policy policy;
    return choose_policy(config, &policy, err);
}

static struct layer *find_layer(struct pull *pull, const char *id)
{
    for (size_t i = 0; i < pull->layer_count; i++) {
        if (strncmp(pull->layers[i].id, id, sizeof(pull->layers[i].id) - 1) == 0) {
            return &pull->layers[i];
        }
    }
    if (pull->layer_count == LAYER_CEILING) {
        return NULL;
    }
    struct layer *layer = &pull->layers[pull->layer_count++];
    *layer = (struct layer){0};
    (void)snprintf(layer->id, sizeof(layer->id), "%s", id);
    return layer;
}

static void tell_progress(struct pull *pull)
{
    int64_t bytes = 0;
    int64_t of_bytes = 0;
    size_t done = 0;
    if (clock_now_ms() < pull->next_progress_ms) {
        return;
    }
    pull->next_progress_ms = clock_deadline_ms(PROGRESS_MS);
    for (size_t i = 0; i < pull->layer_count; i++) {
        bytes += pull->layers[i].bytes;
        of_bytes += pull->layers[i].of_bytes;
        done += pull->layers[i].done ? 1 : 0;
    }
    log_info("pulling '%s': %.1f of %.1f MiB, %zu of %zu layers", pull->image,
             (double)bytes / (1 << 20), (double)of_bytes / (1 << 20), done, pull->layer_count);
}

/* {"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"..."} or {"error":...} */
static void on_object(void *context, const cJSON *object)
{
    struct pull *pull = context;
    const char *failure = json_text_at(object, "error");
    const char *status = json_text_at(object, "status");
    const char *id = json_text_at(object, "id");
    if (failure != NULL) {
        (void)snprintf(pull->failure, sizeof(pull->failure), "%s", failure);
        return;
    }
    bool loading = status != NULL && strcmp(status, "Downloading") == 0;
    bool known = status != NULL && (loading || strcmp(status, "Pulling fs layer") == 0 ||
                                    strcmp(status, "Pull complete") == 0 ||
                                    strcmp(status, "Download complete") == 0 ||
                                    strcmp(status, "Already exists") == 0);
    struct layer *layer = id != NULL && known ? find_layer(pull, id) : NULL;
    if (layer != NULL) {
        if (loading) {
            layer->bytes = json_number_at(object, "progressDetail.current");
            layer->of_bytes = json_number_at(object, "progressDetail.total");
        } else if (strcmp(status, "Pulling fs layer") != 0) {
            layer->bytes = layer->of_bytes;
            layer->done = strcmp(status, "Download complete") != 0;
        }
    }
    tell_progress(pull);
}

static int on_bytes(void *context, const char *bytes, size_t length)
{
    struct pull *pull = context;
    pull->broken = pull->broken || docker_lines_feed(&pull->lines, bytes, length) < 0;
    return pull->broken ? -1 : 0;
}

/* The engine says 404 for a missing repository, or 200 and then the same in its stream. */
static int pull_failed(const struct pull *pull, const char *message, struct error *err)
{
    static const char *const missing[] = {
        "not found",          "manifest unknown",     "repository does not",
        "pull access denied", "no matching manifest", "invalid reference",
        "name unknown"};
    static const char *const refused[] = {"unauthorized", "denied", "no basic auth", "forbidden"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        if (strcasestr(message, missing[i]) != NULL) {
            return error_set(err, ERROR_USAGE, 0,
                             "no image '%s': %s; look for a mistake in its name or tag, and for a "
                             "login to a private registry",
                             pull->image, message);
        }
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (strcasestr(message, refused[i]) != NULL) {
            return error_set(err, ERROR_USAGE, 0,
                             "the registry refuses '%s': %s; it takes a login in "
                             "~/.docker/config.json ('docker login') or DOCKER_AUTH_CONFIG",
                             pull->image, message);
        }
    }
    return error_set(err, ERROR_SYSTEM, 0, "cannot pull '%s': %s", pull->image, message);
}

static int finish(struct pull *pull, int result, const struct http_answer *answer,
                  struct error *err)
{
    if (result < 0) {
        return pull->broken
                   ? error_set(err, ERROR_PEER, 0,
                               "cannot understand what the Docker Engine says of '%s'", pull->image)
                   : error_wrap(err, "cannot pull '%s'", pull->image);
    }
    if (answer->status >= 400) {
        cJSON *json = cJSON_ParseWithLength(answer->body.bytes == NULL ? "" : answer->body.bytes,
                                            answer->body.length);
        const char *message = json_text_at(json, "message");
        char text[sizeof(pull->failure)];
        (void)snprintf(text, sizeof(text), "%s", message == NULL ? "no reason given" : message);
        cJSON_Delete(json);
        return pull_failed(pull, text, err);
    }
    if (docker_lines_end(&pull->lines) < 0) {
        return error_set(err, ERROR_PEER, 0, "the pull of '%s' was cut off", pull->image);
    }
    return pull->failure[0] != '\0' ? pull_failed(pull, pull->failure, err) : 0;
}

static int run_pull(struct docker *docker, struct pull *pull, const struct docker_name *name,
                    const char *const *headers, struct error *err)
{
    char path[PATH_BYTES];
    if (docker_path(path, sizeof(path), "/images/create?fromImage=%s&tag=%s", name->repository,
                    name->tag) < 0) {
        return error_set(err, ERROR_USAGE, 0, "the name '%s' is too long", pull->image);
    }
    struct http_answer answer = {0};
    struct http_request request = {
        .method = "POST",
        .url = path,
        .headers = headers,
        .deadline_ms = clock_deadline_ms(docker->config->docker.pull_timeout_ms),
        .stall_ms = STALL_MS,
        .on_bytes = on_bytes,
        .context = pull,
    };
    buffer_init(&answer.body, ANSWER_CEILING);
    int result = docker_raw(docker, &request, &answer, err);
    result = finish(pull, result, &answer, err);
    buffer_done(&answer.body);
    return result;
}

static int pull(struct docker *docker, const char *text, struct error *err)
{
    struct docker_name name;
    if (docker_name_parse(text, &name) < 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is no name of an image", text);
    }
    char *header = NULL; /* holds a password */
    if (docker_auth_header(name.registry, docker->signals, &header, err) < 0) {
        return -1;
    }
    const char *headers[] = {header, NULL};
    struct pull state = {.image = text, .next_progress_ms = clock_deadline_ms(PROGRESS_MS)};
    docker_lines_init(&state.lines, on_object, &state);
    log_info("pulling '%s'", text);
    int64_t started_ms = clock_now_ms();
    int result = run_pull(docker, &state, &name, headers, err);
    if (result == 0) {
        log_info("pulled '%s' in %.1f s", text, (double)(clock_now_ms() - started_ms) / 1000);
    }
    docker_lines_done(&state.lines);
    sodium_free(header);
    return result;
}

static int look_up(struct docker *docker, const char *text, int *out_status, cJSON **out_image,
                   struct error *err)
{
    char path[PATH_BYTES];
    if (docker_path(path, sizeof(path), "/images/%s/json", text) < 0) {
        return error_set(err, ERROR_USAGE, 0, "the name '%s' is too long", text);
    }
    return docker_call(docker, "GET", path, NULL, clock_deadline_ms(INSPECT_MS), out_status,
                       out_image, err);
}

int docker_image_inspect(struct docker *docker, const char *text, cJSON **out_image,
                         struct error *err)
{
    int status = 0;
    *out_image = NULL;
    if (look_up(docker, text, &status, out_image, err) < 0) {
        return -1;
    }
    if (status == 200 && *out_image != NULL) {
        return 0;
    }
    cJSON_Delete(*out_image);
    *out_image = NULL;
    return error_set(err, status == 404 ? ERROR_USAGE : ERROR_SYSTEM, 0,
                     "the Docker Engine at '%s' has no image '%s'", docker->shown, text);
}

int docker_image_ensure(struct docker *docker, const char *text, struct error *err)
{
    enum policy policy;
    int status = 0;
    if (choose_policy(docker->config, &policy, err) < 0) {
        return -1;
    }
    if (policy == POLICY_ALWAYS) {
        return pull(docker, text, err);
    }
    if (look_up(docker, text, &status, NULL, err) < 0) {
        return -1;
    }
    if (status == 200) {
        return 0;
    }
    if (policy == POLICY_NEVER) {
        return error_set(err, ERROR_USAGE, 0,
                         "the Docker Engine at '%s' has no image '%s', and [Docker] PullPolicy is "
                         "'never'",
                         docker->shown, text);
    }
    return pull(docker, text, err);
}
