/* SPDX-License-Identifier: MIT */
#include "agent/commands/await.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/hosts.h"
#include "agent/limits.h"
#include "common/clock.h"
#include "common/host_name.h"
#include "common/parse.h"

#define HOST_BYTES 254

struct target {
    char host[HOST_BYTES];
    uint16_t port;
};

#define ROUND_CEILING (LIMIT_AWAITED * LIMIT_AWAITED_ADDRESSES)

/* The connections of one round. */
struct attempts {
    struct pollfd entries[ROUND_CEILING];
    nfds_t count;
    int reason; /* of the last failure */
};

/* An address of a family, or a name that may be in /etc/hosts. */
static bool host_is_valid(const char *host, bool bracketed)
{
    struct in6_addr six;
    struct in_addr four;
    if (bracketed) {
        return inet_pton(AF_INET6, host, &six) == 1;
    }
    return inet_pton(AF_INET, host, &four) == 1 || strcasecmp(host, "localhost") == 0 ||
           host_name_is_valid(host);
}

static int parse_target(const char *text, struct target *out, struct error *err)
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);
    bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
    int64_t port = 0;
    if (bracketed) {
        host++;
        length -= 2;
    }
    bool fits = length > 0 && length < sizeof(out->host);
    memcpy(out->host, host, fits ? length : 0);
    out->host[fits ? length : 0] = '\0';
    if (!fits || !host_is_valid(out->host, bracketed) ||
        parse_integer(colon + 1, 1, 65535, &port) < 0) {
        (void)error_set(err, ERROR_USAGE, 0, "'%s' is not HOST:PORT", text);
        return error_hint(err, "for example 127.0.0.1:5432, [::1]:5432 or postgres:5432");
    }
    out->port = (uint16_t)port;
    return 0;
}

/* The addresses of a target now. 0: none, as long as /etc/hosts has no such name. */
static size_t resolve(const struct target *target, struct sockaddr_storage *out, struct error *err)
{
    size_t count = 0;
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, target->host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        count = 1;
    } else if (inet_pton(AF_INET6, target->host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        count = 1;
    } else if (hosts_find_in(HOSTS_PATH, target->host, out, LIMIT_AWAITED_ADDRESSES, &count, err) <
               0) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (out[i].ss_family == AF_INET) {
            ((struct sockaddr_in *)&out[i])->sin_port = htons(target->port);
        } else {
            ((struct sockaddr_in6 *)&out[i])->sin6_port = htons(target->port);
        }
    }
    return count;
}

/* A port of the range for clients can get a connection from itself while no server listens. */
static bool is_accepted(int fd)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_bytes = sizeof(own), peer_bytes = sizeof(peer);
    return getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) == 0 &&
           (getsockname(fd, (struct sockaddr *)&own, &own_bytes) < 0 || own_bytes != peer_bytes ||
            memcmp(&own, &peer, own_bytes) != 0);
}

/* True: it is connected already. */
static bool attempt(const struct sockaddr_storage *address, struct attempts *attempts)
{
    bool four = address->ss_family == AF_INET;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)address,
                           four ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) == 0) {
        bool accepted = is_accepted(fd);
        (void)close(fd);
        return accepted;
    }
    if (fd >= 0 && errno == EINPROGRESS) {
        attempts->entries[attempts->count++] = (struct pollfd){.fd = fd, .events = POLLOUT};
        return false;
    }
    attempts->reason = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return false;
}

static bool begin_round(const struct target *targets, int count, struct attempts *attempts)
{
    for (int i = 0; i < count; i++) {
        struct sockaddr_storage addresses[LIMIT_AWAITED_ADDRESSES];
        struct error ignored = {0}; /* a file that cannot be read has no names */
        size_t found = resolve(&targets[i], addresses, &ignored);
        if (found == 0) {
            attempts->reason = ENXIO;
        }
        for (size_t j = 0; j < found; j++) {
            if (attempt(&addresses[j], attempts)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether one of the connections succeeds before the deadline; stops when all have failed. */
static bool finish_round(struct attempts *attempts, int64_t deadline_ms)
{
    nfds_t open_count = attempts->count;
    while (open_count > 0) {
        int ready = poll(attempts->entries, attempts->count, clock_poll_timeout(deadline_ms));
        if (ready == 0 || (ready < 0 && errno != EINTR)) {
            return false;
        }
        for (nfds_t i = 0; ready > 0 && i < attempts->count; i++) {
            struct pollfd *entry = &attempts->entries[i];
            int reason = 0;
            socklen_t length = sizeof(reason);
            if (entry->fd < 0 || entry->revents == 0) {
                continue;
            }
            if (getsockopt(entry->fd, SOL_SOCKET, SO_ERROR, &reason, &length) == 0 && reason == 0 &&
                is_accepted(entry->fd)) {
                return true;
            }
            attempts->reason = reason == 0 ? ECONNREFUSED : reason;
            (void)close(entry->fd);
            entry->fd = -1;
            open_count--;
        }
    }
    return false;
}

static bool run_round(const struct target *targets, int count, int64_t deadline_ms, int *out_reason)
{
    static struct attempts attempts;
    attempts.count = 0;
    attempts.reason = ETIMEDOUT;
    int64_t round_ms = clock_deadline_ms(LIMIT_AWAIT_ROUND_MS);
    bool accepted = begin_round(targets, count, &attempts) ||
                    finish_round(&attempts, clock_earlier_ms(round_ms, deadline_ms));
    for (nfds_t i = 0; i < attempts.count; i++) {
        if (attempts.entries[i].fd >= 0) {
            (void)close(attempts.entries[i].fd);
        }
    }
    *out_reason = attempts.reason;
    return accepted;
}

int await_ports(char *const ports[], int count, int64_t timeout_ms, struct error *err)
{
    static struct target targets[LIMIT_AWAITED];
    for (int i = 0; i < count; i++) {
        if (parse_target(ports[i], &targets[i], err) < 0) {
            return -1;
        }
    }
    int64_t deadline_ms = clock_deadline_ms(timeout_ms);
    int64_t pause_ms = LIMIT_AWAIT_PAUSE_MS;
    int reason = 0;
    while (!run_round(targets, count, deadline_ms, &reason)) {
        if (clock_now_ms() >= deadline_ms) {
            if (reason == ENXIO) {
                return error_set(err, ERROR_SYSTEM, 0, "%s: no such name in " HOSTS_PATH,
                                 ports[count - 1]);
            }
            return error_set(err, ERROR_SYSTEM, reason, "no connection to %s%s within %.1f s",
                             ports[0], count > 1 ? " or another port" : "",
                             (double)timeout_ms / 1000.0);
        }
        int64_t next_ms = clock_earlier_ms(clock_deadline_ms(pause_ms), deadline_ms);
        (void)poll(NULL, 0, clock_poll_timeout(next_ms));
        pause_ms = clock_earlier_ms(pause_ms * 2, LIMIT_AWAIT_PAUSES_MS);
    }
    return 0;
}
