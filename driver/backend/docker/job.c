/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/job.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "driver/backend/docker/container.h"
#include "driver/backend/idle_timeout.h"
#include "driver/backend/job_variables.h"
#include "driver/backend/service_names.h"
#include "driver/base/json.h"
#include "driver/record/runner_id.h"
#include "driver/runner/runner.h"

#define NAME_BYTES      4096  /* of a label or variable of the configuration, with the NUL */
#define DETACH_SPARE_MS 60000 /* the driver gives up before the agent does */
#define TIED_IDLE       "5s"  /* how long the container of a killed 'exec' keeps running */
/* The HOME of users who cannot write to their own. */
#define HOME_IN_BUILDS    DOCKER_BUILDS "/.berth-home"
#define HOME_OF_CONTAINER "/.berth-home"

static int check_environment(const struct config *config, struct error *err)
{
    const struct config_list *list = &config->docker.environment;
    for (size_t i = 0; i < list->count; i++) {
        const char *entry = list->entries[i];
        size_t length = strcspn(entry, "=");
        if (length == 0 || strncmp(entry, "BERTH_", 6) == 0 ||
            (length == 14 && strncmp(entry, "SSH_PUBLIC_KEY", length) == 0)) {
            char out[CONFIG_PLACE_BYTES];
            const char *place = docker_entry_place(config, list, i, "--env", out);
            return error_set(err, place == out ? ERROR_USAGE : ERROR_OPTION, 0,
                             "%s: '%.*s' cannot be the name of a job's variable", place,
                             (int)length, entry);
        }
    }
    return 0;
}

static int check_labels(const struct config *config, struct error *err)
{
    const struct config_list *list = &config->docker.labels;
    for (size_t i = 0; i < list->count; i++) {
        bool ours = strncmp(list->entries[i], "berth.", 6) == 0;
        if (ours || strchr(list->entries[i], '=') == NULL) {
            char place[CONFIG_PLACE_BYTES];
            return error_set(err, ERROR_USAGE, 0, "%s: '%s' is not NAME=VALUE%s",
                             config_place(config, list, "[Docker] Labels", place), list->entries[i],
                             ours ? " of your own" : "");
        }
    }
    return 0;
}

static int check_network(const struct config *config, struct error *err)
{
    const char *network = config->docker.network;
    if (network != NULL && (strcmp(network, "host") == 0 || strcmp(network, "none") == 0 ||
                            strncmp(network, "container:", 10) == 0)) {
        char place[CONFIG_PLACE_BYTES];
        return error_set(err, ERROR_USAGE, 0,
                         "%s: '%s' gives containers no address of their own; name a bridge network",
                         config_place(config, &config->docker.network, "[Docker] Network", place),
                         network);
    }
    return 0;
}

int docker_job_check(const struct config *config, struct error *err)
{
    return check_environment(config, err) < 0 || docker_volumes_check(config, err) < 0 ||
                   check_labels(config, err) < 0
               ? -1
               : check_network(config, err);
}

cJSON *docker_job_labels(const struct config *config, const char *job, const char *role, bool *ok)
{
    const char *url = runner_variable("CI_JOB_URL");
    const char *runner = runner_variable("CI_RUNNER_ID");
    char owner[RUNNER_ID_BYTES];
    cJSON *labels = cJSON_CreateObject();
    runner_id_get(config, owner);
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
        char name[NAME_BYTES];
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
        char name[NAME_BYTES];
        size_t length = strcspn(more->entries[i], "=");
        (void)snprintf(name, sizeof(name), "%.*s", (int)(length < sizeof(name) ? length : 0),
                       more->entries[i]);
        if (more->entries[i][length] == '=') {
            value = more->entries[i] + length + 1;
        }
        if (value != NULL && name[0] != '\0') {
            job_variables_set(list, name, value, ok);
        }
    }
    keys_authorized_line(keys->user_seed, line);
    json_append_format(list, ok, "SSH_PUBLIC_KEY=%s", line);
    ed25519_seed_base64(job->is_helper ? keys->helper_seed : keys->host_seed, seed);
    char secret[sizeof(seed) + 32];
    (void)snprintf(secret, sizeof(secret), "BERTH_HOST_KEY_SEED=%s", seed);
    json_append(list, secret, ok);
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(seed, sizeof(seed));
}

static void add_pair(cJSON *words, const char *option, const char *value, bool *ok)
{
    json_append(words, option, ok);
    json_append(words, value, ok);
}

/* Where a job has its HOME if its user cannot write to the image's: in the container if other jobs
 * see /builds. NULL: nowhere. */
static const char *home_fallback(const struct docker_job *job)
{
    if (job->is_helper || (job->task->die_with_parent && job->builds == NULL)) {
        return NULL;
    }
    return docker_volumes_have_builds(job->task->config) ? HOME_OF_CONTAINER : HOME_IN_BUILDS;
}

/* The agent's options for how commands run. The helper's files are writable for all, as with GitLab
 * Runner's own executors, since the job's user is not known in the helper. */
static void add_command_options(cJSON *words, const struct docker_job *job, bool *ok)
{
    const cJSON *word = NULL;
    if (job->is_helper) {
        json_append(words, "--helper", ok);
        add_pair(words, "--umask",
                 runner_flag("FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR") ? "0022" : "0000", ok);
        return;
    }
    if (job->has_busybox) {
        add_pair(words, "--busybox", DOCKER_AGENT_DIRECTORY, ok);
    }
    if (home_fallback(job) != NULL) {
        add_pair(words, "--home-fallback", home_fallback(job), ok);
    }
    cJSON_ArrayForEach(word, job->entrypoint)
    {
        add_pair(words, "--entrypoint", word->valuestring, ok);
    }
}

static void add_user(cJSON *body, const struct docker_job *job, bool *ok)
{
    const char *configured = job->task->config->docker.user;
    if (job->is_helper) {
        json_text(body, "User", "0:0", ok);
    } else if (configured != NULL || job->user != NULL) {
        json_text(body, "User", configured != NULL ? configured : job->user, ok);
    }
}

static void add_command(cJSON *body, const struct docker_job *job, bool *ok)
{
    cJSON *entrypoint = json_array(body, "Entrypoint", ok);
    json_append(entrypoint, DOCKER_AGENT_PATH, ok);
    cJSON *words = json_array(body, "Cmd", ok);
    json_append(words, "--listen", ok);
    json_append_format(words, ok, ":%d", DOCKER_AGENT_PORT);
    json_append(words, "--grace", ok);
    json_append_format(words, ok, "%lldms", (long long)job->task->config->cancel_grace_ms);
    int64_t login_ms = job->task->login_within_ms;
    int64_t idle_ms = backend_idle_ms(job->task, job->is_helper ? METADATA_HELPER : METADATA_JOB);
    if (login_ms > 0) { /* its launch logs in, so it is idle until a job claims it */
        json_append(words, "--connect-timeout", ok);
        json_append_format(words, ok, "%lldms", (long long)login_ms);
    }
    if (idle_ms > 0) {
        json_append(words, "--idle-timeout", ok);
        json_append_format(words, ok, "%lldms", (long long)idle_ms);
    }
    if (backend_claim_ms(job->task) > 0) {
        json_append(words, "--claim-timeout", ok);
        json_append_format(words, ok, "%lldms", (long long)backend_claim_ms(job->task));
    }
    json_append(words, "--detach-timeout", ok);
    if (job->task->die_with_parent) {
        json_append(words, TIED_IDLE, ok);
        json_append(words, "--idle-timeout", ok);
        json_append(words, TIED_IDLE, ok);
    } else {
        json_append_format(words, ok, "%lldms",
                           (long long)job->task->config->ssh_reattach_timeout_ms + DETACH_SPARE_MS);
    }
    add_command_options(words, job, ok);
    cJSON *check = json_object(body, "Healthcheck", ok);
    json_append(json_array(check, "Test", ok), "NONE", ok);
    json_text(body, "StopSignal", "SIGTERM", ok);
    add_user(body, job, ok);
}

/* A builds volume of the task's own, unless the configuration mounts something there. */
static int add_mounts(cJSON *host, const struct docker_job *job, bool *ok, struct error *err)
{
    const struct config *config = job->task->config;
    cJSON *list = json_array(host, "Mounts", ok);
    enum docker_volumes which = job->is_helper ? DOCKER_VOLUMES_SHARED : DOCKER_VOLUMES_ALL;
    if (docker_volumes_add(config, which, list, ok, err) < 0) {
        return -1;
    }
    if (job->mounted != NULL) {
        docker_mount_add(list, job->mounted, job->mounted, true, false, ok);
    }
    if (job->builds != NULL) {
        docker_mount_add_builds(list, job->builds, ok);
    } else if (!job->task->die_with_parent && !docker_volumes_have_builds(config)) {
        docker_mount_add(list, NULL, DOCKER_BUILDS, false, false, ok);
    }
    return 0;
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

/* Capabilities with which the helper writes files for any user. */
static const char *const file_capabilities[] = {"CHOWN", "DAC_OVERRIDE", "FOWNER"};

static bool is_file_capability(const char *name)
{
    name += strncasecmp(name, "CAP_", 4) == 0 ? 4 : 0;
    for (size_t i = 0; i < sizeof(file_capabilities) / sizeof(file_capabilities[0]); i++) {
        if (strcasecmp(name, file_capabilities[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* If "ALL" are dropped, those for files are added again: the engine has no other words for it. */
static void add_helper_rights(cJSON *host, const struct config_list *drop, bool *ok)
{
    bool all = false;
    cJSON *dropped = json_array(host, "CapDrop", ok);
    for (size_t i = 0; i < drop->count; i++) {
        all = all || strcasecmp(drop->entries[i], "ALL") == 0;
        if (!is_file_capability(drop->entries[i])) {
            json_append(dropped, drop->entries[i], ok);
        }
    }
    cJSON *kept = all ? json_array(host, "CapAdd", ok) : NULL;
    for (size_t i = 0; all && i < sizeof(file_capabilities) / sizeof(file_capabilities[0]); i++) {
        json_append(kept, file_capabilities[i], ok);
    }
}

static void add_rights(cJSON *host, const struct docker_job *job, bool *ok)
{
    const struct config_docker *docker = &job->task->config->docker;
    if (job->is_helper) {
        add_helper_rights(host, &docker->cap_drop, ok);
        return;
    }
    add_list(host, "CapAdd", &docker->cap_add, ok);
    add_list(host, "CapDrop", &docker->cap_drop, ok);
    json_bool(host, "Privileged", docker->privileged, ok);
    json_bool(host, "AutoRemove", job->task->die_with_parent, ok);
}

static void add_network(cJSON *body, cJSON *host, const struct docker_job *job, bool *ok)
{
    char port[32];
    const char *configured = job->task->config->docker.network;
    const char *mode = job->network != NULL ? job->network : configured;
    if (mode != NULL) {
        json_text(host, "NetworkMode", mode, ok);
    }
    if (job->network != NULL && !job->is_helper) {
        cJSON *endpoints =
            json_object(json_object(body, "NetworkingConfig", ok), "EndpointsConfig", ok);
        cJSON *endpoint = json_object(endpoints, job->network, ok);
        json_append(json_array(endpoint, "Aliases", ok), JOB_HOST_NAME, ok);
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
    cJSON *labels = docker_job_labels(job->task->config, job->task->metadata->job,
                                      job->is_helper ? "helper" : "job", &ok);
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
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the request for the container");
    }
    return NULL;
}

/* cJSON does not wipe what it frees: wipe the seed first. */
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

void docker_job_directories(const struct docker_job *job,
                            const char *out[DOCKER_JOB_DIRECTORIES + 1])
{
    static const char *const directories[] = {DOCKER_BUILDS, DOCKER_CACHE, NULL};
    const char *home = home_fallback(job);
    size_t count = 0;
    for (size_t i = 0; !job->task->die_with_parent && directories[i] != NULL; i++) {
        if (!docker_volumes_keep(job->task->config, directories[i])) {
            out[count++] = directories[i];
        }
    }
    if (home != NULL && strcmp(home, HOME_OF_CONTAINER) == 0) {
        out[count++] = home;
    }
    out[count] = NULL;
}
