/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "driver/backend/ecs.h"
#include "driver/owner.h"

#define PAGE_CEILING 1000 /* of ListTasks, 100 tasks each */
#define CPU_UNITS    1024.0
#define MIB_PER_GIB  1024.0

/* What is collected before it is sorted. */
struct listing {
    struct aws_client *client;
    const struct config *config;
    char prefix[64]; /* of startedBy */
    struct backend_listed *entries;
    int64_t *created_s;
    size_t count, room;
};

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static int64_t time_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

static double number_in_text(const cJSON *object, const char *name)
{
    int64_t number = 0;
    return parse_integer(text_of(object, name), 0, INT64_MAX, &number) == 0 ? (double)number : 0;
}

/* The job's address in GitLab, when one of the task's tags holds it. */
static void read_url(const cJSON *task, struct backend_listed *entry)
{
    const cJSON *tag;
    cJSON_ArrayForEach(tag, cJSON_GetObjectItemCaseSensitive(task, "tags"))
    {
        const char *value = text_of(tag, "value");
        if (strncmp(value, "http", 4) == 0 && strstr(value, "/-/jobs/") != NULL) {
            (void)snprintf(entry->url, sizeof(entry->url), "%s", value);
        }
    }
}

static void read_entry(const struct listing *listing, const cJSON *task,
                       struct backend_listed *entry)
{
    *entry = (struct backend_listed){
        .started_at_s = time_of(task, "startedAt"),
        .vcpus = number_in_text(task, "cpu") / CPU_UNITS,
        .memory_gib = number_in_text(task, "memory") / MIB_PER_GIB,
        .spot = strcmp(text_of(task, "capacityProviderName"), "FARGATE_SPOT") == 0,
    };
    (void)snprintf(entry->id, sizeof(entry->id), "%s", text_of(task, "taskArn"));
    (void)snprintf(entry->job, sizeof(entry->job), "%s",
                   text_of(task, "startedBy") + strlen(listing->prefix));
    (void)snprintf(entry->state, sizeof(entry->state), "%s", text_of(task, "lastStatus"));
    if (entry->vcpus > 0 && entry->memory_gib > 0) {
        (void)snprintf(entry->size, sizeof(entry->size), "%g vCPU, %g GiB", entry->vcpus,
                       entry->memory_gib);
    }
    read_url(task, entry);
}

static int make_room(struct listing *listing, struct error *err)
{
    if (listing->count < listing->room) {
        return 0;
    }
    size_t room = listing->room == 0 ? ECS_DESCRIBE_CEILING : listing->room * 2;
    struct backend_listed *entries =
        reallocarray(listing->entries, room, sizeof(*listing->entries));
    if (entries != NULL) {
        listing->entries = entries;
    }
    int64_t *created_s = reallocarray(listing->created_s, room, sizeof(*listing->created_s));
    if (created_s != NULL) {
        listing->created_s = created_s;
    }
    if (entries == NULL || created_s == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
    }
    listing->room = room;
    return 0;
}

static int keep_ours(struct listing *listing, const cJSON *tasks, struct error *err)
{
    const cJSON *task;
    cJSON_ArrayForEach(task, tasks)
    {
        if (strncmp(text_of(task, "startedBy"), listing->prefix, strlen(listing->prefix)) != 0) {
            continue;
        }
        if (make_room(listing, err) < 0) {
            return -1;
        }
        read_entry(listing, task, &listing->entries[listing->count]);
        listing->created_s[listing->count++] = time_of(task, "createdAt");
    }
    return 0;
}

/* 'arns' is taken over. */
static int describe_page(struct listing *listing, cJSON *arns, int64_t deadline_ms,
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
        aws_ecs(listing->client, "DescribeTasks", request, deadline_ms, &answer, &failure, err);
    cJSON_Delete(request);
    if (result == 0) {
        result = keep_ours(listing, cJSON_GetObjectItemCaseSensitive(answer, "tasks"), err);
        cJSON_Delete(answer);
    }
    return result;
}

/* ListTasks filters by the whole of startedBy only, which names the job too: so all are listed. */
static cJSON *page_request(const struct listing *listing, const char *next)
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
static int read_page(struct listing *listing, char **next, int64_t deadline_ms, struct error *err)
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
    const char *token = text_of(answer, "nextToken");
    cJSON *arns = cJSON_DetachItemFromObjectCaseSensitive(answer, "taskArns");
    *next = token[0] == '\0' ? NULL : strdup(token);
    cJSON_Delete(answer);
    if (cJSON_GetArraySize(arns) == 0) {
        cJSON_Delete(arns);
        return 0;
    }
    return describe_page(listing, arns, deadline_ms, err);
}

static int collect(struct listing *listing, int64_t deadline_ms, struct error *err)
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

/* By selection, the oldest first: a cluster that cannot take more than some thousand tasks has no
 * list that makes this long. */
static int visit_by_age(struct listing *listing, backend_visit *visit, void *context,
                        struct error *err)
{
    for (size_t done = 0; done < listing->count; done++) {
        size_t oldest = done;
        for (size_t i = done + 1; i < listing->count; i++) {
            oldest = listing->created_s[i] < listing->created_s[oldest] ? i : oldest;
        }
        struct backend_listed entry = listing->entries[oldest];
        listing->entries[oldest] = listing->entries[done];
        listing->created_s[oldest] = listing->created_s[done];
        if (visit(context, &entry, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int ecs_list(const struct config *config, backend_visit *visit, void *context, int64_t deadline_ms,
             struct error *err)
{
    char owner[OWNER_BYTES];
    struct listing listing = {.config = config, .client = aws_client_new(config, NULL, err)};
    if (listing.client == NULL) {
        return -1;
    }
    owner_of(config, owner);
    (void)snprintf(listing.prefix, sizeof(listing.prefix), "berth/%s/", owner);
    int result = collect(&listing, deadline_ms, err);
    if (result == 0) {
        result = visit_by_age(&listing, visit, context, err);
    }
    aws_client_free(listing.client);
    free(listing.entries);
    free(listing.created_s);
    return result;
}
