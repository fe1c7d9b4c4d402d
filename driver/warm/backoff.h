/* SPDX-License-Identifier: MIT */
/*
 * backoff.h - pauses between launches of warm tasks that fail, by the records of pool_failure.h.
 *
 * The pauses of an entry end with a launch that succeeds, when the configuration file changes, and
 * with 'warm --drain'. While launches fail, only one is tried at a time.
 */
#ifndef BERTH_DRIVER_WARM_BACKOFF_H
#define BERTH_DRIVER_WARM_BACKOFF_H

#include "driver/config/config.h"
#include "driver/record/pool_failure.h"

struct warm_backoff {
    const char *directory;
    const char *owner; /* warm_owner(); the caller's */
    char config[64];
    int64_t now_s;
    struct pool_failures failures;
};

/* Reads the records. The caller ends the struct with warm_backoff_done(), also after a failure. */
int warm_backoff_open(struct warm_backoff *backoff, const struct config *config, const char *owner,
                      int64_t now_s, struct error *err) __attribute__((warn_unused_result));
void warm_backoff_done(struct warm_backoff *backoff);

/* Removes records of this owner that are for none of the wishes, and those that have ended. */
void warm_backoff_prune(struct warm_backoff *backoff, char (*wishes)[METADATA_WISH_BYTES],
                        size_t count);

/* NULL: the last launch for this wish did not fail. */
const struct pool_failure *warm_backoff_find(const struct warm_backoff *backoff, const char *wish);

/* The result of a launch. A failure is logged with the pause that follows. */
void warm_backoff_failed(const struct warm_backoff *backoff, const char *wish, const char *name,
                         const struct error *err);
void warm_backoff_succeeded(const struct warm_backoff *backoff, const char *wish);

#endif
