/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/backend/ecs/client.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/pace.h"
#include "driver/base/json.h"
#include "driver/record/runner_id.h"

#define PAGE_CEILING 1000 /* of ListTasks, 100 tasks each */
#define CPU_UNITS    1024.0
#define MIB_PER_GIB  1024.0

/* The tasks, collected before they are sorted. */
struct ecs_listing {
    struct aws_client *client;
    const struct config *config;
    char prefix[64]; /* of startedBy */
    struct entry {
        int64_t created_s;
        struct backend_listed listed;
    } * entries;
    size_t count, room;
};

/* The job's URL, if one of the task's tags holds it. */
static void read_url(const cJSON *task, struct backend_listed *entry)
{
    const cJSON *tag;
    cJSON_ArrayForEach(tag, cJSON_GetObjectItemCaseSensitive(task, "tags"))
    {
        const char *value = json_text_or_empty(tag, "value");
        if (strncmp(value, "http", 4) == 0 && strstr(value, "/-/jobs/") != NULL) {
            (void)snprintf(entry->url, sizeof(entry->url), "%s", value);
        }
    }
}

static void read_entry(const struct ecs_listing *listing, const cJSON *task,
                       struct backend_listed *entry)
{
    struct ecs_view view;
    ecs_view_read(task, "", &view);
    *entry = (struct backend_listed){
        .ended = ecs_view_ends(&view),
        .started_at_s = json_number_at(task, "startedAt"),
        .vcpus = ecs_number_in_text(task, "cpu") / CPU_UNITS,
        .memory_gib = ecs_number_in_text(task, "memory") / MIB_PER_GIB,
        .spot = strcmp(json_text_or_empty(task, "capacityProviderName"), "FARGATE_SPOT") == 0,
        .elsewhere = ecs_is_elsewhere(task),
    };
    (void)snprintf(entry->id, sizeof(entry->id), "%s", json_text_or_empty(task, "taskArn"));
    (void)snprintf(entry->job, sizeof(entry->job), "%s",
                   json_text_or_empty(task, "startedBy") + strlen(listing->prefix));
    (void)snprintf(entry->state, sizeof(entry->state), "%s",
                   json_text_or_empty(task, "lastStatus"));
    if (entry->vcpus > 0 && entry->memory_gib > 0) {
        (void)snprintf(entry->size, sizeof(entry->size), "%g vCPU, %g GiB", entry->vcpus,
                       entry->memory_gib);
    }
    read_url(task, entry);
}

static int make_room(struct ecs_listing *listing, struct error *err)
{
    if (listing->count < listing->room) {
        return 0;
    }
    size_t room = listing->room == 0 ? ECS_DESCRIBE_CEILING : listing->room * 2;
    struct entry *entries = reallocarray(listing->entries, room, sizeof(*entries));
    if (entries == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
    }
    listing->entries = entries;
    listing->room = room;
    return 0;
}

static int keep_ours(struct ecs_listing *listing, const cJSON *tasks, struct error *err)
{
    const cJSON *task;
    cJSON_ArrayForEach(task, tasks)
    {
        if (strncmp(json_text_or_empty(task, "startedBy"), listing->prefix,
                    strlen(listing->prefix)) != 0) {
            continue;
        }
        if (make_room(listing, err) < 0) {
            return -1;
        }
        struct entry *entry = &listing->entries[listing->count++];
        entry->created_s = json_number_at(task, "createdAt");
        read_entry(listing, task, &entry->listed);
    }
    return 0;
}

/* 'arns' is taken over. */
static int describe_page(struct ecs_listing *listing, cJSON *arns, int64_t deadline_ms,
                         struct error *err)
{
    struct aws_failure failure;
    const char *const tags = "TAGS";
    cJSON *answer = NULL;
    cJSON *request = cJSON_CreateObject();
    cJSON *include = cJSON_CreateStringArray(&tags, 1);
    if (request == NULL || include == NULL || !cJSON_AddItemToObject(request, "tasks", arns) ||
        !cJSON_AddItemToObject(request, "include", include) ||
        cJSON_AddStringToObject(request, "cluster", listing->config->fargate.cluster) == NULL) {
        cJSON_Delete(request);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
    }
    int result =
        ecs_pace_wait(NULL, ecs_pace_reserve(listing->config, "look"), deadline_ms, err) < 0
            ? -1
            : aws_ecs(listing->client, "DescribeTasks", request, deadline_ms, &answer, &failure,
                      err);
    cJSON_Delete(request);
    if (result == 0) {
        result = keep_ours(listing, cJSON_GetObjectItemCaseSensitive(answer, "tasks"), err);
        cJSON_Delete(answer);
    }
    return result;
}

/* ListTasks filters by the whole startedBy, which contains the job: so all tasks are listed. */
static cJSON *page_request(const struct ecs_listing *listing, const char *next)
{
    cJSON *request = cJSON_CreateObject();
    if (request == NULL ||
        cJSON_AddStringToObject(request, "cluster", listing->config->fargate.cluster) == NULL ||
        (next != NULL && cJSON_AddStringToObject(request, "nextToken", next) == NULL)) {
        cJSON_Delete(request);
        return NULL;
    }
    return request;
}

/* One page and its tasks; '*next' is replaced by the next page's token, NULL at the end. */
static int read_page(struct ecs_listing *listing, char **next, int64_t deadline_ms,
                     struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    cJSON *request = page_request(listing, *next);
    if (request == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
    }
    int result =
        aws_ecs(listing->client, "ListTasks", request, deadline_ms, &answer, &failure, err);
    cJSON_Delete(request);
    free(*next);
    *next = NULL;
    if (result < 0) {
        return -1;
    }
    const char *token = json_text_or_empty(answer, "nextToken");
    cJSON *arns = cJSON_DetachItemFromObjectCaseSensitive(answer, "taskArns");
    if (token[0] != '\0' && (*next = strdup(token)) == NULL) {
        result = error_set(err, ERROR_SYSTEM, errno, "cannot list the tasks");
    }
    cJSON_Delete(answer);
    if (result < 0 || cJSON_GetArraySize(arns) == 0) {
        cJSON_Delete(arns);
        return result;
    }
    return describe_page(listing, arns, deadline_ms, err);
}

static int collect(struct ecs_listing *listing, int64_t deadline_ms, struct error *err)
{
    char *next = NULL;
    int result = 0;
    for (int page = 0; result == 0 && (page == 0 || next != NULL); page++) {
        result = page < PAGE_CEILING
                     ? read_page(listing, &next, deadline_ms, err)
                     : error_set(err, ERROR_LIMIT, 0, "more than %d pages of tasks", PAGE_CEILING);
    }
    free(next);
    return result;
}

static int by_age(const void *a, const void *b)
{
    int64_t one = ((const struct entry *)a)->created_s;
    int64_t other = ((const struct entry *)b)->created_s;
    return one < other ? -1 : one > other ? 1 : 0;
}

/* The oldest first. */
static int visit_each(struct ecs_listing *listing, backend_visit *visit, void *context,
                      struct error *err)
{
    if (listing->count > 0) {
        qsort(listing->entries, listing->count, sizeof(*listing->entries), by_age);
    }
    for (size_t i = 0; i < listing->count; i++) {
        if (visit(context, &listing->entries[i].listed, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int ecs_list(const struct config *config, backend_visit *visit, void *context, int64_t deadline_ms,
             struct error *err)
{
    char owner[RUNNER_ID_BYTES];
    struct ecs_listing listing = {.config = config, .client = ecs_client_new(config, NULL, err)};
    if (listing.client == NULL) {
        return -1;
    }
    runner_id_get(config, owner);
    (void)snprintf(listing.prefix, sizeof(listing.prefix), "berth/%s/", owner);
    int result = collect(&listing, deadline_ms, err);
    if (result == 0) {
        result = visit_each(&listing, visit, context, err);
    }
    aws_client_free(listing.client);
    free(listing.entries);
    return result;
}
