/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/container.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/backend/docker/stream.h"
#include "driver/base/json.h"

#define PATH_BYTES         1024
#define LOG_FRAMES_CEILING (1UL << 20) /* 50 frames of 16 KiB, the most that Docker writes */
#define RETRY_MS           100
#define REMOVE_SPARE_MS    10000
#define MTU_OPTION         "com.docker.network.driver.mtu"

enum object { OBJECT_CONTAINER, OBJECT_NETWORK, OBJECT_VOLUME };

static int make_path(char path[PATH_BYTES], const char *format, const char *name, struct error *err)
{
    return docker_path(path, PATH_BYTES, format, name) == 0
               ? 0
               : error_set(err, ERROR_USAGE, ENAMETOOLONG, "the name '%s' is too long", name);
}

/* Waits before the next attempt; false when the deadline has passed. */
static bool pause_until(struct docker *docker, int64_t deadline_ms)
{
    int64_t next_ms = clock_deadline_ms(RETRY_MS);
    if (next_ms >= deadline_ms) {
        return false;
    }
    return signals_wait(docker->signals, -1, next_ms) == 0;
}

/* Repeats DELETE until the object is gone: 409 is a removal in progress, 403 a network in use. */
static int delete_until_gone(struct docker *docker, const char *path, const char *name,
                             int64_t deadline_ms, struct error *err)
{
    for (;;) {
        int status = 0;
        cJSON *answer = NULL;
        if (docker_call(docker, "DELETE", path, NULL, deadline_ms, &status, &answer, err) < 0) {
            return -1;
        }
        bool is_gone = status == 404 || status < 400;
        bool may_pass = status == 409 || status == 403 || status >= 500;
        if (!is_gone) {
            (void)docker_refused(status, answer, "DELETE", path, err);
        }
        cJSON_Delete(answer);
        if (is_gone) {
            return 0;
        }
        if (!may_pass || !pause_until(docker, deadline_ms)) {
            return error_wrap(err, "cannot remove '%s'", name);
        }
    }
}

/* SIGTERM, SIGKILL after the grace period, then removal with anonymous volumes. */
static int remove_container(struct docker *docker, const char *id, int64_t grace_ms,
                            int64_t deadline_ms, struct error *err)
{
    char path[PATH_BYTES];
    char stop[PATH_BYTES + 32];
    int status = 0;
    if (make_path(path, "/containers/%s", id, err) < 0) {
        return -1;
    }
    int64_t left_ms = deadline_ms - clock_now_ms() - REMOVE_SPARE_MS;
    int64_t stop_ms = clock_earlier_ms(grace_ms, left_ms);
    if (stop_ms > 0) {
        (void)snprintf(stop, sizeof(stop), "%s/stop?t=%lld", path,
                       (long long)(stop_ms + 999) / 1000);
        if (docker_call(docker, "POST", stop, NULL, deadline_ms, &status, NULL, err) < 0) {
            return -1;
        }
    }
    (void)snprintf(stop, sizeof(stop), "%s?force=1&v=1", path);
    return delete_until_gone(docker, stop, id, deadline_ms, err);
}

static int remove_network(struct docker *docker, const char *name, int64_t deadline_ms,
                          struct error *err)
{
    char path[PATH_BYTES];
    if (make_path(path, "/networks/%s", name, err) < 0) {
        return -1;
    }
    return delete_until_gone(docker, path, name, deadline_ms, err);
}

/* Removes the container or network with this name if it belongs to the same job. */
static int make_room(struct docker *docker, enum object kind, const char *name, const char *job,
                     int64_t deadline_ms, struct error *err)
{
    char path[PATH_BYTES];
    int status = 0;
    cJSON *found = NULL;
    bool container = kind == OBJECT_CONTAINER;
    if (make_path(path, container ? "/containers/%s/json" : "/networks/%s", name, err) < 0 ||
        docker_call(docker, "GET", path, NULL, deadline_ms, &status, &found, err) < 0) {
        return -1;
    }
    const cJSON *labels = json_at(found, container ? "Config.Labels" : "Labels");
    const cJSON *label = cJSON_GetObjectItemCaseSensitive(labels, DOCKER_JOB_LABEL);
    bool ours = cJSON_IsString(label) && strcmp(label->valuestring, job) == 0;
    cJSON_Delete(found);
    if (status == 404) {
        return 0;
    }
    if (!ours) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the Docker Engine already has '%s', which does not belong to this job; "
                         "remove it",
                         name);
    }
    return container ? remove_container(docker, name, 0, deadline_ms, err)
                     : remove_network(docker, name, deadline_ms, err);
}

/* POST, and again after a leftover of the same name was removed. */
static int create(struct docker *docker, enum object kind, const char *path, const char *name,
                  const char *job, const cJSON *body, int64_t deadline_ms, cJSON **out_answer,
                  struct error *err)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        int status = 0;
        cJSON *answer = NULL;
        if (docker_call(docker, "POST", path, body, deadline_ms, &status, &answer, err) < 0) {
            return -1;
        }
        if (status < 300 && answer != NULL) {
            *out_answer = answer;
            return 0;
        }
        int result = docker_refused(status, answer, "POST", path, err);
        cJSON_Delete(answer);
        if (status != 409) {
            return result;
        }
        if (make_room(docker, kind, name, job, deadline_ms, err) < 0) {
            return -1;
        }
    }
    return error_set(err, ERROR_SYSTEM, 0, "the Docker Engine keeps the name '%s' in use", name);
}

int docker_container_create(struct docker *docker, const char *name, const char *job,
                            const char *platform, const cJSON *body, int64_t deadline_ms,
                            char out_id[DOCKER_ID_BYTES], struct error *err)
{
    char path[PATH_BYTES];
    cJSON *answer = NULL;
    bool any = platform == NULL || platform[0] == '\0';
    if (docker_path(path, sizeof(path),
                    any ? "/containers/create?name=%s" : "/containers/create?name=%s&platform=%s",
                    name, any ? "" : platform) < 0) {
        return error_set(err, ERROR_USAGE, ENAMETOOLONG, "the name '%s' is too long", name);
    }
    if (create(docker, OBJECT_CONTAINER, path, name, job, body, deadline_ms, &answer, err) < 0) {
        return error_wrap(err, "cannot create the container '%s'", name);
    }
    const char *id = json_text_at(answer, "Id");
    int result = id != NULL && id[0] != '\0' && strlen(id) < DOCKER_ID_BYTES
                     ? 0
                     : error_set(err, ERROR_PEER, 0, "the Docker Engine returned no container id");
    if (result == 0) {
        (void)snprintf(out_id, DOCKER_ID_BYTES, "%s", id);
    }
    cJSON_Delete(answer);
    return result;
}

int docker_container_begin_start(struct docker *docker, const char *id, int64_t deadline_ms,
                                 struct docker_pending *pending, struct error *err)
{
    char path[PATH_BYTES];
    return make_path(path, "/containers/%s/start", id, err) < 0
               ? -1
               : docker_begin(docker, path, deadline_ms, pending, err);
}

int docker_container_start(struct docker *docker, const char *id, int64_t deadline_ms,
                           struct error *err)
{
    char path[PATH_BYTES];
    if (make_path(path, "/containers/%s/start", id, err) < 0) {
        return -1;
    }
    return docker_expect(docker, "POST", path, NULL, deadline_ms, NULL, err);
}

int docker_container_inspect(struct docker *docker, const char *id, int64_t deadline_ms,
                             cJSON **out_container, struct error *err)
{
    char path[PATH_BYTES];
    int status = 0;
    cJSON *answer = NULL;
    if (make_path(path, "/containers/%s/json", id, err) < 0 ||
        docker_call(docker, "GET", path, NULL, deadline_ms, &status, &answer, err) < 0) {
        return -1;
    }
    if (status == 200 && answer != NULL) {
        *out_container = answer;
        return 1;
    }
    cJSON_Delete(answer);
    return status == 404
               ? 0
               : error_set(err, ERROR_SYSTEM, 0,
                           "cannot inspect container '%s': the Docker Engine returned status "
                           "%d",
                           id, status);
}

void docker_container_logs(struct docker *docker, const char *id, int64_t deadline_ms,
                           struct buffer *out)
{
    char path[PATH_BYTES];
    struct error ignored;
    struct http_answer answer = {0};
    if (make_path(path, "/containers/%s/logs?stdout=1&stderr=1&tail=50", id, &ignored) < 0) {
        return;
    }
    struct http_request request = {.method = "GET", .url = path, .deadline_ms = deadline_ms};
    buffer_init(&answer.body, LOG_FRAMES_CEILING);
    if (docker_raw(docker, &request, &answer, &ignored) == 0 && answer.status == 200) {
        docker_frames_text(answer.body.bytes, answer.body.length, out);
    }
    buffer_done(&answer.body);
}

/* Options copied from the engine's default bridge, which fits the host's network. */
struct bridge {
    char mtu[16]; /* empty: the engine's default */
    bool ipv6;
};

static int look_at_bridge(struct docker *docker, int64_t deadline_ms, struct bridge *out,
                          struct error *err)
{
    int status = 0;
    cJSON *found = NULL;
    *out = (struct bridge){0};
    if (docker_call(docker, "GET", "/networks/bridge", NULL, deadline_ms, &status, &found, err) <
        0) {
        return -1;
    }
    const char *mtu = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(json_at(found, "Options"), MTU_OPTION));
    if (status == 200 && mtu != NULL) {
        (void)snprintf(out->mtu, sizeof(out->mtu), "%s", mtu);
    }
    out->ipv6 = status == 200 && json_true_at(found, "EnableIPv6");
    cJSON_Delete(found);
    return 0;
}

static int try_network(struct docker *docker, const char *name, const char *job,
                       const cJSON *labels, const struct bridge *bridge, int64_t deadline_ms,
                       struct error *err)
{
    bool ok = true;
    cJSON *body = cJSON_CreateObject();
    cJSON *answer = NULL;
    json_text(body, "Name", name, &ok);
    json_bool(body, "CheckDuplicate", true, &ok);
    json_text(body, "Driver", "bridge", &ok);
    if (bridge->mtu[0] != '\0') {
        json_text(json_object(body, "Options", &ok), MTU_OPTION, bridge->mtu, &ok);
    }
    if (bridge->ipv6) {
        json_bool(body, "EnableIPv6", true, &ok);
    }
    cJSON *copy = cJSON_Duplicate(labels, 1);
    ok = ok && copy != NULL && cJSON_AddItemToObject(body, "Labels", copy);
    int result = !ok ? error_set(err, ERROR_SYSTEM, ENOMEM, "no memory")
                     : create(docker, OBJECT_NETWORK, "/networks/create", name, job, body,
                              deadline_ms, &answer, err);
    cJSON_Delete(body);
    cJSON_Delete(answer);
    return result;
}

int docker_network_create(struct docker *docker, const char *name, const char *job,
                          const cJSON *labels, int64_t deadline_ms, struct error *err)
{
    struct bridge bridge;
    int result = look_at_bridge(docker, deadline_ms, &bridge, err);
    if (result == 0) {
        result = try_network(docker, name, job, labels, &bridge, deadline_ms, err);
        if (result < 0 && bridge.ipv6) { /* before Docker 27 often without an IPv6 address pool */
            log_debug("no network with IPv6: %s", err->message);
            bridge.ipv6 = false;
            result = try_network(docker, name, job, labels, &bridge, deadline_ms, err);
        }
    }
    if (result < 0) {
        err->kind = err->kind == ERROR_USAGE ? ERROR_SYSTEM : err->kind;
        return error_wrap(err, "cannot create the network '%s'", name);
    }
    return 0;
}

static int remove_one(struct docker *docker, enum object kind, const cJSON *entry, const char *id,
                      int64_t grace_ms, int64_t deadline_ms, struct error *err)
{
    const cJSON *role =
        cJSON_GetObjectItemCaseSensitive(json_at(entry, "Labels"), DOCKER_ROLE_LABEL);
    bool is_job = cJSON_IsString(role) && strcmp(role->valuestring, "job") == 0;
    char path[PATH_BYTES];
    switch (kind) {
    case OBJECT_CONTAINER:
        return remove_container(docker, id, is_job ? grace_ms : 0, deadline_ms, err);
    case OBJECT_NETWORK:
        return remove_network(docker, id, deadline_ms, err);
    case OBJECT_VOLUME:
    default:
        return make_path(path, "/volumes/%s", id, err) < 0
                   ? -1
                   : delete_until_gone(docker, path, id, deadline_ms, err);
    }
}

/* Removes each element of the list at 'path'; reports the first failure after trying all. */
static int remove_listed(struct docker *docker, const char *path, enum object kind,
                         int64_t grace_ms, int64_t deadline_ms, struct error *err)
{
    cJSON *answer = NULL;
    if (docker_expect(docker, "GET", path, NULL, deadline_ms, &answer, err) < 0) {
        return -1;
    }
    int result = 0;
    const cJSON *list = kind == OBJECT_VOLUME ? json_at(answer, "Volumes") : answer;
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, list)
    {
        const char *id = json_text_at(entry, kind == OBJECT_VOLUME ? "Name" : "Id");
        if (id == NULL) {
            continue;
        }
        struct error own;
        int removed = remove_one(docker, kind, entry, id, grace_ms, deadline_ms, &own);
        if (removed < 0 && result == 0) {
            *err = own;
            result = -1;
        }
    }
    cJSON_Delete(answer);
    return result;
}

int docker_network_check(struct docker *docker, int64_t deadline_ms, struct error *err)
{
    const struct config *config = docker->config;
    const char *network = config->docker.network;
    char path[PATH_BYTES];
    char place[CONFIG_PLACE_BYTES];
    int status = 0;
    if (network == NULL || strcmp(network, "default") == 0) {
        return 0;
    }
    (void)config_place(config, &config->docker.network, "[Docker] Network", place);
    if (docker_path(path, sizeof(path), "/networks/%s", network) < 0) {
        return error_set(err, ERROR_USAGE, 0, "%s: '%s' is too long", place, network);
    }
    if (docker_call(docker, "GET", path, NULL, deadline_ms, &status, NULL, err) < 0) {
        return -1;
    }
    return status != 404
               ? 0
               : error_set(err, ERROR_USAGE, 0, "%s: the Docker Engine at '%s' has no network '%s'",
                           place, docker->shown, network);
}

int docker_remove_job(struct docker *docker, const char *job, int64_t grace_ms, int64_t deadline_ms,
                      struct error *err)
{
    static const struct {
        enum object kind;
        const char *list;
    } kinds[] = {{OBJECT_CONTAINER, "/containers/json?all=1&filters=%s"},
                 {OBJECT_NETWORK, "/networks?filters=%s"},
                 {OBJECT_VOLUME, "/volumes?filters=%s"}};
    char filter[256];
    char path[PATH_BYTES];
    (void)snprintf(filter, sizeof(filter), "{\"label\":[\"%s=%s\"]}", DOCKER_JOB_LABEL, job);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (make_path(path, kinds[i].list, filter, err) < 0 ||
            remove_listed(docker, path, kinds[i].kind, grace_ms, deadline_ms, err) < 0) {
            return -1;
        }
    }
    return 0;
}

void docker_service_container(const char *job, int index, char out[DOCKER_SERVICE_NAME_BYTES])
{
    (void)snprintf(out, DOCKER_SERVICE_NAME_BYTES, "berth-%s-service-%d", job, index);
}
