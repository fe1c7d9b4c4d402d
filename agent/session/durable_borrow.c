/* SPDX-License-Identifier: MIT */
/* A durable job's output while its monitor lends it to this session (agent/job/lease.h). */
#include "agent/job/lease.h"
#include "agent/session/durable_private.h"
#include "common/cleanup.h"

/* From here on through a map that can be written. */
static int open_view(struct spool_view *view, int fd)
{
    if (view->writable) {
        return 0;
    }
    spool_view_close(view);
    return spool_view_open(view, fd);
}

/* One that cannot be taken is taken back by the monitor when nothing moves. */
void durable_borrow(struct channel *channel, const struct wire_message *message, int fds[WIRE_FDS])
{
    struct durable_channel *durable = channel->durable;
    if (durable->state != ATTACHED || fds[0] < 0 || fds[1] < 0 || fds[2] < 0) {
        return;
    }
    durable_borrow_end(channel); /* an earlier one, which it took back */
    if (open_view(&durable->view, fds[0]) < 0) {
        durable_channel_refuse(channel, JOBWIRE_REFUSED_LOST, "the job's output cannot be read");
        return;
    }
    if (lease_borrow(&durable->borrowed, &durable->view, (uint32_t)message->number) < 0) {
        return;
    }
    durable->lent = true;
    channel->stdout_fd = steal_fd(&fds[1]);
    channel->stderr_fd = steal_fd(&fds[2]);
    durable_borrow_release(channel);
}

bool durable_borrow_fill(struct channel *channel, int stream)
{
    struct durable_channel *durable = channel->durable;
    if (!durable->lent) {
        return false;
    }
    int fd = stream == 0 ? channel->stdout_fd : channel->stderr_fd;
    switch (lease_fill(&durable->borrowed, stream, fd)) {
    case LEASE_READ:
        durable->available[stream] = durable->borrowed.head[stream];
        return true;
    case LEASE_OVER:
        durable_borrow_end(channel);
        return false;
    case LEASE_EMPTY:
        break;
    }
    return false;
}

void durable_borrow_release(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    for (int stream = 0; stream < JOBWIRE_STREAMS && durable->lent; stream++) {
        if (!lease_release(&durable->borrowed, stream, durable->acked[stream])) {
            durable_borrow_end(channel);
        }
    }
}

void durable_borrow_end(struct channel *channel)
{
    struct durable_channel *durable = channel->durable;
    if (!durable->lent) {
        return;
    }
    lease_give_back(&durable->borrowed);
    spool_close(&durable->borrowed);
    durable->lent = false;
    cleanup_fd_fn(&channel->stdout_fd);
    cleanup_fd_fn(&channel->stderr_fd);
    durable_output_tell(channel);
}
