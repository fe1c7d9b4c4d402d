/* SPDX-License-Identifier: MIT */
#include "agent/ipc/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS)];
};

int wire_pair(int out_ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out_ends);
}

int wire_send(int socket, const struct wire_message *message, const int *fds, int count)
{
    struct wire_message copy = *message;
    struct iovec part = {.iov_base = &copy, .iov_len = sizeof(copy)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    memset(&control, 0, sizeof(control));
    if (count > 0) {
        size_t bytes = sizeof(int) * (size_t)count;
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(rights), fds, bytes);
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof(copy) ? 0 : -1;
}

static int take_fds(struct msghdr *header, int out_fds[WIRE_FDS])
{
    int count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL;
         part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t bytes = part->cmsg_len - CMSG_LEN(0);
        for (size_t i = 0; i < bytes / sizeof(int); i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            if (count < WIRE_FDS) {
                out_fds[count++] = fd;
            } else {
                (void)close(fd);
            }
        }
    }
    return count;
}

enum wire_result wire_receive(int socket, struct wire_message *out_message, int out_fds[WIRE_FDS])
{
    struct wire_message message;
    struct iovec part = {.iov_base = &message, .iov_len = sizeof(message)};
    union control control;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    for (int i = 0; i < WIRE_FDS; i++) {
        out_fds[i] = -1;
    }
    ssize_t got;
    /* A peer that closes before it has read everything causes one ECONNRESET; the messages that it
     * sent before can still be received. */
    do {
        got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    } while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got < 0 && errno == EAGAIN) {
        return WIRE_NOTHING;
    }
    if (got <= 0) {
        return WIRE_CLOSED;
    }
    (void)take_fds(&header, out_fds);
    bool whole =
        got == (ssize_t)sizeof(message) && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (!whole) {
        for (int i = 0; i < WIRE_FDS; i++) {
            if (out_fds[i] >= 0) {
                (void)close(out_fds[i]);
                out_fds[i] = -1;
            }
        }
        return WIRE_CLOSED;
    }
    *out_message = message;
    return WIRE_MESSAGE;
}
