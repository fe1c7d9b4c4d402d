/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker_job.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "driver/backend/docker_container.h"
#include "driver/backend/docker_job_private.h"
#include "driver/backend/embedded_agent.h"
#include "driver/backend/tar.h"
#include "driver/json.h"
#include "driver/owner.h"
#include "driver/runner.h"

#define AGENT_DIRECTORY     ".berth"
#define AGENT_PATH          AGENT_DIRECTORY "/berth-agent"
#define AGENT_CEILING_BYTES (64UL << 20)
#define PATH_BYTES          256
#define DETACH_SPARE_MS     60000 /* the driver gives up before the agent does */
#define TIED_IDLE           "5s"  /* an 'exec' that was killed leaves its container this long */

cJSON *docker_job_labels(const struct config *config, const char *job, const char *role, bool *ok)
{
    const char *url = runner_variable("CI_JOB_URL");
    const char *runner = runner_variable("CI_RUNNER_ID");
    char owner[OWNER_BYTES];
    cJSON *labels = cJSON_CreateObject();
    owner_of(config, owner);
    json_text(labels, DOCKER_JOB_LABEL, job, ok);
    json_text(labels, DOCKER_OWNER_LABEL, owner, ok);
    json_text(labels, DOCKER_ROLE_LABEL, role, ok);
    json_text(labels, "berth.version", BERTH_VERSION, ok);
    if (url != NULL) {
        json_text(labels, "berth.url", url, ok);
    }
    if (runner != NULL) {
        json_text(labels, "berth.runner", runner, ok);
    }
    for (size_t i = 0; i < config->docker.labels.count; i++) {
        char name[DOCKER_SPEC_CEILING];
        const char *text = config->docker.labels.entries[i];
        size_t length = strcspn(text, "=");
        (void)snprintf(name, sizeof(name), "%.*s", (int)(length < sizeof(name) ? length : 0), text);
        json_text(labels, name, text[length] == '=' ? text + length + 1 : "", ok);
    }
    return labels;
}

static void add_environment(cJSON *body, const struct docker_job *job, bool *ok)
{
    char seed[ED25519_SEED_BASE64_BYTES];
    char line[KEYS_LINE_BYTES];
    const struct keys *keys = job->task->metadata->keys;
    const struct config_list *more = &job->task->config->docker.environment;
    cJSON *list = json_array(body, "Env", ok);
    for (size_t i = 0; i < more->count; i++) {
        const char *value = strchr(more->entries[i], '=') == NULL ? getenv(more->entries[i]) : NULL;
        if (strchr(more->entries[i], '=') != NULL) {
            json_append(list, more->entries[i], ok);
        } else if (value != NULL) {
            json_append_format(list, ok, "%s=%s", more->entries[i], value);
        }
    }
    keys_authorized_line(keys->user_seed, line);
    json_append_format(list, ok, "SSH_PUBLIC_KEY=%s", line);
    ed25519_seed_base64(keys->host_seed, seed);
    char secret[sizeof(seed) + 32];
    (void)snprintf(secret, sizeof(secret), "BERTH_HOST_KEY_SEED=%s", seed);
    json_append(list, secret, ok);
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(seed, sizeof(seed));
}

static void add_command(cJSON *body, const struct docker_job *job, bool *ok)
{
    cJSON *entrypoint = json_array(body, "Entrypoint", ok);
    json_append(entrypoint, "/" AGENT_PATH, ok);
    cJSON *words = json_array(body, "Cmd", ok);
    json_append(words, "--listen", ok);
    json_append_format(words, ok, ":%d", DOCKER_AGENT_PORT);
    json_append(words, "--grace", ok);
    json_append_format(words, ok, "%lldms", (long long)job->task->config->cancel_grace_ms);
    json_append(words, "--detach-timeout", ok);
    if (job->task->tied) {
        json_append(words, TIED_IDLE, ok);
        json_append(words, "--idle-timeout", ok);
        json_append(words, TIED_IDLE, ok);
    } else {
        json_append_format(words, ok, "%lldms",
                           (long long)job->task->config->ssh_reattach_timeout_ms + DETACH_SPARE_MS);
    }
    cJSON *check = json_object(body, "Healthcheck", ok);
    json_append(json_array(check, "Test", ok), "NONE", ok);
    json_text(body, "StopSignal", "SIGTERM", ok);
    if (job->task->config->docker.user != NULL) {
        json_text(body, "User", job->task->config->docker.user, ok);
    }
}

static void add_mount(cJSON *list, const char *from, const char *to, bool is_directory,
                      bool read_only, bool *ok)
{
    cJSON *mount = cJSON_CreateObject();
    json_text(mount, "Type", is_directory ? "bind" : "volume", ok);
    if (from != NULL) {
        json_text(mount, "Source", from, ok);
    }
    json_text(mount, "Target", to, ok);
    json_bool(mount, "ReadOnly", read_only, ok);
    if (!cJSON_AddItemToArray(list, mount)) {
        cJSON_Delete(mount);
        *ok = false;
    }
}

/* The builds directory is an anonymous volume: faster than the container's layers, and gone with
 * it. */
static int add_mounts(cJSON *host, const struct docker_job *job, bool *ok, struct error *err)
{
    const struct config_list *volumes = &job->task->config->docker.volumes;
    bool has_builds = false;
    cJSON *list = json_array(host, "Mounts", ok);
    struct docker_volume *volume = calloc(1, sizeof(*volume));
    if (volume == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read the volumes");
    }
    int result = 0;
    for (size_t i = 0; result == 0 && i < volumes->count; i++) {
        result = docker_volume_parse(volumes->entries[i], volume, err);
        has_builds = has_builds || strcmp(volume->to, DOCKER_BUILDS) == 0;
        if (result == 0) {
            add_mount(list, volume->from, volume->to, volume->is_directory, volume->read_only, ok);
        }
    }
    free(volume);
    if (job->mounted != NULL) {
        add_mount(list, job->mounted, job->mounted, true, false, ok);
    }
    if (!job->task->tied && !has_builds) {
        add_mount(list, NULL, DOCKER_BUILDS, false, false, ok);
    }
    return result;
}

static void add_list(cJSON *to, const char *name, const struct config_list *list, bool *ok)
{
    if (list->count > 0) {
        cJSON *array = json_array(to, name, ok);
        for (size_t i = 0; i < list->count; i++) {
            json_append(array, list->entries[i], ok);
        }
    }
}

void docker_job_limits(const struct config_docker *docker, cJSON *host, bool *ok)
{
    if (docker->memory_bytes > 0) {
        json_number(host, "Memory", docker->memory_bytes, ok);
        json_number(host, "MemorySwap", docker->memory_bytes, ok); /* no swap on top */
    }
    if (docker->nano_cpus > 0) {
        json_number(host, "NanoCpus", docker->nano_cpus, ok);
    }
    if (docker->pids_limit > 0) {
        json_number(host, "PidsLimit", docker->pids_limit, ok);
    }
}

static void add_rights(cJSON *host, const struct docker_job *job, bool *ok)
{
    const struct config_docker *docker = &job->task->config->docker;
    add_list(host, "CapAdd", &docker->cap_add, ok);
    add_list(host, "CapDrop", &docker->cap_drop, ok);
    json_bool(host, "Privileged", docker->privileged, ok);
    json_bool(host, "AutoRemove", job->task->tied, ok);
}

static void add_network(cJSON *body, cJSON *host, const struct docker_job *job, bool *ok)
{
    char port[32];
    const char *configured = job->task->config->docker.network;
    const char *mode = job->network != NULL ? job->network : configured;
    if (mode != NULL) {
        json_text(host, "NetworkMode", mode, ok);
    }
    if (job->network != NULL) {
        cJSON *endpoints =
            json_object(json_object(body, "NetworkingConfig", ok), "EndpointsConfig", ok);
        cJSON *endpoint = json_object(endpoints, job->network, ok);
        json_append(json_array(endpoint, "Aliases", ok), "build", ok);
    }
    if (job->published) {
        (void)snprintf(port, sizeof(port), "%d/tcp", DOCKER_AGENT_PORT);
        (void)json_object(json_object(body, "ExposedPorts", ok), port, ok);
        cJSON *list = json_array(json_object(host, "PortBindings", ok), port, ok);
        cJSON *binding = cJSON_CreateObject();
        json_text(binding, "HostIp", job->published_everywhere ? "0.0.0.0" : "127.0.0.1", ok);
        json_text(binding, "HostPort", "", ok); /* a free one */
        if (!cJSON_AddItemToArray(list, binding)) {
            cJSON_Delete(binding);
            *ok = false;
        }
    }
}

cJSON *docker_job_body(const struct docker_job *job, struct error *err)
{
    bool ok = true;
    cJSON *body = cJSON_CreateObject();
    json_text(body, "Image", job->image, &ok);
    add_command(body, job, &ok);
    add_environment(body, job, &ok);
    cJSON *labels = docker_job_labels(job->task->config, job->task->metadata->job, "job", &ok);
    ok = cJSON_AddItemToObject(body, "Labels", labels) && ok;
    cJSON *host = json_object(body, "HostConfig", &ok);
    int result = add_mounts(host, job, &ok, err);
    docker_job_limits(&job->task->config->docker, host, &ok);
    add_rights(host, job, &ok);
    add_network(body, host, job, &ok);
    if (result == 0 && ok) {
        return body;
    }
    docker_job_delete_body(body);
    if (result == 0) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the container");
    }
    return NULL;
}

/* cJSON frees texts as they are: the seed is wiped first. */
void docker_job_delete_body(cJSON *body)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, json_at(body, "Env"))
    {
        if (cJSON_IsString(entry)) {
            sodium_memzero(entry->valuestring, strlen(entry->valuestring));
        }
    }
    cJSON_Delete(body);
}

/* Whether a mount at 'directory' is not ours to change: a directory of the engine's host keeps its
 * owner and mode, and nothing can be written to one that is read-only. */
static bool is_foreign(const struct config_list *volumes, const char *directory)
{
    bool foreign = false;
    struct error ignored;
    struct docker_volume volume;
    for (size_t i = 0; i < volumes->count; i++) {
        foreign = foreign ||
                  (docker_volume_parse(volumes->entries[i], &volume, &ignored) == 0 &&
                   strcmp(volume.to, directory) == 0 && (volume.is_directory || volume.read_only));
    }
    return foreign;
}

/* The directories of a job are writable for whoever the image's USER is. */
static int append_directories(struct buffer *archive, const struct docker_job *job)
{
    static const char *const directories[] = {DOCKER_BUILDS, DOCKER_CACHE};
    const struct config_list *volumes = &job->task->config->docker.volumes;
    for (size_t i = 0; !job->task->tied && i < sizeof(directories) / sizeof(directories[0]); i++) {
        if (!is_foreign(volumes, directories[i]) &&
            tar_directory(archive, &directories[i][1], 0777) < 0) {
            return -1;
        }
    }
    return 0;
}

static int build_archive(const struct docker_job *job, struct buffer *archive, struct error *err)
{
    const void *agent = NULL;
    size_t length = 0;
    struct buffer file;
    buffer_init(&file, AGENT_CEILING_BYTES);
    int result = 0;
    if (job->task->config->docker.agent != NULL) {
        result = fd_read_file(job->task->config->docker.agent, &file, err);
        agent = file.bytes;
        length = file.length;
    } else {
        length = embedded_agent_bytes(&agent);
    }
    if (result == 0 &&
        (append_directories(archive, job) < 0 ||
         tar_directory(archive, AGENT_DIRECTORY, 0755) < 0 ||
         tar_file(archive, AGENT_PATH, 0755, agent, length) < 0 || tar_end(archive) < 0)) {
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "cannot pack the agent");
    }
    buffer_done(&file);
    return result;
}

int docker_job_put_agent(struct docker *docker, const struct docker_job *job, const char *id,
                         int64_t deadline_ms, struct error *err)
{
    static const char *const headers[] = {"Content-Type: application/x-tar", NULL};
    char path[PATH_BYTES];
    struct buffer archive;
    struct http_answer answer = {0};
    buffer_init(&archive, AGENT_CEILING_BYTES + (1UL << 20));
    buffer_init(&answer.body, 1UL << 16);
    int result = build_archive(job, &archive, err);
    if (result == 0 &&
        docker_path(path, sizeof(path), "/containers/%s/archive?path=%s", id, "/") < 0) {
        result = error_set(err, ERROR_PEER, 0, "the Docker Engine's id is too long");
    }
    if (result == 0) {
        struct http_request request = {
            .method = "PUT",
            .url = path,
            .headers = headers,
            .body = archive.bytes,
            .body_length = archive.length,
            .deadline_ms = deadline_ms,
        };
        result = docker_raw(docker, &request, &answer, err);
    }
    if (result == 0 && answer.status >= 400) {
        result = docker_refused(answer.status, answer.body.bytes, "PUT", "archive", err);
    }
    buffer_done(&answer.body);
    buffer_done(&archive);
    return result < 0 ? error_wrap(err, "cannot put the agent into the container") : 0;
}
