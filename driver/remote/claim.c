/* SPDX-License-Identifier: MIT */
#include "driver/remote/claim.h"

#include "common/jobwire.h"
#include "driver/remote/channel_loop.h"

static size_t drop(struct channel_loop *loop, enum channel_stream stream, const char *bytes,
                   size_t length)
{
    (void)loop;
    (void)stream;
    (void)bytes;
    return length;
}

static const struct channel_operations operations = {.receive = drop};

int ssh_claim(struct ssh_connection *connection, struct signals *signals, int64_t deadline_ms,
              struct error *err)
{
    struct channel_loop loop = {
        .connection = connection, .operations = &operations, .signals = signals};
    int result = channel_loop_open(&loop, err);
    if (result == 0 &&
        channel_loop_do(&loop, channel_loop_open_session, NULL, deadline_ms, err) != 0) {
        result = -1;
    }
    if (result == 0) {
        result =
            channel_loop_do(&loop, channel_loop_request_subsystem, JOBWIRE_CLAIM, deadline_ms, err);
    }
    channel_loop_close(&loop);
    return result < 0 ? error_wrap(err, "cannot claim the task at %s", connection->name) : 0;
}
