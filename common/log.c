/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/utf8.h"

/* A message longer than this is cut: no event of ours needs more, and a remote one gets no more. */
#define LOG_MESSAGE_BYTES 2048
#define LOG_LINE_BYTES    (LOG_MESSAGE_BYTES * 6 + 256) /* worst escape: \u00XX */

static struct {
    const char *program;
    enum log_level level;
    enum log_format format;
    int fd;
    int wait_ms; /* -1: for ever */
    int lost;    /* lines, since the last that was written */
} log_state = {.program = "berth", .level = LOG_INFO, .fd = STDERR_FILENO, .wait_ms = -1};

static const char *const level_names[] = {
    [LOG_FATAL] = "fatal", [LOG_ERROR] = "error", [LOG_WARN] = "warn",
    [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

void log_open(const char *program, enum log_level level, enum log_format format, int fd)
{
    log_state.program = program;
    log_state.level = level;
    log_state.format = format;
    log_state.fd = fd;
    log_state.lost = 0;
}

void log_wait_at_most(int wait_ms)
{
    log_state.wait_ms = wait_ms;
}

bool log_level_parse(const char *text, enum log_level *out_level)
{
    static const struct {
        const char *word;
        enum log_level level;
    } words[] = {
        {"debug", LOG_DEBUG},  {"trace", LOG_DEBUG}, {"info", LOG_INFO},   {"warn", LOG_WARN},
        {"warning", LOG_WARN}, {"error", LOG_ERROR}, {"fatal", LOG_FATAL}, {"panic", LOG_FATAL},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *out_level = words[i].level;
            return true;
        }
    }
    return false;
}

bool log_format_parse(const char *text, enum log_format *out_format)
{
    if (strcasecmp(text, "text") == 0) {
        *out_format = LOG_TEXT;
        return true;
    }
    if (strcasecmp(text, "json") == 0) {
        *out_format = LOG_JSON;
        return true;
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level <= log_state.level;
}

/* Writes 'message' escaped for the format to 'out', which has room for the worst case. */
static size_t escape(char *out, const char *message, size_t length, bool json)
{
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        unsigned char byte = (unsigned char)message[i];
        size_t run = utf8_length((const unsigned char *)message + i, length - i);
        bool control = byte < 0x20 || byte == 0x7f ||
                       (byte == 0xc2 && run == 2 && (unsigned char)message[i + 1] < 0xa0);
        if (run == 0 || control) {
            used += (size_t)(json ? snprintf(out + used, 7, "\\u%04x", byte)
                                  : snprintf(out + used, 7, "\\x%02x", byte));
            i += 1;
            continue;
        }
        if (json && (byte == '"' || byte == '\\')) {
            out[used++] = '\\';
        }
        memcpy(out + used, message + i, run);
        used += run;
        i += run;
    }
    return used;
}

static size_t open_json(char *line, size_t room, enum log_level level)
{
    struct timespec now;
    struct tm parts;
    char stamp[32];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &parts);
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts);
    return (size_t)snprintf(line, room,
                            "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"program\":\"%s\","
                            "\"pid\":%d,\"message\":\"",
                            stamp, now.tv_nsec / 1000000, level_names[level], log_state.program,
                            (int)getpid());
}

/* Only the first line waits: a descriptor that is stuck must not cost each event that long. What
 * poll() itself has to say is found by the write. */
static bool may_write(void)
{
    struct pollfd entry = {.fd = log_state.fd, .events = POLLOUT};
    return log_state.wait_ms < 0 ||
           poll(&entry, 1, log_state.lost > 0 ? 0 : log_state.wait_ms) != 0;
}

static void write_line(enum log_level level, const char *message, size_t length)
{
    bool json = log_state.format == LOG_JSON;
    char line[LOG_LINE_BYTES];
    size_t used = json ? open_json(line, sizeof(line), level)
                       : (size_t)snprintf(line, sizeof(line), "%s[%d]: %s: ", log_state.program,
                                          (int)getpid(), level_names[level]);
    used += escape(line + used, message, length, json);
    if (json) {
        line[used++] = '"';
        line[used++] = '}';
    }
    line[used++] = '\n';
    (void)!write(log_state.fd, line, used); /* nowhere to report a log that cannot be written */
}

static void tell_lost(void)
{
    char message[64];
    int length = snprintf(message, sizeof(message),
                          "%d log lines were lost, since nobody read them", log_state.lost);
    log_state.lost = 0;
    write_line(LOG_WARN, message, (size_t)length);
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level)) {
        return;
    }
    int saved = errno;
    char message[LOG_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length < 0) {
        length = 0;
    }
    size_t fits = (size_t)length < sizeof(message) ? (size_t)length : sizeof(message) - 1;
    bool writable = may_write();
    if (writable && log_state.lost > 0) {
        tell_lost();
        writable = may_write();
    }
    if (writable) {
        write_line(level, message, fits);
    } else {
        log_state.lost++;
    }
    errno = saved;
}
