/* SPDX-License-Identifier: MIT */
#include "driver/task/task_summary.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "driver/record/metadata_directory.h"
#include "driver/record/pool.h"
#include "driver/record/runner_id.h"

static int64_t age_s(const struct backend_listed *listed, int64_t now_s)
{
    int64_t age = now_s - listed->started_at_s;
    return age < 0 ? 0 : age;
}

void task_summary_age(const struct backend_listed *listed, int64_t now_s, char *out, size_t room)
{
    long long age = (long long)age_s(listed, now_s);
    if (listed->started_at_s == 0) {
        (void)snprintf(out, room, "-");
    } else if (age < 60) {
        (void)snprintf(out, room, "%llds", age);
    } else if (age < 3600) {
        (void)snprintf(out, room, "%lldm", age / 60);
    } else if (age < 86400) {
        (void)snprintf(out, room, "%lldh%02lldm", age / 3600, age / 60 % 60);
    } else {
        (void)snprintf(out, room, "%lldd%02lldh", age / 86400, age / 3600 % 24);
    }
}

void task_summary_cost(const struct backend_listed *listed, const struct config_price *price,
                       int64_t now_s, char *out, size_t room)
{
    double hour = listed->vcpus * price->vcpu_hour + listed->memory_gib * price->gib_hour;
    if (!(hour > 0) || listed->started_at_s == 0 || listed->elsewhere) {
        (void)snprintf(out, room, "-");
        return;
    }
    double hours = (double)age_s(listed, now_s) / 3600;
    (void)snprintf(out, room, "%.4f", hour * hours * (listed->spot ? price->spot_factor : 1));
}

/* Returns what pool_find_task() does. */
static int find_record(struct backend_listed *listed, const struct config *config)
{
    char key[METADATA_JOB_BYTES];
    struct error err;
    int found = pool_find_task(config->metadata_directory, listed->job, key, &err);
    if (found == 1) {
        memcpy(listed->job, key, sizeof(listed->job));
    } else if (found < 0) {
        log_debug("%s", err.message);
    }
    return found;
}

void task_summary_find_record(struct backend_listed *listed, const struct config *config)
{
    if (pool_has_key(listed->job)) {
        (void)find_record(listed, config);
    }
}

/* Unreadable metadata counts as the pool's. Returns 0 if the record is not there any more. */
static int pool_knows(const char *directory, const char *key, int64_t now_s, bool *out_known)
{
    struct pool_record record;
    struct error unusable;
    int found = pool_read_one(directory, key, &record, &unusable);
    *out_known = found < 0 || (found == 1 && pool_is_known(&record, now_s));
    return found;
}

bool task_summary_is_known(const struct backend_listed *listed, const struct config *config,
                           int64_t now_s)
{
    const char *directory = config->metadata_directory;
    char machine[RUNNER_ID_BYTES];
    struct metadata *metadata = NULL;
    struct error unusable;
    if (listed->job[0] == '\0') {
        return true;
    }
    struct backend_listed claimed = *listed;
    bool known = false;
    if (pool_has_key(listed->job)) {
        if (pool_knows(directory, listed->job, now_s, &known) != 0) {
            return known;
        }
        int found = find_record(&claimed, config); /* a job may have claimed it just now */
        if (found < 0 || pool_has_key(claimed.job)) {
            return found < 0;
        }
        listed = &claimed;
    }
    int found = metadata_load(directory, listed->job, &metadata, &unusable);
    if (found == 0) {
        return strncmp(listed->job, "exec-", 5) == 0 &&
               (listed->started_at_s == 0 || age_s(listed, now_s) < TASK_SUMMARY_EXEC_AGE_S);
    }
    bool held = metadata_directory_held(directory, listed->job);
    bool ends = metadata_noted_end(directory, listed->job);
    runner_id_get(config, machine);
    bool orphan =
        found == 1 && origin_is_orphan(&metadata->origin,
                                       origin_is_gone(&metadata->origin, machine), held, now_s);
    metadata_free(metadata);
    return !orphan && (held || !ends);
}
