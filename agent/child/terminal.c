/* SPDX-License-Identifier: MIT */
#include "agent/child/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

void terminal_resize(int master, const struct terminal_size *size)
{
    struct winsize window = {.ws_col = size->columns,
                             .ws_row = size->rows,
                             .ws_xpixel = size->width,
                             .ws_ypixel = size->height};
    (void)ioctl(master, TIOCSWINSZ, &window); /* fails only when the terminal is gone */
}

static void set_modes(int slave, const struct terminal_modes *wanted)
{
    struct termios modes;
    if (tcgetattr(slave, &modes) == 0) {
        modes.c_iflag |= IUTF8; /* otherwise backspace removes half a character */
        terminal_modes_apply(wanted, &modes);
        (void)tcsetattr(slave, TCSANOW, &modes);
    }
}

int terminal_open(const struct terminal_size *size, const struct terminal_modes *modes, uid_t owner,
                  int *out_master, int *out_slave, char out_name[TERMINAL_NAME_BYTES])
{
    cleanup_fd int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
        fd_set_nonblocking(master) < 0) {
        return -1;
    }
    int reason = ptsname_r(master, out_name, TERMINAL_NAME_BYTES);
    if (reason != 0) {
        errno = reason;
        return -1;
    }
    cleanup_fd int slave = open(out_name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        return -1;
    }
    if (owner != geteuid() && fchown(slave, owner, (gid_t)-1) < 0) {
        return -1;
    }
    terminal_resize(master, size);
    set_modes(slave, modes);
    *out_master = steal_fd(&master);
    *out_slave = steal_fd(&slave);
    return 0;
}

int terminal_control(int slave)
{
    return ioctl(slave, TIOCSCTTY, 0);
}
