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

/* A layer or configuration on its way to the repository. */
struct blob {
    const struct ecr_repository *repository;
    struct signals *signals;
    const char *digest, *label;
    int64_t size, deadline_ms;
    const struct push_source *source;
    struct progress progress;
};

/* One attempt. -1 with *out_ceiling: how many make sense after this failure; 0: no other. */
static int attempt(struct blob *blob, int *out_ceiling, struct error *err)
{
    struct ecr_upload upload;
    const struct push_source *source = blob->source;
    bool source_failed = false;
    int result = ecr_upload_begin(blob->repository, clock_deadline_ms(CALL_MS), &upload, err);
    if (result == 0) {
        upload.progress = &blob->progress;
        upload.size = blob->size;
        result = source->read(source->context, &upload, blob->deadline_ms, &source_failed, err);
    }
    if (result == 0) {
        result = ecr_upload_finish(&upload, blob->digest, clock_deadline_ms(CALL_MS), err);
    }
    bool content = err->kind == ERROR_PEER || upload.was_rejected;
    bool again = source_failed || upload.may_retry;
    *out_ceiling = !again || err->errnum == EINTR ? 0 : content ? CONTENT_ATTEMPTS : ATTEMPTS;
    ecr_upload_done(&upload);
    return result;
}

static int upload_blob(struct blob *blob, struct error *err)
{
    int ceiling = 0;
    int64_t pause_ms = PAUSE_FIRST_MS;
    for (int tries = 1;; tries++) {
        if (attempt(blob, &ceiling, err) == 0) {
            return 0;
        }
        if (tries >= ceiling || clock_now_ms() + pause_ms >= blob->deadline_ms) {
            return error_wrap(err, "%s", blob->label);
        }
        log_warn("%s: %s, starting it again", blob->label, err->message);
        if (signals_wait(blob->signals, -1, clock_deadline_ms(pause_ms)) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        pause_ms = clock_earlier_ms(2 * pause_ms, PAUSE_CEILING_MS);
    }
}

int push_blob(const struct ecr_repository *repository, struct signals *signals, const char *digest,
              int64_t size, const char *label, const struct push_source *source, struct error *err)
{
    bool has = false;
    struct blob blob = {.repository = repository,
                        .signals = signals,
                        .digest = digest,
                        .label = label,
                        .size = size,
                        .deadline_ms = clock_deadline_ms(BLOB_MS),
                        .source = source};
    if (ecr_repository_has(repository, digest, clock_deadline_ms(CALL_MS), &has, err) < 0) {
        return -1;
    }
    if (has) {
        log_info("%s: is in the repository", label);
        return 0;
    }
    log_info("%s: uploading %.1f MiB", label, (double)size / MIB);
    progress_begin(&blob.progress, label);
    int result = upload_blob(&blob, err);
    progress_end(&blob.progress);
    return result;
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
