/* SPDX-License-Identifier: MIT */
/* The driver's side of "berth-job": frames from a task that may be anybody's, obeyed. Beyond "no
 * crash": every byte that was taken is written, counted and acknowledged once, an end is believed
 * only with all output in hand, and how the bytes are cut into pieces changes nothing. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "driver/attachment.h"
#include "driver/attachment_private.h"
#include "driver/ssh_private.h"
#include "tests/fuzz/fuzz.h"

struct summary {
    bool failed, attached;
    enum durable_progress progress;
    uint64_t written[JOBWIRE_STREAMS];
    int status;
};

static struct summary obey(const uint8_t *bytes, size_t size, size_t step)
{
    static int nowhere = -1;
    static struct attachment attachment; /* large */
    struct ssh_request request = {0};
    struct ssh_link link = {.name = "here"};
    struct durable_job job;
    struct error err = {0};
    if (nowhere < 0) {
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    durable_job_init(&job, &request);
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        output_done(&job.outputs[stream]);
        output_open(&job.outputs[stream], nowhere);
    }
    attachment = (struct attachment){.job = &job, .link = &link, .err = &err};
    jobwire_decoder_init(&attachment.decoder);
    attachment.decoder.pieces = true;
    for (size_t at = 0; at < size; at += step) {
        size_t length = size - at < step ? size - at : step;
        fuzz_require(attachment_take(&attachment, (const char *)bytes + at, length) <= length);
    }
    fuzz_require(attachment.failed == (err.message[0] != '\0'));
    fuzz_require(job.progress != DURABLE_EXITED || job.attached);
    fuzz_require(attachment.unacked_bytes <= size);
    struct summary summary = {attachment.failed, job.attached, job.progress, {0}, 0};
    memcpy(summary.written, job.written, sizeof(summary.written));
    summary.status = job.outcome.status;
    jobwire_decoder_done(&attachment.decoder);
    durable_job_done(&job);
    return summary;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    size_t step = size == 0 ? 1 : bytes[size - 1] % 7 + 1U;
    struct summary whole = obey(bytes, size, size + 1);
    struct summary pieces = obey(bytes, size, step);
    fuzz_require(whole.failed == pieces.failed && whole.attached == pieces.attached);
    fuzz_require(whole.progress == pieces.progress && whole.status == pieces.status);
    fuzz_require(memcmp(whole.written, pieces.written, sizeof(whole.written)) == 0);
    return 0;
}
