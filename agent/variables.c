/* SPDX-License-Identifier: MIT */
#include "agent/variables.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

/* Pauses between two looks: a stat() each, so that the service starts at once when the file comes
 * soon, and costs nothing when it comes late. Not inotify, which some file systems do not have. */
#define PAUSE_LEAST_MS 10
#define PAUSE_MOST_MS  250

static bool name_is_valid(const char *entry, size_t length)
{
    const char *equals = memchr(entry, '=', length);
    size_t name = equals == NULL ? 0 : (size_t)(equals - entry);
    if (name == 0 || name > LIMIT_VARIABLE_NAME) {
        return false;
    }
    for (size_t i = 0; i < name; i++) {
        if ((unsigned char)entry[i] < ' ' || entry[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

int variables_check(const char *text, size_t length, const char *path, struct error *err)
{
    size_t count = 0;
    for (size_t at = 0; at < length; count++) {
        const char *end = memchr(text + at, '\0', length - at);
        size_t entry = end == NULL ? length - at : (size_t)(end - text) - at;
        if (count == LIMIT_VARIABLES) {
            return error_set(err, ERROR_LIMIT, 0, "'%s' has more than %d variables", path,
                             LIMIT_VARIABLES);
        }
        if (!name_is_valid(text + at, entry)) {
            return error_set(err, ERROR_PEER, 0, "entry %zu of '%s' is not NAME=VALUE", count + 1,
                             path);
        }
        at += entry + 1;
    }
    return 0;
}

/* The entries of a text that variables_check() accepts and a NUL follows. */
static int add_to_environment(char *text, size_t length, struct error *err)
{
    for (char *entry = text; entry < text + length;) {
        char *next = entry + strlen(entry) + 1;
        char *value = strchr(entry, '=');
        *value++ = '\0';
        if (setenv(entry, value, 1) < 0) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot set variable '%s'", entry);
        }
        entry = next;
    }
    return 0;
}

static int check_file(int fd, const char *path, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read '%s'", path);
    }
    if (!S_ISREG(status.st_mode)) {
        return error_set(err, ERROR_PEER, 0, "'%s' is not a regular file", path);
    }
    if ((status.st_uid != 0 && status.st_uid != geteuid()) || (status.st_mode & 022) != 0) {
        (void)error_set(err, ERROR_PEER, 0, "other users can change '%s'", path);
        return error_hint(err, "it must belong to root or to user %u, with mode 0644 or less",
                          (unsigned)geteuid());
    }
    return 0;
}

/* Returns 1 if there is no such file yet. */
static int load(const char *path, struct error *err)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return errno == ENOENT
                   ? 1
                   : error_set(err, ERROR_SYSTEM, errno, "cannot open the variables '%s'", path);
    }
    cleanup_buffer struct buffer text;
    buffer_init(&text, LIMIT_VARIABLES_BYTES);
    if (check_file(fd, path, err) < 0 || fd_read_to_end(fd, path, &text, err) < 0) {
        return -1;
    }
    if (text.length == 0) {
        return 0;
    }
    if (variables_check(text.bytes, text.length, path, err) < 0) {
        return -1;
    }
    return add_to_environment(text.bytes, text.length, err);
}

/* The number of a signal that ends the service; 0: none came. */
static int take_signal(int signals)
{
    struct signalfd_siginfo event;
    while (signals >= 0 && read(signals, &event, sizeof(event)) == (ssize_t)sizeof(event)) {
        int number = (int)event.ssi_signo;
        if (number == SIGTERM || number == SIGINT || number == SIGQUIT || number == SIGHUP) {
            return number;
        }
    }
    return 0;
}

int variables_await(const char *path, int64_t deadline_ms, int signals, int *out_signal,
                    struct error *err)
{
    int64_t pause_ms = PAUSE_LEAST_MS;
    *out_signal = 0;
    int result;
    while ((result = load(path, err)) == 1) {
        if (clock_now_ms() >= deadline_ms) {
            (void)error_set(err, ERROR_SYSTEM, ETIMEDOUT, "the variables '%s' did not come", path);
            return error_hint(err, "look at the log of the container that writes them");
        }
        struct pollfd entry = {.fd = signals, .events = POLLIN};
        int64_t look_ms = clock_earlier_ms(clock_deadline_ms(pause_ms), deadline_ms);
        int ready = poll(&entry, 1, clock_poll_timeout(look_ms));
        *out_signal = ready > 0 ? take_signal(signals) : 0;
        if (*out_signal != 0) {
            return 0;
        }
        pause_ms = clock_earlier_ms(pause_ms * 2, PAUSE_MOST_MS);
    }
    return result;
}
