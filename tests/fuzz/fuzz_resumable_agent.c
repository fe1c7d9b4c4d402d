/* SPDX-License-Identifier: MIT */
/* The agent's side of "berth-job": frames of a client. Beyond "no crash": a channel requests at
 * most one job from init, with the client's id and input, and ignores everything after a refusal.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ipc/wire.h"
#include "agent/session/resumable/resumable_channel.h"
#include "common/cleanup.h"
#include "tests/fuzz/fuzz.h"

struct asked {
    int count;
    bool starts;
    uint64_t input_bytes;
};

/* What init received. */
static struct asked receive(int control)
{
    struct asked asked = {0};
    struct wire_message message;
    struct stat stat = {0};
    int fds[WIRE_FDS];
    while (wire_receive(control, &message, fds) == WIRE_MESSAGE) {
        asked.count++;
        asked.starts = message.type == WIRE_RESUMABLE_START;
        fuzz_require(asked.starts || message.type == WIRE_RESUMABLE_ATTACH);
        fuzz_require(memchr(message.id, '\0', sizeof(message.id)) != NULL);
        if (asked.starts) {
            fuzz_require(fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0);
            fuzz_require(fstat(fds[2], &stat) == 0);
            asked.input_bytes = (uint64_t)stat.st_size;
        }
        for (int i = 0; i < WIRE_FDS; i++) {
            if (fds[i] >= 0) {
                (void)close(fds[i]);
            }
        }
    }
    return asked;
}

static void obey(struct channel *channel, const char *bytes, size_t size, size_t step)
{
    for (size_t at = 0; at < size; at += step) {
        resumable_channel_take(channel, bytes + at, size - at < step ? size - at : step);
        if (channel->resumable->state == ENDING) {
            size_t queued = channel->resumable->queued.length;
            resumable_channel_take(channel, bytes + at, size - at);
            fuzz_require(channel->job < 0 && channel->resumable->queued.length == queued);
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct session_setup setup = {.peer = "here", .client = "::1 1 ::1 22"};
    static struct session session; /* large */
    int control[2];
    fuzz_require(wire_pair(control) == 0);
    session = (struct session){.setup = &setup, .control = control[0], .user = "root"};
    struct channel *channel = &session.channels[0];
    *channel = (struct channel){.session = &session, .job = -1};
    channel->resumable = calloc(1, sizeof(*channel->resumable));
    fuzz_require(channel->resumable != NULL);
    channel->resumable->input_fd = -1;
    channel->resumable->view = (struct spool_view){0};
    jobwire_decoder_init(&channel->resumable->decoder);
    buffer_init(&channel->resumable->queued, 4096);
    obey(channel, (const char *)bytes, size, size == 0 ? 1 : bytes[size - 1] % 7 + 1U);
    uint64_t input_bytes = channel->resumable->input_bytes;
    struct asked asked = receive(control[1]);
    fuzz_require(asked.count <= 1 && (!asked.starts || asked.input_bytes == input_bytes));
    cleanup_fd_fn(&channel->job);
    resumable_channel_free(channel);
    (void)close(control[0]);
    (void)close(control[1]);
    return 0;
}
