/* SPDX-License-Identifier: MIT */
#include "driver/remote/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void output_open(struct output *output, int fd)
{
    *output = (struct output){.fd = fd};
    struct stat status;
    if (fstat(fd, &status) < 0) {
        output->failed_errno = errno;
        return;
    }
    if (S_ISREG(status.st_mode)) {
        return;
    }
    if (S_ISSOCK(status.st_mode)) {
        output->is_socket = true;
        return;
    }
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (again < 0) { /* no /proc, or a terminal of another user */
        output->careful = true;
        return;
    }
    output->fd = again;
    output->owned = true;
}

void output_done(struct output *output)
{
    if (output->owned) {
        (void)close(output->fd);
        output->owned = false;
    }
}

static ssize_t write_some(struct output *output, const char *bytes, size_t length)
{
    if (output->is_socket) {
        return send(output->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (output->careful) {
        struct pollfd entry = {.fd = output->fd, .events = POLLOUT};
        if (poll(&entry, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        length = length < PIPE_BUF ? length : PIPE_BUF;
    }
    return write(output->fd, bytes, length);
}

size_t output_write(struct output *output, const void *bytes, size_t length)
{
    size_t taken = 0;
    output->blocked = false;
    while (taken < length && output->failed_errno == 0) {
        ssize_t written = write_some(output, (const char *)bytes + taken, length - taken);
        if (written >= 0) {
            taken += (size_t)written;
        } else if (errno == EAGAIN) {
            output->blocked = true;
            return taken;
        } else if (errno != EINTR) {
            output->failed_errno = errno;
        }
    }
    return length;
}
