/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/image.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/docker/stream.h"
#include "driver/base/json.h"
#include "driver/base/progress.h"
#include "driver/registry/auth.h"
#include "driver/registry/name.h"
#include "driver/registry/platform.h"

#define INSPECT_MS     30000
#define STALL_MS       120000 /* an engine that retries a registry sends nothing meanwhile */
#define LAYER_CEILING  256
#define ANSWER_CEILING (64UL << 10)
#define PATH_BYTES     1600

enum policy { POLICY_IF_NOT_PRESENT, POLICY_ALWAYS, POLICY_NEVER, POLICY_COUNT };

struct layer {
    char id[16];
    int64_t bytes, of_bytes;
    bool known; /* its size, or that none of it is downloaded */
    bool done;
};

/* A pull in progress. */
struct pull {
    const char *image;
    const char *note; /* why a login is missing for now; NULL: it is not */
    struct docker_lines lines;
    struct layer layers[LAYER_CEILING];
    size_t layer_count;
    struct progress progress;
    char failure[512]; /* the engine's message, empty: none */
    bool broken;
};

static const char *const policy_words[POLICY_COUNT] = {
    [POLICY_IF_NOT_PRESENT] = "if-not-present",
    [POLICY_ALWAYS] = "always",
    [POLICY_NEVER] = "never",
};

static int find_policy(const char *word)
{
    for (int i = 0; i < POLICY_COUNT; i++) {
        if (strcasecmp(word, policy_words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* The policies in effect, in order. */
struct policies {
    enum policy list[CONFIG_PULL_POLICY_CEILING];
    size_t count;
};

static bool has_policy(const struct policies *policies, int policy)
{
    for (size_t i = 0; i < policies->count; i++) {
        if ((int)policies->list[i] == policy) {
            return true;
        }
    }
    return false;
}

static int configured_policies(const struct config *config, struct policies *out, struct error *err)
{
    const struct config_list *list = &config->docker.pull_policies;
    *out = (struct policies){.list = {POLICY_IF_NOT_PRESENT}, .count = list->count == 0 ? 1 : 0};
    for (size_t i = 0; i < list->count; i++) {
        int policy = find_policy(list->entries[i]);
        if (policy < 0) {
            char place[CONFIG_PLACE_BYTES];
            return error_set(err, ERROR_USAGE, 0,
                             "%s: '%s' is not one of 'if-not-present', 'always', 'never'",
                             config_place(config, list, "PullPolicy", place), list->entries[i]);
        }
        out->list[out->count++] = (enum policy)policy;
    }
    return 0;
}

/* The job's policies that are configured too, in the job's order, as with the runner's
 * allowed_pull_policies; without policies of the job, all that are configured. */
static int choose_policies(const struct config *config, const cJSON *asked, struct policies *out,
                           struct error *err)
{
    struct policies allowed;
    const cJSON *word = NULL;
    if (configured_policies(config, &allowed, err) < 0) {
        return -1;
    }
    *out = (struct policies){.count = 0};
    cJSON_ArrayForEach(word, asked)
    {
        int policy = find_policy(word->valuestring);
        if (policy < 0) {
            return error_set(err, ERROR_USAGE, 0,
                             "pull_policy '%s' is not one of 'if-not-present', 'always', 'never'",
                             word->valuestring);
        }
        if (has_policy(&allowed, policy) && !has_policy(out, policy)) {
            out->list[out->count++] = (enum policy)policy;
        }
    }
    if (cJSON_GetArraySize(asked) == 0) {
        *out = allowed;
    }
    return out->count > 0
               ? 0
               : error_set(err, ERROR_USAGE, 0,
                           "pull_policy '%s' is not allowed here; [Docker] PullPolicy "
                           "of this runner %s",
                           cJSON_GetArrayItem(asked, 0)->valuestring,
                           config->docker.pull_policies.count == 0 ? "is 'if-not-present'"
                                                                   : "does not have it");
}

int docker_image_check_policy(const struct config *config, const cJSON *policies, struct error *err)
{
    struct policies ignored;
    return choose_policies(config, policies, &ignored, err);
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

/* The engine downloads three layers at a time and names the size of one when it begins: those that
 * wait count as layers of the usual size. */
static void show_progress(struct pull *pull)
{
    char layers[64];
    struct progress_state state = {.note = layers};
    size_t done = 0;
    size_t known = 0;
    for (size_t i = 0; i < pull->layer_count; i++) {
        state.bytes += pull->layers[i].bytes;
        state.of_bytes += pull->layers[i].of_bytes;
        known += pull->layers[i].known ? 1 : 0;
        done += pull->layers[i].done ? 1 : 0;
    }
    if (state.of_bytes > 0) {
        state.part = (double)state.bytes / (double)state.of_bytes * (double)known /
                     (double)pull->layer_count;
    }
    (void)snprintf(layers, sizeof(layers), "%zu of %zu layers", done, pull->layer_count);
    progress_update(&pull->progress, &state);
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
        layer->known = strcmp(status, "Pulling fs layer") != 0;
    }
    show_progress(pull);
}

static int on_bytes(void *context, const char *bytes, size_t length)
{
    struct pull *pull = context;
    pull->broken = pull->broken || docker_lines_feed(&pull->lines, bytes, length) < 0;
    return pull->broken ? -1 : 0;
}

/* A missing repository is status 404, or status 200 and an error in the stream. */
static int pull_failed(const struct pull *pull, const char *message, struct error *err)
{
    static const char *const passing[] = {"toomanyrequests", "too many requests", "rate limit",
                                          "no space left"};
    static const char *const missing[] = {
        "not found",          "manifest unknown",     "repository does not",
        "pull access denied", "no matching manifest", "invalid reference",
        "name unknown"};
    static const char *const refused[] = {"unauthorized", "denied", "no basic auth", "forbidden"};
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (strcasestr(message, passing[i]) != NULL) {
            return error_set(err, ERROR_SYSTEM, 0, "cannot pull '%s': %s", pull->image, message);
        }
    }
    if (pull->note != NULL) { /* without a login, a missing image looks the same */
        return error_set(err, ERROR_SYSTEM, 0, "cannot pull '%s' without a login: %s; %s",
                         pull->image, message, pull->note);
    }
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        if (strcasestr(message, missing[i]) != NULL) {
            return error_set(
                err, ERROR_USAGE, 0,
                "no image '%s': %s; check its name and tag, and the login to a private "
                "registry",
                pull->image, message);
        }
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (strcasestr(message, refused[i]) != NULL) {
            return error_set(err, ERROR_USAGE, 0,
                             "the registry denies access to '%s': %s; log in with 'docker login' "
                             "(~/.docker/config.json) or set DOCKER_AUTH_CONFIG",
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
                               "cannot parse the Docker Engine's progress of '%s'", pull->image)
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
        return error_set(err, ERROR_PEER, 0, "the pull of '%s' ended before it was complete",
                         pull->image);
    }
    return pull->failure[0] != '\0' ? pull_failed(pull, pull->failure, err) : 0;
}

static int run_pull(struct docker *docker, struct pull *pull, const struct image_name *name,
                    const char *platform, const char *const *headers, struct error *err)
{
    char path[PATH_BYTES];
    if ((platform == NULL
             ? docker_path(path, sizeof(path), "/images/create?fromImage=%s&tag=%s",
                           name->repository, name->tag)
             : docker_path(path, sizeof(path), "/images/create?fromImage=%s&tag=%s&platform=%s",
                           name->repository, name->tag, platform)) < 0) {
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

static int pull(struct docker *docker, const char *text, const char *platform, struct error *err)
{
    struct image_name name;
    if (image_name_parse(text, &name) < 0) {
        (void)error_set(err, ERROR_USAGE, 0, "'%s' is not a valid image name", text);
        return image_name_hint(text, err);
    }
    struct registry_auth auth; /* holds a password */
    if (registry_auth_find(&name, docker->signals, &auth, err) < 0) {
        return -1;
    }
    const char *headers[] = {auth.header, NULL};
    struct pull state = {.image = text,
                         .note = auth.header == NULL && auth.note[0] != '\0' ? auth.note : NULL};
    char what[PATH_BYTES];
    (void)snprintf(what, sizeof(what), "pulling '%s'", text);
    docker_lines_init(&state.lines, on_object, &state);
    log_info("pulling '%s'%s%s", text, platform == NULL ? "" : " for ",
             platform == NULL ? "" : platform);
    int64_t started_ms = clock_now_ms();
    progress_begin(&state.progress, what);
    int result = run_pull(docker, &state, &name, platform, headers, err);
    progress_end(&state.progress);
    if (result == 0) {
        log_info("pulled '%s' in %.1f s", text, (double)(clock_now_ms() - started_ms) / 1000);
    }
    docker_lines_done(&state.lines);
    sodium_free(auth.header);
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
    return error_set(err, ERROR_SYSTEM, 0, "the Docker Engine at '%s' no longer has the image '%s'",
                     docker->shown, text);
}

int docker_image_platform(struct docker *docker, const char *text, char out[IMAGE_PLATFORM_BYTES],
                          struct error *err)
{
    cJSON *image = NULL;
    struct image_platform platform;
    if (docker_image_inspect(docker, text, &image, err) < 0) {
        return -1;
    }
    image_platform_of_image(image, &platform);
    image_platform_text(&platform, out);
    cJSON_Delete(image);
    return 0;
}

/* Whether the engine has the image for the wanted platform; 'out_found': the one that it has. */
static int is_present(struct docker *docker, const struct docker_wanted *wanted,
                      const struct image_platform *platform, bool *out_present,
                      struct image_platform *out_found, struct error *err)
{
    int status = 0;
    cJSON *image = NULL;
    if (look_up(docker, wanted->name, &status, &image, err) < 0) {
        return -1;
    }
    *out_found = (struct image_platform){0};
    if (status == 200) {
        image_platform_of_image(image, out_found);
    }
    *out_present = status == 200 && image_platform_fits(platform, out_found);
    cJSON_Delete(image);
    return 0;
}

static int ensure_by(struct docker *docker, const struct docker_wanted *wanted, enum policy policy,
                     struct error *err)
{
    struct image_platform platform = {0}, found = {0};
    char there[IMAGE_PLATFORM_BYTES];
    bool present = false;
    if (wanted->platform != NULL && image_platform_parse(wanted->platform, &platform) < 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is not a valid platform", wanted->platform);
    }
    if (wanted->platform == NULL && wanted->architecture != NULL) {
        (void)snprintf(platform.architecture, sizeof(platform.architecture), "%s",
                       wanted->architecture);
    }
    if (policy != POLICY_ALWAYS &&
        is_present(docker, wanted, &platform, &present, &found, err) < 0) {
        return -1;
    }
    if (present) {
        return 0;
    }
    if (policy == POLICY_NEVER) {
        image_platform_text(&found, there);
        return error_set(
            err, ERROR_USAGE, 0,
            "the Docker Engine at '%s' has no image '%s'%s%s%s, and the pull policy is "
            "'never'",
            docker->shown, wanted->name, there[0] == '\0' ? "" : " but one for ", there,
            there[0] == '\0' ? "" : " alone");
    }
    image_platform_text(&platform, there);
    if (pull(docker, wanted->name, wanted->platform == NULL ? NULL : there, err) == 0) {
        return 0;
    }
    image_platform_text(&found, there);
    return there[0] == '\0' ? -1 : error_wrap(err, "the engine has it for %s alone", there);
}

int docker_image_ensure(struct docker *docker, const struct docker_wanted *wanted,
                        struct error *err)
{
    struct policies policies;
    bool passing = false; /* a retry may fix one of the failures */
    if (choose_policies(docker->config, wanted->policies, &policies, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < policies.count; i++) {
        if (ensure_by(docker, wanted, policies.list[i], err) == 0) {
            return 0;
        }
        passing = passing || err->kind != ERROR_USAGE;
        if (i + 1 < policies.count) {
            char text[ERROR_TEXT_BYTES];
            log_warn("%s; trying the pull policy '%s'", error_text(err, text),
                     policy_words[policies.list[i + 1]]);
        }
    }
    err->kind = passing && err->kind == ERROR_USAGE ? ERROR_SYSTEM : err->kind;
    return -1;
}
