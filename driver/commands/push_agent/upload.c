/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/commands/push_agent/push_agent.h"

#define CALL_MS          (2 * 60 * 1000)  /* of one call with its attempts */
#define BLOB_MS          (30 * 60 * 1000) /* of all attempts of one layer */
#define ATTEMPTS         8                /* while the network or a server fails */
#define CONTENT_ATTEMPTS 3                /* while the bytes or the upload are wrong */
#define PAUSE_FIRST_MS   500
#define PAUSE_CEILING_MS (10 * 1000)
#define MIB              (1024.0 * 1024)

/* One attempt. -1 with *out_ceiling: how many make sense after this failure; 0: no other. */
static int attempt(const struct ecr_repository *repository, const char *digest,
                   const struct push_source *source, int64_t deadline_ms, int *out_ceiling,
                   struct error *err)
{
    struct ecr_upload upload;
    bool source_failed = false;
    int result = ecr_upload_begin(repository, clock_deadline_ms(CALL_MS), &upload, err);
    if (result == 0) {
        result = source->read(source->context, &upload, deadline_ms, &source_failed, err);
    }
    if (result == 0) {
        result = ecr_upload_finish(&upload, digest, clock_deadline_ms(CALL_MS), err);
    }
    bool content = err->kind == ERROR_PEER || upload.was_rejected;
    bool again = source_failed || upload.may_retry;
    *out_ceiling = !again || err->errnum == EINTR ? 0 : content ? CONTENT_ATTEMPTS : ATTEMPTS;
    ecr_upload_done(&upload);
    return result;
}

int push_blob(const struct ecr_repository *repository, struct signals *signals, const char *digest,
              int64_t size, const char *label, const struct push_source *source, struct error *err)
{
    bool has = false;
    int ceiling = 0;
    int64_t deadline_ms = clock_deadline_ms(BLOB_MS);
    int64_t pause_ms = PAUSE_FIRST_MS;
    if (ecr_repository_has(repository, digest, clock_deadline_ms(CALL_MS), &has, err) < 0) {
        return -1;
    }
    if (has) {
        log_info("%s: is in the repository", label);
        return 0;
    }
    log_info("%s: uploading %.1f MiB", label, (double)size / MIB);
    for (int tries = 1;; tries++) {
        if (attempt(repository, digest, source, deadline_ms, &ceiling, err) == 0) {
            return 0;
        }
        if (tries >= ceiling || clock_now_ms() + pause_ms >= deadline_ms) {
            return error_wrap(err, "%s", label);
        }
        log_warn("%s: %s, starting it again", label, err->message);
        if (signals_wait(signals, -1, clock_deadline_ms(pause_ms)) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        pause_ms = clock_earlier_ms(2 * pause_ms, PAUSE_CEILING_MS);
    }
}

static int read_bytes(void *context, struct ecr_upload *upload, int64_t deadline_ms,
                      bool *out_retry, struct error *err)
{
    const struct buffer *bytes = context;
    *out_retry = false;
    return ecr_upload_write(upload, bytes->bytes, bytes->length, deadline_ms, err);
}

int push_bytes(const struct ecr_repository *repository, struct signals *signals, const char *digest,
               const struct buffer *bytes, const char *label, struct error *err)
{
    struct buffer view = *bytes;
    struct push_source source = {.read = read_bytes, .context = &view};
    return push_blob(repository, signals, digest, (int64_t)bytes->length, label, &source, err);
}

int push_manifest(const struct ecr_repository *repository, const struct buffer *manifest,
                  const char *type, const char *digest, const char *tag, struct error *err)
{
    int result = ecr_repository_put(repository, manifest->bytes, type, digest, tag,
                                    clock_deadline_ms(CALL_MS), err);
    return result < 0 ? -1 : 0;
}
