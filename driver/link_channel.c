/* SPDX-License-Identifier: MIT */
#include "driver/link_channel.h"

#include <libssh/server.h>
#include <string.h>

#include "common/clock.h"

int link_open_session(ssh_channel channel, const void *context)
{
    (void)context;
    return ssh_channel_open_session(channel);
}

int link_do(struct ssh_link *link, ssh_channel channel, link_step *step, const void *context,
            struct signals *signals, int64_t deadline_ms, struct error *err)
{
    int result;
    while ((result = step(channel, context)) == SSH_AGAIN) {
        if (ssh_link_wait(link, signals, deadline_ms, err) < 0) {
            return -1;
        }
    }
    return result == SSH_OK ? 0 : error_set(err, ERROR_PEER, 0, "%s", ssh_get_error(link->session));
}

bool link_takes_bytes(const struct ssh_link *link, ssh_channel channel)
{
    return ssh_channel_is_open(channel) && ssh_channel_window_size(channel) > 0 &&
           (ssh_get_status(link->session) & SSH_WRITE_PENDING) == 0;
}

int inflow_offer(struct inflow *inflow, const void *bytes, size_t length)
{
    if (inflow->held) {
        return 0;
    }
    size_t taken = inflow->take(inflow->context, bytes, length);
    inflow->held = taken < length;
    return (int)taken;
}

int inflow_flush(struct inflow *inflow)
{
    for (;;) {
        size_t taken = inflow->pending_length == 0
                           ? 0
                           : inflow->take(inflow->context, inflow->pending, inflow->pending_length);
        inflow->pending_length -= taken;
        memmove(inflow->pending, inflow->pending + taken, inflow->pending_length);
        /* Reading may take in packets and call inflow_offer(): only behind what is there. */
        inflow->held = true;
        if (inflow->pending_length > 0) {
            return 0;
        }
        int got = ssh_channel_read_nonblocking(inflow->channel, inflow->pending, LINK_CHUNK_BYTES,
                                               inflow->is_stderr);
        if (got <= 0) {
            inflow->held = false;
            return got == SSH_ERROR ? -1 : 0;
        }
        inflow->pending_length = (size_t)got;
    }
}

void keepalive_begin(struct keepalive *keepalive, struct ssh_link *link, int64_t period_ms)
{
    *keepalive =
        (struct keepalive){.link = link,
                           .period_ms = period_ms,
                           .next_ms = period_ms > 0 ? clock_deadline_ms(period_ms) : CLOCK_NEVER};
    ssh_set_counters(link->session, &keepalive->received, NULL);
}

void keepalive_end(struct keepalive *keepalive)
{
    ssh_set_counters(keepalive->link->session, NULL, NULL);
}

/* ssh_global_request() keeps a finished request until it is asked again, so a keepalive takes two
 * calls: one that collects the last answer, and one that sends. */
int keepalive_check(struct keepalive *keepalive, struct error *err)
{
    if (clock_now_ms() < keepalive->next_ms) {
        return 0;
    }
    keepalive->next_ms = clock_deadline_ms(keepalive->period_ms);
    bool heard = keepalive->received.in_bytes != keepalive->seen_bytes;
    keepalive->seen_bytes = keepalive->received.in_bytes;
    keepalive->missed = heard ? 0 : keepalive->missed + 1;
    if (keepalive->missed >= KEEPALIVE_MISSES) {
        return error_set(err, ERROR_SYSTEM, 0, "no sign of life for %lld s",
                         (long long)(keepalive->period_ms * KEEPALIVE_MISSES / 1000));
    }
    if (keepalive->asked) {
        (void)ssh_send_keepalive(keepalive->link->session);
        keepalive->seen_bytes = keepalive->received.in_bytes;
    }
    keepalive->asked = true;
    (void)ssh_send_keepalive(keepalive->link->session);
    return 0;
}

int64_t keepalive_deadline_ms(const struct keepalive *keepalive)
{
    return keepalive->next_ms;
}
