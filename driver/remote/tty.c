/* SPDX-License-Identifier: MIT */
#include "driver/remote/tty.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"

#define COLUMNS_DEFAULT 80
#define ROWS_DEFAULT    24

static struct tty_size measure(int fd)
{
    struct winsize size = {0};
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0) {
        return (struct tty_size){COLUMNS_DEFAULT, ROWS_DEFAULT};
    }
    return (struct tty_size){size.ws_col, size.ws_row};
}

int tty_make_raw(struct tty *tty, struct error *err)
{
    struct termios raw = tty->before;
    cfmakeraw(&raw);
    tty->raw = tcsetattr(tty->fd, TCSADRAIN, &raw) == 0;
    return tty->raw ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot use the terminal");
}

static void make_cooked(struct tty *tty)
{
    if (tty->raw) {
        (void)tcsetattr(tty->fd, TCSADRAIN, &tty->before); /* fails when the terminal is gone */
        tty->raw = false;
    }
}

int tty_open(struct tty *tty, int fd, struct error *err)
{
    *tty = (struct tty){.fd = fd, .events_fd = -1, .size = measure(fd)};
    sigset_t events;
    (void)sigemptyset(&events);
    (void)sigaddset(&events, SIGWINCH);
    (void)sigaddset(&events, SIGCONT);
    (void)sigaddset(&events, SIGTSTP);
    sigset_t blocked = events;
    (void)sigaddset(&blocked, SIGTTOU); /* lets us restore the terminal from the background */
    if (tcgetattr(fd, &tty->before) < 0 || sigprocmask(SIG_BLOCK, &blocked, NULL) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot use the terminal");
    }
    tty->events_fd = signalfd(-1, &events, SFD_CLOEXEC | SFD_NONBLOCK);
    return tty->events_fd < 0 ? error_set(err, ERROR_SYSTEM, errno, "cannot use the terminal") : 0;
}

void tty_close(struct tty *tty)
{
    make_cooked(tty);
    cleanup_fd_fn(&tty->events_fd);
}

bool tty_changed(struct tty *tty, struct tty_size *out_size)
{
    struct signalfd_siginfo event;
    while (read(tty->events_fd, &event, sizeof(event)) == (ssize_t)sizeof(event)) {
        if (event.ssi_signo == SIGTSTP) {
            make_cooked(tty);
            (void)raise(SIGSTOP);
        }
        if (event.ssi_signo !=
            SIGWINCH) { /* continued: another process may have changed the modes */
            (void)tty_make_raw(tty, NULL);
        }
    }
    struct tty_size size = measure(tty->fd);
    if (size.columns == tty->size.columns && size.rows == tty->size.rows) {
        return false;
    }
    tty->size = size;
    *out_size = size;
    return true;
}
