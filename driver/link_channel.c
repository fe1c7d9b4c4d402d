/* SPDX-License-Identifier: MIT */
#include "driver/link_channel.h"

#include <errno.h>
#include <libssh/server.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define AT_ONCE 0
/* For a reader that is only slow. */
#define PAUSE_MS 100

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

int inflow_open(struct inflow *inflow, struct error *err)
{
    inflow->kept = malloc(INFLOW_BYTES);
    return inflow->kept != NULL ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot take in output");
}

void inflow_done(struct inflow *inflow)
{
    if (inflow->kept != NULL) {
        free(inflow->kept);
        inflow->kept = NULL;
    }
}

/* Returns how many of them there was room for. */
static size_t keep(struct inflow *inflow, const char *bytes, size_t length)
{
    size_t room = inflow->reading ? 0 : INFLOW_BYTES - inflow->kept_length;
    length = length < room ? length : room;
    if (inflow->kept_start + inflow->kept_length + length > INFLOW_BYTES) {
        memmove(inflow->kept, inflow->kept + inflow->kept_start, inflow->kept_length);
        inflow->kept_start = 0;
    }
    memcpy(inflow->kept + inflow->kept_start + inflow->kept_length, bytes, length);
    inflow->kept_length += length;
    return length;
}

int inflow_offer(struct inflow *inflow, const void *bytes, size_t length)
{
    size_t taken = inflow->held ? 0 : inflow->take(inflow->context, bytes, length);
    if (taken < length) {
        inflow->held_ms = inflow->held ? inflow->held_ms : clock_now_ms();
        inflow->held = true;
        taken += keep(inflow, (const char *)bytes + taken, length - taken);
        inflow->libssh_has_it = taken < length;
    }
    return (int)taken;
}

int64_t inflow_pause_ms(const struct inflow *inflow)
{
    int64_t until_ms = inflow->held_ms + PAUSE_MS;
    return inflow->held && clock_now_ms() < until_ms ? until_ms : CLOCK_NEVER;
}

/* Returns whether nothing is kept any more. */
static bool offer_kept(struct inflow *inflow)
{
    if (inflow->kept_length > 0) {
        size_t taken =
            inflow->take(inflow->context, inflow->kept + inflow->kept_start, inflow->kept_length);
        inflow->kept_start += taken;
        inflow->kept_length -= taken;
    }
    if (inflow->kept_length > 0) {
        return false;
    }
    inflow->kept_start = 0;
    return true;
}

/* Not ssh_channel_read_nonblocking(), which first receives what there is: with a reader that is
 * slower than the connection, libssh would hold more and more. This one receives only when libssh
 * holds nothing. */
static int read_more(struct inflow *inflow)
{
    inflow->reading = true;
    int got = ssh_channel_read_timeout(inflow->channel, inflow->kept, INFLOW_BYTES,
                                       inflow->is_stderr, AT_ONCE);
    inflow->reading = false;
    inflow->kept_length = got > 0 ? (size_t)got : 0;
    inflow->libssh_has_it = got == INFLOW_BYTES;
    return got;
}

int inflow_flush(struct inflow *inflow)
{
    int got = 1;
    while (offer_kept(inflow) && inflow->libssh_has_it && got > 0) {
        got = read_more(inflow);
    }
    inflow->held = inflow->kept_length > 0;
    return got == SSH_ERROR ? -1 : 0;
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
