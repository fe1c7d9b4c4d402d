/* SPDX-License-Identifier: MIT */
#include "agent/commands/task_metadata.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/parse.h"

#define SCHEME        "http://"
#define DEFAULT_PORT  80
#define REQUEST_BYTES 512

struct endpoint {
    char host[64];
    struct sockaddr_in address;
    const char *path;
};

static int parse_base(const char *base, struct endpoint *out, struct error *err)
{
    size_t skip = strlen(SCHEME);
    int64_t port = DEFAULT_PORT;
    if (strncmp(base, SCHEME, skip) == 0) {
        size_t length = strcspn(base + skip, "/");
        out->path = base + skip + length;
        if (length < sizeof(out->host)) {
            memcpy(out->host, base + skip, length);
            out->host[length] = '\0';
            char *colon = strchr(out->host, ':');
            if (colon != NULL) {
                *colon = '\0';
            }
            out->address.sin_family = AF_INET;
            if ((colon == NULL || parse_integer(colon + 1, 1, 65535, &port) == 0) &&
                inet_pton(AF_INET, out->host, &out->address.sin_addr) == 1) {
                out->address.sin_port = htons((uint16_t)port);
                return 0;
            }
        }
    }
    return error_set(err, ERROR_USAGE, 0,
                     "ECS_CONTAINER_METADATA_URI_V4 is '%s', not http://ADDRESS/PATH", base);
}

/* 0: ready; -1 with errno. */
static int wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd entry = {.fd = fd, .events = events};
    for (;;) {
        int ready = poll(&entry, 1, clock_poll_timeout(deadline_ms));
        if (ready > 0) {
            return 0;
        }
        if (ready == 0 || errno != EINTR) {
            errno = ready == 0 ? ETIMEDOUT : errno;
            return -1;
        }
    }
}

static int open_endpoint(const struct endpoint *endpoint, int64_t deadline_ms)
{
    int reason = 0;
    socklen_t length = sizeof(reason);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&endpoint->address, sizeof(endpoint->address)) == 0) {
        return fd;
    }
    if (errno == EINPROGRESS && wait_for(fd, POLLOUT, deadline_ms) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &length) == 0) {
        if (reason == 0) {
            return fd;
        }
        errno = reason;
    }
    reason = errno;
    (void)close(fd);
    errno = reason;
    return -1;
}

/* Reads until the server closes the connection, as HTTP/1.0 asks it to. */
static int read_answer(int fd, struct buffer *out, int64_t deadline_ms)
{
    char chunk[4096];
    for (;;) {
        ssize_t count = recv(fd, chunk, sizeof(chunk), 0);
        if (count == 0) {
            return 0;
        }
        if (count > 0 && buffer_append(out, chunk, (size_t)count) < 0) {
            errno = EFBIG;
            return -1;
        }
        if (clock_now_ms() >= deadline_ms) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (count < 0 && errno != EINTR &&
            (errno != EAGAIN || wait_for(fd, POLLIN, deadline_ms) < 0)) {
            return -1;
        }
    }
}

static int ask(const struct endpoint *endpoint, struct buffer *out, int64_t deadline_ms)
{
    char request[REQUEST_BYTES];
    int length = snprintf(request, sizeof(request), "GET %s/task HTTP/1.0\r\nHost: %s\r\n\r\n",
                          endpoint->path, endpoint->host);
    cleanup_fd int fd = open_endpoint(endpoint, deadline_ms);
    if (fd < 0 || length < 0 || (size_t)length >= sizeof(request)) {
        errno = fd < 0 ? errno : ENAMETOOLONG;
        return -1;
    }
    /* A new connection takes a request of this size at once. */
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        return -1;
    }
    return read_answer(fd, out, deadline_ms);
}

int task_metadata(const char *base, int64_t timeout_ms, struct error *err)
{
    struct endpoint endpoint = {0};
    cleanup_buffer struct buffer answer;
    buffer_init(&answer, LIMIT_TASK_METADATA_BYTES);
    if (base == NULL || base[0] == '\0') {
        return error_set(err, ERROR_SYSTEM, 0,
                         "no ECS_CONTAINER_METADATA_URI_V4: this container does not run on ECS");
    }
    if (parse_base(base, &endpoint, err) < 0) {
        return -1;
    }
    if (ask(&endpoint, &answer, clock_deadline_ms(timeout_ms)) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "no answer of the task metadata endpoint");
    }
    const char *text = answer.bytes == NULL ? "" : answer.bytes;
    const char *status = strncmp(text, "HTTP/1.", 7) == 0 ? strchr(text, ' ') : NULL;
    const char *body = strstr(text, "\r\n\r\n");
    if (status == NULL || body == NULL || strncmp(status, " 200", 4) != 0) {
        return error_set(err, ERROR_PEER, 0, "the task metadata endpoint refused the request");
    }
    (void)printf("%s\n", body + 4);
    return 0;
}
