/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "driver/base/program.h"
#include "driver/commands/command.h"
#include "driver/warm/backoff.h"
#include "driver/warm/warm.h"

#define WATCH_MS        10000
#define WATCH_FAILED_MS (POOL_FAILURE_FIRST_S * 1000) /* launches have pauses of their own */

static size_t count_of(const struct pool *pool, const char *wish, enum pool_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < pool->count; i++) {
        count += pool->records[i].state == state && strcmp(pool->records[i].warm.wish, wish) == 0
                     ? 1
                     : 0;
    }
    return count;
}

/* Prints why the launches of an entry fail. */
static void print_failure(const struct warm_backoff *backoff, const struct config_warm *entry,
                          const char *wish)
{
    char text[POOL_FAILURE_TEXT_BYTES];
    const struct pool_failure *failure = warm_backoff_find(backoff, wish);
    if (failure != NULL) {
        pool_failure_text(failure, backoff->now_s, text);
        escape_print(stdout, "%s: %s\n", warm_name(entry), text);
    }
}

/* A line for each entry. */
static int print_pool(const struct command_context *context, const struct backend *backend,
                      struct error *err)
{
    const struct config *config = context->config;
    char(*wishes)[METADATA_WISH_BYTES] = NULL;
    struct pool pool;
    struct warm_backoff backoff = {.now_s = 0};
    char owner[METADATA_WISH_BYTES];
    if (warm_wishes(config, backend, &wishes, err) < 0) {
        return -1;
    }
    warm_owner(config, backend, owner);
    int result = pool_read(config->metadata_directory, &pool, err);
    if (result == 0) {
        result = warm_backoff_open(&backoff, config, owner, clock_unix_s(), err);
    }
    for (size_t i = 0; result == 0 && i < config->warm_count; i++) {
        const struct config_warm *entry = &config->warm[i];
        int64_t wanted = schedule_wanted(&entry->schedule, clock_unix_s(), entry->tasks);
        escape_print(stdout, "%s: %zu ready, %zu launching, %lld wanted\n", warm_name(entry),
                     count_of(&pool, wishes[i], POOL_READY),
                     count_of(&pool, wishes[i], POOL_LAUNCHING), (long long)wanted);
        print_failure(&backoff, entry, wishes[i]);
    }
    warm_backoff_done(&backoff);
    pool_done(&pool);
    free(wishes);
    (void)fflush(stdout);
    return result;
}

static int fill_once(const struct command_context *context, const struct backend *backend,
                     struct error *err)
{
    struct warm_fill fill = {
        .config = context->config,
        .backend = backend,
        .signals = context->signals,
        .drain = context->options->drain,
        .skip_if_due = context->options->if_due,
    };
    if (warm_fill(&fill, err) < 0) {
        return -1;
    }
    if (fill.launched + fill.stopped > 0) {
        log_info("warm tasks: %zu launches, %zu stopped, %zu failures", fill.launched, fill.stopped,
                 fill.failed);
    }
    return fill.failed == 0
               ? 0
               : error_set(err, ERROR_SYSTEM, 0, "%zu warm tasks could not be launched or stopped",
                           fill.failed);
}

static void watch(const struct command_context *context, const struct backend *backend)
{
    for (;;) {
        struct error own;
        int result = fill_once(context, backend, &own);
        if (signals_pending(context->signals)) {
            return;
        }
        if (result < 0) {
            char text[ERROR_TEXT_BYTES];
            log_error("%s; looking at the pool again in %d s", error_text(&own, text),
                      WATCH_FAILED_MS / 1000);
        }
        if (signals_wait(context->signals, -1,
                         clock_deadline_ms(result < 0 ? WATCH_FAILED_MS : WATCH_MS)) < 0) {
            return;
        }
    }
}

static int check(const struct command_context *context, const struct backend *backend,
                 struct error *err)
{
    if (context->config->warm_count == 0 && !context->options->drain) {
        (void)error_set(err, ERROR_USAGE, 0, "the configuration has no [[Warm]]");
        return error_hint(err, "see '%s help config'", program_name());
    }
    return backend->check(context->config, err);
}

int command_warm(struct command_context *context, struct result *out_result, struct error *err)
{
    const struct backend *backend = backend_choose(context->config, err);
    if (backend == NULL || check(context, backend, err) < 0) {
        return -1;
    }
    warm_forget_job();
    for (size_t i = 0; i < context->config->warm_count; i++) {
        if (schedule_load(&context->config->warm[i].schedule, NULL, err) < 0) {
            return error_wrap(err, "%s:%u: [[Warm]]", context->config->path,
                              context->config->warm[i].line);
        }
    }
    if (context->options->watch) {
        watch(context, backend);
    } else if (fill_once(context, backend, err) < 0 || print_pool(context, backend, err) < 0) {
        return -1;
    }
    *out_result = (struct result){.kind = RESULT_SUCCESS};
    return 0;
}
