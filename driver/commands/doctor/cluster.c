/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/backend/ecs/generated.h"
#include "driver/base/json.h"
#include "driver/commands/doctor/calls.h"
#include "driver/commands/doctor/checks.h"

static bool names(const cJSON *list, const char *name, size_t length)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, list)
    {
        if (cJSON_IsString(entry) && strlen(entry->valuestring) == length &&
            strncmp(entry->valuestring, name, length) == 0) {
            return true;
        }
    }
    return false;
}

/* A provider of the configuration; 'name' ends at a colon. */
static void check_provider(struct doctor *doctor, const cJSON *there, const char *name)
{
    size_t length = strcspn(name, ":");
    if (names(there, name, length)) {
        doctor_report(doctor, DOCTOR_OK, NULL, "capacity provider '%.*s'", (int)length, name);
    } else {
        doctor_report(doctor, DOCTOR_FAIL,
                      "add it to the existing ones with 'aws ecs put-cluster-capacity-providers'",
                      "the cluster has no capacity provider '%.*s'", (int)length, name);
    }
}

/* One whose kind a generated task definition must name. */
static void check_kind(struct doctor *doctor, const char *entry, bool *agrees)
{
    struct error err = {0};
    enum ecs_capacity kind = ECS_CAPACITY_FARGATE;
    char name[ECS_PROVIDER_BYTES];
    if (ecs_capacity_ask(doctor->client, doctor->config, entry, doctor->deadline_ms, &kind, &err) <
        0) {
        doctor_report_error(doctor, &err, NULL);
        *agrees = false;
        return;
    }
    ecs_provider_name(entry, name);
    if (doctor->knows_capacity && doctor->capacity != kind && *agrees) {
        doctor_report(doctor, DOCTOR_FAIL,
                      "name providers of one kind, and give another runner the others",
                      "capacity provider '%s' is %s, another one is %s", name,
                      ecs_capacity_text(kind), ecs_capacity_text(doctor->capacity));
        *agrees = false;
        return;
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "capacity provider '%s': %s", name,
                  ecs_capacity_text(kind));
    doctor->capacity = kind;
    doctor->knows_capacity = true;
}

static void check_providers(struct doctor *doctor, const cJSON *cluster)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    const cJSON *there = json_at(cluster, "capacityProviders");
    bool asks = ecs_generates(doctor->config);
    bool agrees = true;
    for (size_t i = 0; i < fargate->capacity_providers.count; i++) {
        const char *entry = fargate->capacity_providers.entries[i];
        if (asks && !ecs_provider_is_fargate(entry)) {
            check_kind(doctor, entry, &agrees);
        } else {
            check_provider(doctor, there, entry);
        }
    }
    doctor->knows_capacity =
        agrees && (doctor->knows_capacity || !ecs_capacity_is_asked(doctor->config));
    if (fargate->spot) {
        check_provider(doctor, there, "FARGATE_SPOT");
        if (fargate->spot_fallback) {
            check_provider(doctor, there, "FARGATE");
        }
    }
}

/* "FARGATE 3, my-instances 1 (base 1)" */
static void write_strategy(const cJSON *strategy, char *out, size_t room)
{
    const cJSON *item = NULL;
    size_t length = 0;
    out[0] = '\0';
    cJSON_ArrayForEach(item, strategy)
    {
        char base[32] = "";
        const char *name = json_text_at(item, "capacityProvider");
        if (json_number_at(item, "base") > 0) {
            (void)snprintf(base, sizeof(base), " (base %lld)",
                           (long long)json_number_at(item, "base"));
        }
        length += (size_t)snprintf(out + length, room - length, "%s%s %lld%s",
                                   length > 0 ? ", " : "", name == NULL ? "?" : name,
                                   (long long)json_number_at(item, "weight"), base);
        if (length >= room) {
            return;
        }
    }
}

/* The first provider that is not Fargate's; NULL: none. */
static const char *find_other(const cJSON *strategy)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, strategy)
    {
        const char *name = json_text_or_empty(item, "capacityProvider");
        if (!ecs_provider_is_fargate(name)) {
            return name;
        }
    }
    return NULL;
}

/* A default strategy that is not only Fargate. Task definitions that Berth generates are for
 * Fargate then: it asks for the kind of providers that the configuration names, and of no other. */
static void report_other(struct doctor *doctor, const char *strategy, const char *provider,
                         const char *remedy)
{
    struct error err = {0};
    enum ecs_capacity kind = ECS_CAPACITY_FARGATE;
    char own_remedy[ECS_PROVIDER_BYTES + 128];
    if (!ecs_generates(doctor->config) || ecs_capacity_ask(doctor->client, doctor->config, provider,
                                                           doctor->deadline_ms, &kind, &err) < 0) {
        doctor_report(doctor, DOCTOR_WARN, remedy,
                      "the cluster's default capacity provider strategy is %s, which is not only "
                      "Fargate",
                      strategy);
        return;
    }
    (void)snprintf(own_remedy, sizeof(own_remedy),
                   "set [Fargate] CapacityProviders = [\"%s\"], or LaunchType = \"FARGATE\"",
                   provider);
    doctor_report(doctor, DOCTOR_WARN, own_remedy,
                  "the cluster's default capacity provider strategy is %s: '%s' is %s, on which "
                  "ECS refuses the task definitions of jobs with an image of their own",
                  strategy, provider, ecs_capacity_text(kind));
}

/* What RunTask uses if it names neither launch type nor strategy. */
static void check_default(struct doctor *doctor, const cJSON *cluster)
{
    static const char remedy[] = "set [Fargate] LaunchType = \"FARGATE\", or Spot or "
                                 "CapacityProviders, or give the cluster a default strategy of "
                                 "FARGATE: aws ecs put-cluster-capacity-providers";
    const struct config_fargate *fargate = &doctor->config->fargate;
    const cJSON *strategy = json_at(cluster, "defaultCapacityProviderStrategy");
    bool counts =
        fargate->launch_type == NULL && !fargate->spot && fargate->capacity_providers.count == 0;
    const char *unused = counts ? "" : "; this configuration sets its own";
    char text[512];
    write_strategy(strategy, text, sizeof(text));
    if (cJSON_GetArraySize(strategy) > 0) {
        const char *other = counts ? find_other(strategy) : NULL;
        if (other != NULL) {
            report_other(doctor, text, other, remedy);
        } else {
            doctor_report(doctor, DOCTOR_OK, NULL,
                          "the cluster's default capacity provider strategy is %s%s", text, unused);
        }
    } else if (counts && json_number_at(cluster, "registeredContainerInstancesCount") > 0) {
        doctor_report(doctor, DOCTOR_WARN, remedy,
                      "the cluster has no default capacity provider strategy, but has EC2 "
                      "instances, on which ECS tries to run jobs");
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL,
                      "the cluster has no default capacity provider strategy%s",
                      counts ? ": jobs ask for launch type FARGATE" : unused);
    }
}

static void judge(struct doctor *doctor, const cJSON *answer)
{
    const char *name = doctor->config->fargate.cluster;
    const cJSON *cluster = cJSON_GetArrayItem(json_at(answer, "clusters"), 0);
    const char *status = json_text_at(cluster, "status");
    if (cluster == NULL || status == NULL || strcmp(status, "INACTIVE") == 0) {
        doctor_report(doctor, DOCTOR_FAIL,
                      "check [Fargate] Cluster and Region, or create it: aws ecs create-cluster",
                      "there is no cluster '%s' in this region and account", name);
        return;
    }
    if (strcmp(status, "ACTIVE") != 0) {
        doctor_report(doctor, DOCTOR_FAIL, "wait until it is ACTIVE, or create another",
                      "the cluster '%s' is %s", name, status);
        return;
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "cluster '%s' is ACTIVE, %lld tasks running", name,
                  (long long)json_number_at(cluster, "runningTasksCount"));
    check_default(doctor, cluster);
    check_providers(doctor, cluster);
}

void doctor_check_cluster(struct doctor *doctor)
{
    struct aws_failure failure;
    struct error err = {0};
    bool ok = true;
    cJSON *answer = NULL;
    if (doctor->client == NULL) {
        doctor_report(doctor, DOCTOR_UNKNOWN, NULL, "cluster");
        return;
    }
    cJSON *request = cJSON_CreateObject();
    json_append(json_array(request, "clusters", &ok), doctor->config->fargate.cluster, &ok);
    if (!ok) {
        (void)error_set(&err, ERROR_SYSTEM, ENOMEM, "cannot describe the cluster");
    }
    if (!ok || doctor_ecs(doctor, "DescribeClusters", request, &answer, &failure, &err) < 0) {
        doctor_report_error(doctor, &err, NULL);
    } else {
        judge(doctor, answer);
    }
    cJSON_Delete(request);
    cJSON_Delete(answer);
}
