/* SPDX-License-Identifier: MIT */
#include "driver/terminal.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"

#define COLUMNS_DEFAULT 80
#define ROWS_DEFAULT    24

static struct terminal_size measure(int fd)
{
    struct winsize size = {0};
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0) {
        return (struct terminal_size){COLUMNS_DEFAULT, ROWS_DEFAULT};
    }
    return (struct terminal_size){size.ws_col, size.ws_row};
}

int terminal_make_raw(struct terminal *terminal, struct error *err)
{
    struct termios raw = terminal->before;
    cfmakeraw(&raw);
    terminal->raw = tcsetattr(terminal->fd, TCSADRAIN, &raw) == 0;
    return terminal->raw ? 0 : error_set(err, ERROR_SYSTEM, errno, "cannot use the terminal");
}

static void make_cooked(struct terminal *terminal)
{
    if (terminal->raw) {
        (void)tcsetattr(terminal->fd, TCSADRAIN, &terminal->before); /* gone: nothing to restore */
        terminal->raw = false;
    }
}

int terminal_open(struct terminal *terminal, int fd, struct error *err)
{
    *terminal = (struct terminal){.fd = fd, .events_fd = -1, .size = measure(fd)};
    sigset_t events;
    (void)sigemptyset(&events);
    (void)sigaddset(&events, SIGWINCH);
    (void)sigaddset(&events, SIGCONT);
    (void)sigaddset(&events, SIGTSTP);
    sigset_t blocked = events;
    (void)sigaddset(&blocked, SIGTTOU); /* in the background the terminal can still be restored */
    if (tcgetattr(fd, &terminal->before) < 0 || sigprocmask(SIG_BLOCK, &blocked, NULL) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot use the terminal");
    }
    terminal->events_fd = signalfd(-1, &events, SFD_CLOEXEC | SFD_NONBLOCK);
    return terminal->events_fd < 0 ? error_set(err, ERROR_SYSTEM, errno, "cannot use the terminal")
                                   : 0;
}

void terminal_close(struct terminal *terminal)
{
    make_cooked(terminal);
    cleanup_fd_fn(&terminal->events_fd);
}

bool terminal_changed(struct terminal *terminal, struct terminal_size *out_size)
{
    struct signalfd_siginfo event;
    while (read(terminal->events_fd, &event, sizeof(event)) == (ssize_t)sizeof(event)) {
        if (event.ssi_signo == SIGTSTP) {
            make_cooked(terminal);
            (void)raise(SIGSTOP);
        }
        if (event.ssi_signo != SIGWINCH) { /* we go on: whoever had it meanwhile may have set it */
            (void)terminal_make_raw(terminal, NULL);
        }
    }
    struct terminal_size size = measure(terminal->fd);
    if (size.columns == terminal->size.columns && size.rows == terminal->size.rows) {
        return false;
    }
    terminal->size = size;
    *out_size = size;
    return true;
}
