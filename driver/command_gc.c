/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/command.h"
#include "driver/listed.h"

#define LIST_MS 60000

/* The tasks that nobody knows: collected first, so that stopping does not disturb the listing. */
struct orphans {
    const struct config *config;
    struct backend_listed *entries;
    size_t count;
};

static int collect(void *context, const struct backend_listed *listed, struct error *err)
{
    struct orphans *orphans = context;
    if (listed_known(listed, orphans->config, (int64_t)time(NULL))) {
        return 0;
    }
    struct backend_listed *entries =
        reallocarray(orphans->entries, orphans->count + 1, sizeof(*entries));
    if (entries == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot list the tasks");
    }
    orphans->entries = entries;
    orphans->entries[orphans->count++] = *listed;
    return 0;
}

/* What a cleanup that could not stop the task left for another try: this was it. */
static void forget(const struct config *config, const struct backend_listed *listed)
{
    struct error own;
    if (metadata_noted_end(config->metadata_directory, listed->job) &&
        metadata_remove(config->metadata_directory, listed->job, &own) < 0) {
        log_warn("%s", own.message);
    }
}

/* One that cannot be stopped does not keep the others from being stopped. */
static int stop_each(const struct backend *backend, const struct orphans *orphans,
                     struct error *err)
{
    int result = 0;
    for (size_t i = 0; i < orphans->count; i++) {
        const struct backend_listed *listed = &orphans->entries[i];
        int64_t deadline_ms = clock_deadline_ms(orphans->config->cleanup_timeout_ms);
        if (backend->stop_listed(orphans->config, listed->id,
                                 "berth-driver gc: no job of this runner knows this task",
                                 deadline_ms, err) < 0) {
            log_error("%s", err->message);
            result = -1;
            continue;
        }
        forget(orphans->config, listed);
        (void)printf("stopped %s of %s\n", listed->id, listed->job);
    }
    return result < 0 ? error_set(err, ERROR_SYSTEM, 0, "not every task could be stopped") : 0;
}

static void tell(const struct orphans *orphans)
{
    for (size_t i = 0; i < orphans->count; i++) {
        char age[24];
        listed_age(&orphans->entries[i], (int64_t)time(NULL), age, sizeof(age));
        (void)printf("would stop %s of %s, %s, age %s\n", orphans->entries[i].id,
                     orphans->entries[i].job, orphans->entries[i].state, age);
    }
    if (orphans->count > 0) {
        (void)fprintf(stderr, "nothing was stopped; 'gc --stop' does it\n");
    }
}

int command_gc(struct command_context *context, struct result *out_result, struct error *err)
{
    struct orphans orphans = {.config = context->config};
    if (context->argc != 0) {
        return error_set(err, ERROR_USAGE, 0, "'gc' takes no words; '--stop' stops what it lists");
    }
    const struct backend *backend = backend_choose(context->config, err);
    if (backend == NULL || backend->check(context->config, err) < 0) {
        return -1;
    }
    int result = backend->list == NULL ? 0
                                       : backend->list(context->config, collect, &orphans,
                                                       clock_deadline_ms(LIST_MS), err);
    if (result < 0) {
        (void)error_wrap(err, "cannot list the tasks");
    } else if (orphans.count == 0) {
        (void)fprintf(stderr, "every task on the backend '%s' has its job\n", backend->name);
    } else if (context->stop) {
        result = stop_each(backend, &orphans, err);
    } else {
        tell(&orphans);
    }
    free(orphans.entries);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
