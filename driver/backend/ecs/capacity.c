/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/capacity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/pace.h"
#include "driver/backend/ecs/store.h"
#include "driver/base/json.h"

#define CALL_MS    20000
#define AGE_S      86400
#define KIND_BYTES 32 /* of a file */

static const struct {
    const char *compatibility, *text;
} kinds[ECS_CAPACITIES] = {
    [ECS_CAPACITY_FARGATE] = {"FARGATE", "AWS Fargate"},
    [ECS_CAPACITY_MANAGED] = {"MANAGED_INSTANCES", "ECS Managed Instances"},
    [ECS_CAPACITY_INSTANCES] = {"EC2", "EC2 instances of an Auto Scaling group"},
};

const char *ecs_capacity_compatibility(enum ecs_capacity kind)
{
    return kinds[kind].compatibility;
}

const char *ecs_capacity_text(enum ecs_capacity kind)
{
    return kinds[kind].text;
}

void ecs_provider_name(const char *entry, char out[ECS_PROVIDER_BYTES])
{
    (void)snprintf(out, ECS_PROVIDER_BYTES, "%.*s", (int)strcspn(entry, ":"), entry);
}

bool ecs_provider_is_fargate(const char *entry)
{
    char name[ECS_PROVIDER_BYTES];
    ecs_provider_name(entry, name);
    return strcmp(name, "FARGATE") == 0 || strcmp(name, "FARGATE_SPOT") == 0;
}

/* The first entry that is (not) one of Fargate's; NULL: none. */
static const char *first_entry(const struct config *config, bool of_fargate)
{
    const struct config_list *list = &config->fargate.capacity_providers;
    for (size_t i = 0; i < list->count; i++) {
        if (ecs_provider_is_fargate(list->entries[i]) == of_fargate) {
            return list->entries[i];
        }
    }
    return NULL;
}

bool ecs_capacity_is_asked(const struct config *config)
{
    return first_entry(config, false) != NULL;
}

int ecs_capacity_not_privileged(const char *what, const char *where, struct error *err)
{
    (void)error_set(err, ERROR_USAGE, 0,
                    "%s cannot run privileged on %s, only on ECS Managed Instances", what, where);
    return error_hint(err, "name capacity providers of ECS Managed Instances alone in [Fargate] "
                           "CapacityProviders, or build images without privileges, with kaniko for "
                           "example");
}

static int mixed(const char *one, const char *one_kind, const char *other, const char *other_kind,
                 struct error *err)
{
    char names[2][ECS_PROVIDER_BYTES];
    ecs_provider_name(one, names[0]);
    ecs_provider_name(other, names[1]);
    (void)error_set(err, ERROR_USAGE, 0,
                    "[Fargate] CapacityProviders are of two kinds: '%s' is %s, '%s' is %s",
                    names[0], one_kind, names[1], other_kind);
    return error_hint(err, "ECS cannot use both for one task; name providers of one kind, and give "
                           "another runner the others");
}

int ecs_capacity_check(const struct config *config, struct error *err)
{
    const struct config_fargate *fargate = &config->fargate;
    const char *other = first_entry(config, false);
    const char *of_fargate = first_entry(config, true);
    char place[CONFIG_PLACE_BYTES];
    if (other != NULL && of_fargate != NULL) {
        return mixed(of_fargate, "AWS Fargate", other, "not", err);
    }
    if (other != NULL && fargate->platform_version != NULL) {
        (void)error_set(
            err, ERROR_USAGE, 0,
            "%s is '%s', but the provider '%.*s' of CapacityProviders is not Fargate's "
            "and has no platform versions",
            config_place(config, &fargate->platform_version, "the Fargate platform version", place),
            fargate->platform_version, (int)strcspn(other, ":"), other);
        return error_hint(err, "remove PlatformVersion, or name FARGATE or FARGATE_SPOT");
    }
    bool images = fargate->privileged_images.count > 0;
    if (other == NULL && (images || fargate->privileged_services.count > 0)) {
        const void *list = images ? (const void *)&fargate->privileged_images
                                  : (const void *)&fargate->privileged_services;
        return ecs_capacity_not_privileged(
            config_place(config, list, "[Fargate] PrivilegedImages", place), "AWS Fargate", err);
    }
    return 0;
}

/* --- what is kept --- */

static void file_name(const struct aws_client *client, const struct config *config,
                      const char *provider, char out[ECS_STORE_NAME_BYTES])
{
    char about[ECS_ARN_BYTES + ECS_PROVIDER_BYTES + 8];
    (void)snprintf(about, sizeof(about), "%s\n%s", config->fargate.cluster, provider);
    ecs_store_name(client, "provider", about, out);
}

static bool read_stored(const struct config *config, const char *file, enum ecs_capacity *out_kind)
{
    cleanup_buffer struct buffer text;
    buffer_init(&text, KIND_BYTES);
    if (!ecs_store_read(config, file, AGE_S, &text, NULL)) {
        return false;
    }
    for (size_t i = 0; i < ECS_CAPACITIES; i++) {
        if (text.length == strlen(kinds[i].compatibility) &&
            memcmp(text.bytes, kinds[i].compatibility, text.length) == 0) {
            *out_kind = (enum ecs_capacity)i;
            return true;
        }
    }
    return false;
}

/* --- the call --- */

static int judge(const struct config *config, const char *name, const cJSON *answer,
                 enum ecs_capacity *out_kind, struct error *err)
{
    const cJSON *provider = NULL;
    cJSON_ArrayForEach(provider, json_at(answer, "capacityProviders"))
    {
        const char *type = json_text_or_empty(provider, "type");
        if (strcmp(json_text_or_empty(provider, "name"), name) != 0) {
            continue;
        }
        if (json_at(provider, "managedInstancesProvider") != NULL ||
            strcmp(type, "MANAGED_INSTANCES") == 0) {
            *out_kind = ECS_CAPACITY_MANAGED;
            return 0;
        }
        if (json_at(provider, "autoScalingGroupProvider") != NULL ||
            strcmp(type, "EC2_AUTOSCALING") == 0) {
            *out_kind = ECS_CAPACITY_INSTANCES;
            return 0;
        }
        return error_set(err, ERROR_USAGE, 0,
                         "the capacity provider '%s' is of a kind that Berth does not know (%s)",
                         name, type[0] == '\0' ? "without a type" : type);
    }
    (void)error_set(err, ERROR_USAGE, 0, "the cluster '%s' has no capacity provider '%s'",
                    config->fargate.cluster, name);
    return error_hint(err, "check [Fargate] CapacityProviders; create it in the cluster, or add it "
                           "with 'aws ecs put-cluster-capacity-providers'");
}

int ecs_capacity_ask(struct aws_client *client, const struct config *config, const char *entry,
                     int64_t deadline_ms, enum ecs_capacity *out_kind, struct error *err)
{
    char name[ECS_PROVIDER_BYTES];
    struct aws_failure failure;
    bool ok = true;
    cJSON *answer = NULL;
    ecs_provider_name(entry, name);
    if (ecs_provider_is_fargate(entry)) {
        *out_kind = ECS_CAPACITY_FARGATE;
        return 0;
    }
    cJSON *request = cJSON_CreateObject();
    json_append(json_array(request, "capacityProviders", &ok), name, &ok);
    json_text(request, "cluster", config->fargate.cluster, &ok);
    if (!ok) {
        cJSON_Delete(request);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the capacity provider");
    }
    deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(CALL_MS));
    int result =
        aws_ecs(client, "DescribeCapacityProviders", request, deadline_ms, &answer, &failure, err);
    cJSON_Delete(request);
    if (result < 0) {
        struct ecs_advice advice = ecs_advice_of_refusal(err->message);
        if (advice.hint != NULL && err->hint[0] == '\0') {
            (void)error_hint(err, "%s", advice.hint);
        }
        err->kind = failure.permanent ? ERROR_USAGE : err->kind;
        return error_wrap(err, "cannot find out what the capacity provider '%s' is", name);
    }
    result = judge(config, name, answer, out_kind, err);
    cJSON_Delete(answer);
    return result;
}

/* One process of this host asks, the others find its answer. */
static int find_one(struct aws_client *client, const struct config *config, struct signals *signals,
                    const char *entry, int64_t deadline_ms, enum ecs_capacity *out_kind,
                    struct error *err)
{
    char name[ECS_PROVIDER_BYTES];
    char file[ECS_STORE_NAME_BYTES];
    ecs_provider_name(entry, name);
    file_name(client, config, name, file);
    if (read_stored(config, file, out_kind)) {
        return 0;
    }
    cleanup_fd int lock = ecs_store_lock(config, file, signals, deadline_ms);
    if (lock >= 0 && read_stored(config, file, out_kind)) {
        return 0;
    }
    if (ecs_pace_wait(signals, ecs_pace_reserve(config, "describe"), deadline_ms, err) < 0) {
        return -1;
    }
    if (ecs_capacity_ask(client, config, entry, deadline_ms, out_kind, err) < 0) {
        return -1;
    }
    ecs_store_write(config, file, ecs_capacity_compatibility(*out_kind));
    return 0;
}

int ecs_capacity_find(struct aws_client *client, const struct config *config,
                      struct signals *signals, int64_t deadline_ms, enum ecs_capacity *out_kind,
                      struct error *err)
{
    const struct config_list *list = &config->fargate.capacity_providers;
    enum ecs_capacity found = ECS_CAPACITY_FARGATE;
    for (size_t i = 0; ecs_capacity_is_asked(config) && i < list->count; i++) {
        enum ecs_capacity kind = ECS_CAPACITY_FARGATE;
        if (find_one(client, config, signals, list->entries[i], deadline_ms, &kind, err) < 0) {
            return -1;
        }
        if (i > 0 && kind != found) {
            return mixed(list->entries[0], ecs_capacity_text(found), list->entries[i],
                         ecs_capacity_text(kind), err);
        }
        found = kind;
    }
    *out_kind = found;
    return 0;
}

/* --- the cluster's default --- */

static int describe_cluster(struct aws_client *client, const struct config *config,
                            int64_t deadline_ms, cJSON **out_answer, struct error *err)
{
    struct aws_failure failure;
    bool ok = true;
    cJSON *request = cJSON_CreateObject();
    json_append(json_array(request, "clusters", &ok), config->fargate.cluster, &ok);
    int result =
        ok ? aws_ecs(client, "DescribeClusters", request, deadline_ms, out_answer, &failure, err)
           : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot describe the cluster");
    cJSON_Delete(request);
    return result;
}

int ecs_capacity_default(struct aws_client *client, const struct config *config,
                         struct signals *signals, int64_t deadline_ms,
                         char out_provider[ECS_PROVIDER_BYTES], struct error *err)
{
    cJSON *answer = NULL;
    const cJSON *item = NULL;
    deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(CALL_MS));
    if (ecs_pace_wait(signals, ecs_pace_reserve(config, "describe"), deadline_ms, err) < 0 ||
        describe_cluster(client, config, deadline_ms, &answer, err) < 0) {
        return -1;
    }
    const cJSON *cluster = cJSON_GetArrayItem(json_at(answer, "clusters"), 0);
    out_provider[0] = '\0';
    cJSON_ArrayForEach(item, json_at(cluster, "defaultCapacityProviderStrategy"))
    {
        const char *name = json_text_or_empty(item, "capacityProvider");
        if (!ecs_provider_is_fargate(name)) {
            ecs_provider_name(name, out_provider);
        }
    }
    cJSON_Delete(answer);
    return out_provider[0] != '\0';
}
