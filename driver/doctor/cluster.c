/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/doctor/doctor.h"
#include "driver/json.h"

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

/* One of those that the settings ask for; 'name' ends at a colon. */
static void check_provider(struct doctor *doctor, const cJSON *there, const char *name)
{
    size_t length = strcspn(name, ":");
    if (names(there, name, length)) {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "capacity provider '%.*s'", (int)length, name);
    } else {
        doctor_tell(doctor, DOCTOR_WRONG,
                    "aws ecs put-cluster-capacity-providers with it and those that are there, and "
                    "a default strategy",
                    "the cluster has no capacity provider '%.*s'", (int)length, name);
    }
}

static void check_providers(struct doctor *doctor, const cJSON *cluster)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    const cJSON *there = json_at(cluster, "capacityProviders");
    for (size_t i = 0; i < fargate->capacity_providers.count; i++) {
        check_provider(doctor, there, fargate->capacity_providers.entries[i]);
    }
    if (fargate->spot) {
        check_provider(doctor, there, "FARGATE_SPOT");
        if (fargate->spot_fallback) {
            check_provider(doctor, there, "FARGATE");
        }
    }
}

static void judge(struct doctor *doctor, const cJSON *answer)
{
    const char *name = doctor->config->fargate.cluster;
    const cJSON *cluster = cJSON_GetArrayItem(json_at(answer, "clusters"), 0);
    const char *status = json_text_at(cluster, "status");
    if (cluster == NULL || status == NULL || strcmp(status, "INACTIVE") == 0) {
        doctor_tell(doctor, DOCTOR_WRONG,
                    "check [Fargate] Cluster and Region, or make it: aws ecs create-cluster",
                    "there is no cluster '%s' in this region and account", name);
        return;
    }
    if (strcmp(status, "ACTIVE") != 0) {
        doctor_tell(doctor, DOCTOR_WRONG, "wait until it is ACTIVE, or make another",
                    "the cluster '%s' is %s", name, status);
        return;
    }
    doctor_tell(doctor, DOCTOR_FINE, NULL, "cluster '%s' is ACTIVE, %lld tasks running", name,
                (long long)json_number_at(cluster, "runningTasksCount"));
    check_providers(doctor, cluster);
}

void doctor_check_cluster(struct doctor *doctor)
{
    struct aws_failure failure;
    struct error err = {0};
    bool ok = true;
    cJSON *answer = NULL;
    if (doctor->client == NULL) {
        doctor_tell(doctor, DOCTOR_UNKNOWN, NULL, "cluster");
        return;
    }
    cJSON *request = cJSON_CreateObject();
    json_append(json_array(request, "clusters", &ok), doctor->config->fargate.cluster, &ok);
    if (!ok) {
        (void)error_set(&err, ERROR_SYSTEM, ENOMEM, "cannot ask for the cluster");
    }
    if (!ok || doctor_ecs(doctor, "DescribeClusters", request, &answer, &failure, &err) < 0) {
        doctor_tell_error(doctor, &err, NULL);
    } else {
        judge(doctor, answer);
    }
    cJSON_Delete(request);
    cJSON_Delete(answer);
}
