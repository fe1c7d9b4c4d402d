/* SPDX-License-Identifier: MIT */
/* The driver's side of "berth-job": frames from a task that is not trusted. Beyond "no crash", an
 * independent model of the same bytes checks: every byte that was in its place is written, once and
 * in order, on its own stream, counted, and due to be acknowledged; a frame that is out of place
 * fails and nothing after it counts; an exit report is believed only when all output has come, and
 * the first one stays. How the bytes are cut into pieces changes nothing, nor do outputs that take
 * only a part of what they are offered. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/remote/frame_reader.h"
#include "tests/fuzz/fuzz.h"

/* What came of the bytes, by the driver or by the model. */
struct summary {
    bool failed, attached;
    enum job_progress progress;
    uint64_t written[JOBWIRE_STREAMS];
    size_t length[JOBWIRE_STREAMS];
    char *text[JOBWIRE_STREAMS];
    int status;
    bool stopping;
    size_t room;
};

/* An input of 'size' bytes cannot hold more output. */
static void summary_open(struct summary *summary, size_t size)
{
    *summary = (struct summary){.room = size};
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        summary->text[stream] = malloc(size + 1);
        fuzz_require(summary->text[stream] != NULL);
    }
}

static void summary_done(struct summary *summary)
{
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        free(summary->text[stream]);
    }
}

/* --- the model --- */

static uint64_t number_at(const uint8_t *at, unsigned width)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < width; i++) {
        number = number << 8 | at[i];
    }
    return number;
}

static bool same_offsets(const struct summary *summary, const uint8_t *at)
{
    return number_at(at, 8) == summary->written[0] && number_at(at + 8, 8) == summary->written[1];
}

/* One whole frame but OUTPUT. Returns false for one that is malformed or out of place. */
static bool model_frame(struct summary *summary, unsigned type, const uint8_t *payload, size_t size)
{
    switch (type) {
    case JOBWIRE_STARTED:
    case JOBWIRE_ATTACHED:
        if (size != 16 || summary->attached || !same_offsets(summary, payload)) {
            return false;
        }
        summary->attached = true;
        summary->progress = JOB_STARTED;
        return true;
    case JOBWIRE_EXIT:
        if (size < 60 || size > 60 + 16 || !summary->attached ||
            !same_offsets(summary, payload + 44)) {
            return false;
        }
        summary->progress = JOB_EXITED;
        summary->status = (int)(uint32_t)number_at(payload, 4);
        return true;
    case JOBWIRE_NOTICE:
        if (size < 1 || size > 1 + JOBWIRE_TEXT_BYTES) {
            return false;
        }
        summary->stopping = summary->stopping || payload[0] == JOBWIRE_NOTICE_SHUTDOWN;
        return true;
    default:
        return false; /* refusals too end it */
    }
}

/* An OUTPUT frame of which 'have' of 'size' bytes have come; its bytes count as they come. */
static bool model_output(struct summary *summary, const uint8_t *payload, size_t have, size_t size)
{
    uint64_t offset = number_at(payload + 1, 8);
    unsigned stream = payload[0];
    if (have == 9 && have < size && stream < JOBWIRE_STREAMS) {
        return true; /* no byte yet that could be out of place */
    }
    if (stream >= JOBWIRE_STREAMS || !summary->attached || offset != summary->written[stream]) {
        return false;
    }
    size_t length = have - 9;
    fuzz_require(summary->length[stream] + length <= summary->room);
    memcpy(summary->text[stream] + summary->length[stream], payload + 9, length);
    summary->length[stream] += length;
    summary->written[stream] += length;
    return true;
}

static bool is_output_whole_enough(unsigned type, size_t have)
{
    return type == JOBWIRE_OUTPUT && have >= 9;
}

/* Whether the header alone is refused: an unknown type, a length that it cannot have.
 * Those of the other direction are known to the decoder, and out of place. */
static bool is_header_bad(unsigned type, size_t size)
{
    static const struct {
        unsigned type;
        size_t least, most;
    } rows[] = {
        {JOBWIRE_START, 32, 32 + JOBWIRE_COMMAND_BYTES},
        {JOBWIRE_INPUT, 0, JOBWIRE_INPUT_BYTES},
        {JOBWIRE_INPUT_END, 8, 8},
        {JOBWIRE_ATTACH, 48, 48},
        {JOBWIRE_ACK, 16, 16},
        {JOBWIRE_SIGNAL, 0, 16},
        {JOBWIRE_RELEASE, 0, 0},
        {JOBWIRE_RUN, 32, 32 + JOBWIRE_COMMAND_BYTES},
        {JOBWIRE_STARTED, 16, 16},
        {JOBWIRE_ATTACHED, 16, 16},
        {JOBWIRE_OUTPUT, 9, 9 + JOBWIRE_OUTPUT_BYTES},
        {JOBWIRE_EXIT, 60, 76},
        {JOBWIRE_NOTICE, 1, 1 + JOBWIRE_TEXT_BYTES},
        {JOBWIRE_REFUSED, 4, 4 + JOBWIRE_TEXT_BYTES},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].type == type) {
            return size < rows[i].least || size > rows[i].most;
        }
    }
    return true;
}

static struct summary model(const uint8_t *bytes, size_t size)
{
    struct summary summary;
    summary_open(&summary, size);
    size_t at = 0;
    while (!summary.failed && summary.progress != JOB_EXITED && size - at >= 5) {
        unsigned type = bytes[at];
        size_t length = (size_t)number_at(bytes + at + 1, 4);
        size_t have = size - at - 5 < length ? size - at - 5 : length;
        const uint8_t *payload = bytes + at + 5;
        if (is_header_bad(type, length)) {
            summary.failed = true;
        } else if (is_output_whole_enough(type, have)) {
            summary.failed = !model_output(&summary, payload, have, length);
        } else if (have < length) {
            break;
        } else {
            summary.failed = !model_frame(&summary, type, payload, length);
        }
        at += 5 + have;
    }
    return summary;
}

/* --- the driver --- */

/* What a pipe of ours holds now, behind what was read before. */
static void drain(int fd, struct summary *summary, int stream)
{
    ssize_t got;
    while ((got = recv(fd, summary->text[stream] + summary->length[stream],
                       summary->room + 1 - summary->length[stream], MSG_DONTWAIT)) > 0) {
        summary->length[stream] += (size_t)got;
    }
}

/* Offers what was not taken again, as channel_loop.c does, until everything is taken. */
static void offer(struct frame_reader *reader, const int fds[], struct summary *summary,
                  const char *bytes, size_t length)
{
    for (;;) {
        int blocked = -1;
        size_t taken = frame_reader_take(reader, bytes, length, &blocked);
        fuzz_require(taken <= length);
        for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
            drain(fds[stream], summary, stream);
        }
        if (taken == length) {
            return;
        }
        fuzz_require(blocked == JOBWIRE_STDOUT || blocked == JOBWIRE_STDERR);
        bytes += taken;
        length -= taken;
    }
}

static struct summary obey(const uint8_t *bytes, size_t size, size_t step)
{
    struct ssh_request request = {0};
    struct job_state job;
    struct error err = {0};
    struct frame_reader reader = {.job = &job, .peer = "here", .failure = &err};
    struct summary summary;
    int readers[JOBWIRE_STREAMS];
    int writers[JOBWIRE_STREAMS];
    summary_open(&summary, size);
    job_state_init(&job, &request);
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        int pair[2];
        int small = 1; /* the kernel's least: some outputs are taken in part */
        fuzz_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        (void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        readers[stream] = pair[0];
        writers[stream] = pair[1];
        output_done(&job.outputs[stream]);
        output_open(&job.outputs[stream], pair[1]);
    }
    frame_reader_init(&reader);
    for (size_t at = 0; at < size; at += step) {
        size_t length = size - at < step ? size - at : step;
        offer(&reader, readers, &summary, (const char *)bytes + at, length);
        bool whole = job.written[0] + job.written[1] == summary.length[0] + summary.length[1];
        fuzz_require(whole); /* at any moment: what counts as written was written */
    }
    fuzz_require(reader.unacked_bytes == job.written[0] + job.written[1]);
    summary.failed = err.kind != ERROR_NONE;
    summary.attached = job.attached;
    summary.progress = job.progress;
    memcpy(summary.written, job.written, sizeof(summary.written));
    summary.status = job.outcome.status;
    summary.stopping = job.outcome.task_stopping;
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        (void)close(readers[stream]);
        (void)close(writers[stream]);
    }
    frame_reader_done(&reader);
    job_state_done(&job);
    return summary;
}

static void require_same(const struct summary *one, const struct summary *other)
{
    fuzz_require(one->failed == other->failed && one->attached == other->attached);
    fuzz_require(one->progress == other->progress && one->status == other->status);
    fuzz_require(one->stopping == other->stopping);
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        fuzz_require(one->written[stream] == other->written[stream]);
        fuzz_require(one->length[stream] == other->length[stream]);
        fuzz_require(memcmp(one->text[stream], other->text[stream], one->length[stream]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    size_t step = size == 0 ? 1 : bytes[size - 1] % 7 + 1U;
    struct summary wanted = model(bytes, size);
    struct summary whole = obey(bytes, size, size + 1);
    struct summary pieces = obey(bytes, size, step);
    require_same(&wanted, &whole);
    require_same(&wanted, &pieces);
    summary_done(&wanted);
    summary_done(&whole);
    summary_done(&pieces);
    return 0;
}
