/* SPDX-License-Identifier: MIT */
#include "driver/warm/backoff.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"

int warm_backoff_open(struct warm_backoff *backoff, const struct config *config, const char *owner,
                      int64_t now_s, struct error *err)
{
    struct stat status;
    *backoff = (struct warm_backoff){
        .directory = config->metadata_directory, .owner = owner, .now_s = now_s};
    if (config->path != NULL && stat(config->path, &status) == 0) {
        (void)snprintf(backoff->config, sizeof(backoff->config), "%lld.%09ld %lld",
                       (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                       (long long)status.st_size);
    }
    return pool_failures_read(backoff->directory, &backoff->failures, err);
}

void warm_backoff_done(struct warm_backoff *backoff)
{
    pool_failures_done(&backoff->failures);
}

static bool is_own(const struct warm_backoff *backoff, const struct pool_failure *failure)
{
    return strcmp(failure->owner, backoff->owner) == 0;
}

static bool is_wanted(const struct pool_failure *failure, char (*wishes)[METADATA_WISH_BYTES],
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(wishes[i], failure->wish) == 0) {
            return true;
        }
    }
    return false;
}

void warm_backoff_prune(struct warm_backoff *backoff, char (*wishes)[METADATA_WISH_BYTES],
                        size_t count)
{
    struct pool_failures *failures = &backoff->failures;
    size_t kept = 0;
    for (size_t i = 0; i < failures->count; i++) {
        const struct pool_failure *failure = &failures->entries[i];
        bool ended = is_own(backoff, failure) && (strcmp(failure->config, backoff->config) != 0 ||
                                                  !is_wanted(failure, wishes, count));
        if (ended || pool_failure_is_old(failure, backoff->now_s)) {
            pool_failure_remove(backoff->directory, failure->wish, failure->owner);
        } else {
            failures->entries[kept++] = *failure;
        }
    }
    failures->count = kept;
}

const struct pool_failure *warm_backoff_find(const struct warm_backoff *backoff, const char *wish)
{
    for (size_t i = 0; i < backoff->failures.count; i++) {
        const struct pool_failure *failure = &backoff->failures.entries[i];
        if (is_own(backoff, failure) && strcmp(failure->wish, wish) == 0) {
            return failure;
        }
    }
    return NULL;
}

void warm_backoff_failed(const struct warm_backoff *backoff, const char *wish, const char *name,
                         const struct error *err)
{
    const struct pool_failure *before = warm_backoff_find(backoff, wish);
    char text[ERROR_TEXT_BYTES];
    struct error own = {0};
    struct pool_failure failure = {
        .count = before == NULL ? 1 : before->count + 1,
        .failed_at_s = clock_unix_s(),
    };
    (void)snprintf(failure.wish, sizeof(failure.wish), "%s", wish);
    (void)snprintf(failure.owner, sizeof(failure.owner), "%s", backoff->owner);
    (void)snprintf(failure.config, sizeof(failure.config), "%s", backoff->config);
    (void)snprintf(failure.name, sizeof(failure.name), "%s", name);
    (void)snprintf(failure.reason, sizeof(failure.reason), "%s", error_text(err, text));
    if (pool_failure_write(backoff->directory, &failure, &own) < 0) {
        log_error("%s", failure.reason);
        log_warn("%s; the launch is repeated without a pause", own.message);
        return;
    }
    log_error("%s; the next launch is due in %lld s", failure.reason,
              (long long)pool_failure_pause_s(failure.count));
}

void warm_backoff_succeeded(const struct warm_backoff *backoff, const char *wish)
{
    if (warm_backoff_find(backoff, wish) != NULL) {
        pool_failure_remove(backoff->directory, wish, backoff->owner);
    }
}
