/* SPDX-License-Identifier: MIT */
#include "agent/init/loop.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/init/main_command.h"
#include "common/clock.h"
#include "common/log.h"

/* Pause after poll() failed, which only a lack of kernel memory can cause. */
#define POLL_FAILED_MS 100

#define SIGNALS_AT_ONCE 8

/* A main command gets every signal, as with tini. */
static void on_signal(struct init *init, int number)
{
    if (number == SIGCHLD) {
        reap_all(init);
        return;
    }
    if (main_command_signal(init, number)) {
        return;
    }
    switch (number) {
    case SIGTERM:
        shutdown_begin(init, "SIGTERM");
        break;
    case SIGINT:
        shutdown_begin(init, "SIGINT");
        break;
    case SIGQUIT:
        shutdown_begin(init, "SIGQUIT");
        break;
    case SIGHUP:
    case SIGUSR1:
    case SIGUSR2:
        jobs_signal_all(init, number); /* monitors forward it to the jobs' process groups */
        break;
    default:
        log_debug("ignoring signal %d", number);
        break;
    }
}

/* One read: a later signal wakes up the next poll(). Reading until the signalfd is empty would cost
 * one more system call for every orphan. */
static void on_signals(struct init *init)
{
    struct signalfd_siginfo events[SIGNALS_AT_ONCE];
    ssize_t got = read(init->signals, events, sizeof(events));
    for (ssize_t i = 0; i < got / (ssize_t)sizeof(events[0]); i++) {
        on_signal(init, (int)events[i].ssi_signo);
    }
}

static nfds_t prepare(const struct init *init, struct pollfd *entries,
                      int owners[LIMIT_CONNECTIONS], nfds_t *out_sessions)
{
    nfds_t count = 0;
    bool storm = init->reap_again_ms != CLOCK_NEVER;
    entries[count++] = (struct pollfd){.fd = storm ? -1 : init->signals, .events = POLLIN};
    bool waiting = init->accept_again_ms != CLOCK_NEVER;
    entries[count++] = (struct pollfd){.fd = waiting ? -1 : init->listener, .events = POLLIN};
    for (int i = 0; i < init->connections_top; i++) {
        if (init->connections[i].pid != 0 && init->connections[i].control >= 0) {
            owners[count - 2] = i;
            entries[count++] =
                (struct pollfd){.fd = init->connections[i].control, .events = POLLIN};
        }
    }
    *out_sessions = count;
    for (int i = 0; i < init->waiting_count; i++) {
        entries[count++] = (struct pollfd){.fd = init->waiting[i].fd, .events = POLLRDHUP};
    }
    return count;
}

/* Messages before signals: a session's last request must be read before its exit is handled. */
static void dispatch(struct init *init, const struct pollfd *entries, nfds_t count,
                     const int owners[LIMIT_CONNECTIONS], nfds_t sessions)
{
    for (nfds_t i = count; i > sessions; i--) { /* backwards, since later ones move up */
        if (entries[i - 1].revents != 0) {
            connection_left(init, (int)(i - 1 - sessions));
        }
    }
    for (nfds_t i = 2; i < sessions; i++) {
        if (entries[i].revents != 0) {
            connection_message(init, &init->connections[owners[i - 2]]);
        }
    }
    if (entries[0].revents != 0) {
        on_signals(init);
    }
    if (entries[1].revents != 0 && init->listener >= 0) {
        connection_accept(init);
    }
}

void loop_run(struct init *init)
{
    static struct pollfd entries[2 + LIMIT_CONNECTIONS + LIMIT_WAITING];
    static int owners[LIMIT_CONNECTIONS];
    timers_start(init);
    while (!shutdown_is_done(init)) {
        nfds_t sessions = 0;
        nfds_t count = prepare(init, entries, owners, &sessions);
        int64_t nearest_ms = clock_earlier_ms(init->deadline_ms, timers_next_ms(init));
        nearest_ms = clock_earlier_ms(nearest_ms, init->accept_again_ms);
        nearest_ms = clock_earlier_ms(nearest_ms, init->reap_again_ms);
        nearest_ms = clock_earlier_ms(nearest_ms, init->admit_again_ms);
        nearest_ms = clock_earlier_ms(nearest_ms, init->unreported.summary_ms);
        int ready = poll(entries, count, clock_poll_timeout(nearest_ms));
        if (ready > 0) {
            dispatch(init, entries, count, owners, sessions);
        } else if (ready < 0 && errno != EINTR) {
            log_error("poll: %m, trying again");
            (void)poll(NULL, 0, POLL_FAILED_MS);
        }
        if (clock_now_ms() >= init->reap_again_ms) {
            init->reap_again_ms = CLOCK_NEVER;
        }
        if (clock_now_ms() >= init->accept_again_ms) {
            init->accept_again_ms = CLOCK_NEVER;
        }
        if (clock_now_ms() >= init->deadline_ms) {
            shutdown_deadline(init);
        }
        connection_admit(init);
        connection_summarise(init, false);
        timers_update(init);
    }
    reap_all(init);
    connection_summarise(init, true);
}
