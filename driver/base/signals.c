/* SPDX-License-Identifier: MIT */
#include "driver/base/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

static sigset_t stop_mask(void)
{
    sigset_t mask;
    (void)sigemptyset(&mask);
    for (size_t i = 0; i < sizeof(stop_signals) / sizeof(stop_signals[0]); i++) {
        (void)sigaddset(&mask, stop_signals[i]);
    }
    return mask;
}

void signals_block(void)
{
    sigset_t mask = stop_mask();
    (void)sigprocmask(SIG_BLOCK, &mask, NULL); /* fails only for invalid arguments */
}

void signals_unblock(int number)
{
    sigset_t mask;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, number);
    (void)sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

int signals_open(struct signals *signals, struct error *err)
{
    sigset_t mask = stop_mask();
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot ignore SIGPIPE");
    }
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open a signal descriptor");
    }
    *signals = (struct signals){.fd = fd};
    return 0;
}

void signals_done(struct signals *signals)
{
    if (signals->fd >= 0) {
        (void)close(signals->fd);
        signals->fd = -1;
    }
}

bool signals_pending(struct signals *signals)
{
    if (signals == NULL) {
        return false;
    }
    struct signalfd_siginfo info;
    while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (signals->first == 0) {
            signals->first = (int)info.ssi_signo;
            signals->first_at_s = clock_unix_s();
        }
    }
    return signals->first != 0 && !signals->acknowledged;
}

void signals_acknowledge(struct signals *signals)
{
    signals->acknowledged = true;
}

bool signals_requested(struct signals *signals)
{
    return signals_pending(signals) || (signals != NULL && signals->first != 0);
}

int signals_wait(struct signals *signals, int other_fd, long long deadline_ms)
{
    for (;;) {
        if (signals_pending(signals)) {
            return -1;
        }
        struct pollfd entries[] = {
            {.fd = signals == NULL ? -1 : signals->fd, .events = POLLIN},
            {.fd = other_fd, .events = POLLIN},
        };
        int ready = poll(entries, 2, clock_poll_timeout(deadline_ms));
        if (entries[1].revents != 0 && ready > 0) {
            return 1;
        }
        if (clock_now_ms() >= deadline_ms) {
            return 0;
        }
    }
}

void signals_restore_defaults(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) {
        (void)sigaction(number, &standard, NULL); /* fails for KILL, STOP and libc's own signals */
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}
