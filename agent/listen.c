/* SPDX-License-Identifier: MIT */
#include "agent/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/parse.h"

#define BACKLOG 128

struct endpoint {
    struct sockaddr_storage address;
    socklen_t length;
    int port;
    bool any; /* no address was given */
};

static void set_port(struct endpoint *endpoint)
{
    in_port_t port = htons((uint16_t)endpoint->port);
    if (endpoint->address.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&endpoint->address)->sin6_port = port;
    } else {
        ((struct sockaddr_in *)&endpoint->address)->sin_port = port;
    }
}

static bool set_address(struct endpoint *endpoint, int family, const char *text)
{
    memset(&endpoint->address, 0, sizeof(endpoint->address));
    endpoint->address.ss_family = (sa_family_t)family;
    endpoint->length =
        family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    void *bytes = family == AF_INET6
                      ? (void *)&((struct sockaddr_in6 *)&endpoint->address)->sin6_addr
                      : (void *)&((struct sockaddr_in *)&endpoint->address)->sin_addr;
    return inet_pton(family, text, bytes) == 1;
}

/* Splits "ADDRESS:PORT" at the last colon and removes brackets. */
static int parse(const char *where, struct endpoint *out_endpoint, struct error *err)
{
    const char *colon = strrchr(where, ':');
    const char *port_text = colon == NULL ? where : colon + 1;
    size_t length = colon == NULL ? 0 : (size_t)(colon - where);
    char text[LISTEN_NAME_BYTES];
    int64_t port = 0;
    bool bracketed = length >= 2 && where[0] == '[' && where[length - 1] == ']';
    if (length >= sizeof(text) || parse_integer(port_text, 0, 65535, &port) < 0) {
        return error_set(err, ERROR_USAGE, 0, "--listen: '%s' is not ADDRESS:PORT", where);
    }
    memcpy(text, where + (bracketed ? 1 : 0), length - (bracketed ? 2 : 0));
    text[length - (bracketed ? 2 : 0)] = '\0';
    struct endpoint endpoint = {.any = length == 0, .port = (int)port};
    if (!set_address(&endpoint, AF_INET, endpoint.any ? "0.0.0.0" : text) &&
        !set_address(&endpoint, AF_INET6, text)) {
        return error_set(err, ERROR_USAGE, 0, "--listen: '%s' is not a numeric address", text);
    }
    if (endpoint.any) {
        (void)set_address(&endpoint, AF_INET6, "::");
    }
    set_port(&endpoint);
    *out_endpoint = endpoint;
    return 0;
}

/* Returns a bound socket, or -1 with errno. */
static int bind_to(const struct endpoint *endpoint)
{
    int on = 1;
    int off = 0;
    cleanup_fd int fd =
        socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (endpoint->address.ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, endpoint->any ? &off : &on, sizeof(on));
    }
    if (bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) < 0 ||
        listen(fd, BACKLOG) < 0) {
        return -1;
    }
    return steal_fd(&fd);
}

int listen_open(const char *where, int *out_fd, int *out_port, struct error *err)
{
    struct endpoint endpoint = {0};
    if (parse(where, &endpoint, err) < 0) {
        return -1;
    }
    cleanup_fd int fd = bind_to(&endpoint);
    if (fd < 0 && endpoint.any && errno != EADDRINUSE && errno != EACCES) {
        (void)set_address(&endpoint, AF_INET, "0.0.0.0"); /* no IPv6 */
        set_port(&endpoint);
        fd = bind_to(&endpoint);
    }
    if (fd < 0) {
        int saved = errno;
        const char *hint = saved == EADDRINUSE ? "; choose another port with --listen"
                           : saved == EACCES   ? "; ports below 1024 need root: use --listen :2222 "
                                                 "and [SSH] Port = 2222 in the driver's file"
                                               : "";
        return error_set(err, ERROR_SYSTEM, 0, "cannot listen on '%s': %s%s", where,
                         strerror(saved), hint);
    }
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof(bound);
    if (getsockname(fd, (struct sockaddr *)&bound, &length) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot listen on '%s'", where);
    }
    *out_port = listen_port(&bound);
    *out_fd = steal_fd(&fd);
    return 0;
}

/* 0.0.0.0 counts: a connection to it goes to loopback. */
static bool is_loopback(const struct endpoint *endpoint)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)&endpoint->address;
    if (endpoint->address.ss_family != AF_INET) {
        return false;
    }
    in_addr_t address = ntohl(four->sin_addr.s_addr);
    return address >> 24 == IN_LOOPBACKNET || address == INADDR_ANY;
}

int listen_connect(const char *where, int *out_fd, struct error *err)
{
    struct endpoint endpoint = {0};
    if (parse(where, &endpoint, err) < 0) {
        return -1;
    }
    if (endpoint.any) {
        (void)set_address(&endpoint, AF_INET, "127.0.0.1");
        set_port(&endpoint);
    }
    cleanup_fd int fd =
        socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && is_loopback(&endpoint)) {
        struct endpoint own = {0};
        if (set_address(&own, AF_INET, LISTEN_CHECK_ADDRESS)) {
            (void)bind(fd, (const struct sockaddr *)&own.address,
                       own.length); /* without it the kernel chooses */
        }
    }
    if (fd < 0 || (connect(fd, (const struct sockaddr *)&endpoint.address, endpoint.length) < 0 &&
                   errno != EINPROGRESS)) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot connect to '%s'", where);
    }
    *out_fd = steal_fd(&fd);
    return 0;
}

int listen_port(const struct sockaddr_storage *address)
{
    struct sockaddr_in four; /* IPv6 addresses have their port in the same place */
    _Static_assert(offsetof(struct sockaddr_in, sin_port) ==
                       offsetof(struct sockaddr_in6, sin6_port),
                   "same place for the port");
    memcpy(&four, address, sizeof(four));
    return ntohs(four.sin_port);
}

void listen_address(const struct sockaddr_storage *address, char out[LISTEN_NAME_BYTES])
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    const void *bytes = &((const struct sockaddr_in *)address)->sin_addr;
    int family = AF_INET;
    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        bytes = six->sin6_addr.s6_addr + 12;
    } else if (address->ss_family == AF_INET6) {
        bytes = &six->sin6_addr;
        family = AF_INET6;
    }
    if (inet_ntop(family, bytes, out, LISTEN_NAME_BYTES) == NULL) {
        (void)snprintf(out, LISTEN_NAME_BYTES, "unknown");
    }
}
