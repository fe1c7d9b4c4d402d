/* SPDX-License-Identifier: MIT */
#include "driver/record/pool.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define ID_BYTES 8
/* A directory may show neither the old nor the new name of a file that is renamed while it is read.
 * A record is renamed at most twice. */
#define FIND_ROUNDS 3

static bool begins(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

void pool_new_key(char out[METADATA_JOB_BYTES])
{
    unsigned char random[ID_BYTES];
    char hex[2 * ID_BYTES + 1];
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    (void)snprintf(out, METADATA_JOB_BYTES, METADATA_WARM_PREFIX "%s", hex);
}

bool pool_is_spent(const char *key)
{
    return begins(key, POOL_SPENT_PREFIX);
}

bool pool_has_key(const char *key)
{
    return begins(key, METADATA_WARM_PREFIX) || pool_is_spent(key);
}

int pool_read_one(const char *directory, const char *key, struct pool_record *out_record,
                  struct error *err)
{
    struct metadata *metadata = NULL;
    /* First: the last thing that a process does before it ends may be to write the record. */
    bool held = metadata_directory_held(directory, key);
    int found = metadata_load(directory, key, &metadata, err);
    if (found <= 0) {
        return found;
    }
    *out_record = (struct pool_record){
        .warm = metadata->warm,
        .started_at_s = metadata->origin.started_at_s,
    };
    (void)snprintf(out_record->key, sizeof(out_record->key), "%s", key);
    (void)snprintf(out_record->task, sizeof(out_record->task), "%s", metadata->job);
    (void)snprintf(out_record->backend, sizeof(out_record->backend), "%s", metadata->backend);
    if (pool_is_spent(key)) {
        out_record->state = held ? POOL_STOPPING : POOL_SPENT;
    } else if (metadata->warm.ready_at_s > 0) {
        out_record->state = POOL_READY;
    } else {
        out_record->state = held ? POOL_LAUNCHING : POOL_LEFT;
    }
    metadata_free(metadata);
    return 1;
}

struct reading {
    const char *directory;
    struct pool *pool;
};

static int read_record(void *context, const char *key, struct error *err)
{
    struct reading *reading = context;
    struct pool *pool = reading->pool;
    struct error unusable;
    if (!pool_has_key(key)) {
        return 0;
    }
    struct pool_record *records = reallocarray(pool->records, pool->count + 1, sizeof(*records));
    if (records == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the pool");
    }
    pool->records = records;
    int found = pool_read_one(reading->directory, key, &records[pool->count], &unusable);
    if (found < 0) {
        char text[ERROR_TEXT_BYTES];
        log_warn("%s", error_text(&unusable, text));
    }
    pool->count += found == 1 ? 1 : 0;
    return 0;
}

int pool_read(const char *directory, struct pool *out_pool, struct error *err)
{
    struct reading reading = {.directory = directory, .pool = out_pool};
    *out_pool = (struct pool){.count = 0};
    return metadata_directory_each(directory, read_record, &reading, err);
}

void pool_done(struct pool *pool)
{
    free(pool->records);
    *pool = (struct pool){.count = 0};
}

int pool_retire(const char *directory, const char *key, const char *task,
                char out_key[METADATA_JOB_BYTES], struct error *err)
{
    char spent[METADATA_JOB_BYTES];
    const char *id =
        begins(task, METADATA_WARM_PREFIX) ? task + strlen(METADATA_WARM_PREFIX) : task;
    (void)snprintf(spent, sizeof(spent), POOL_SPENT_PREFIX "%.50s", id);
    int renamed = metadata_rename(directory, key, spent, err);
    if (renamed == 1) {
        memcpy(out_key, spent, sizeof(spent));
    }
    return renamed;
}

struct finding {
    const char *directory, *task;
    char key[METADATA_JOB_BYTES];
    bool any_unusable;
    struct error unusable;
};

static int match_record(void *context, const char *key, struct error *err)
{
    struct finding *finding = context;
    struct metadata *metadata = NULL;
    (void)err;
    int found = metadata_load(finding->directory, key, &metadata, &finding->unusable);
    finding->any_unusable = finding->any_unusable || found < 0;
    if (found == 1 && strcmp(metadata->job, finding->task) == 0) {
        (void)snprintf(finding->key, sizeof(finding->key), "%s", key);
    }
    metadata_free(metadata);
    return 0;
}

int pool_find_task(const char *directory, const char *task, char out_key[METADATA_JOB_BYTES],
                   struct error *err)
{
    struct finding finding = {.directory = directory, .task = task};
    for (int round = 0; round < FIND_ROUNDS && finding.key[0] == '\0'; round++) {
        if (metadata_directory_each(directory, match_record, &finding, err) < 0) {
            return -1;
        }
    }
    if (finding.key[0] == '\0' && finding.any_unusable) {
        if (err != NULL) {
            *err = finding.unusable;
        }
        return -1;
    }
    if (finding.key[0] == '\0') {
        return 0;
    }
    memcpy(out_key, finding.key, sizeof(finding.key));
    return 1;
}

bool pool_is_known(const struct pool_record *record, int64_t now_s)
{
    switch (record->state) {
    case POOL_LAUNCHING:
    case POOL_STOPPING:
        return true;
    case POOL_READY:
        return now_s - record->warm.ready_at_s < record->warm.max_age_s + POOL_AGE_SPARE_S;
    case POOL_SPENT:
    case POOL_LEFT:
        return false;
    }
    return false;
}
