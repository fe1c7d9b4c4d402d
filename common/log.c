/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/escape.h"

/* Longer messages are cut. */
#define LOG_MESSAGE_BYTES 2048
#define LOG_LINE_BYTES    (LOG_MESSAGE_BYTES * ESCAPE_WORST + 256)
#define LOG_FIELD_BYTES   512 /* of one value; longer ones are cut */
#define STAMP_BYTES       48
#define LOG_FIELDS_BYTES  (16UL << 10)
#define STATUS_BYTES      512
#define ERASE_LINE        "\r\033[K"

/* A destination. */
struct sink {
    int fd; /* -1: none */
    enum log_level level;
    enum log_format format;
    bool stamped; /* text begins with the time */
};

static struct {
    const char *program;
    const char *prefix; /* of text for people; NULL: none */
    struct sink main, file;
    int wait_ms; /* of 'main'; -1: for ever */
    int lost;    /* lines since the last one that was written */
    bool coloured;
    bool shares_terminal;
    char status[STATUS_BYTES]; /* on the terminal's last line; empty: none */
} log_state = {
    .program = "berth",
    .main = {.fd = STDERR_FILENO, .level = LOG_INFO},
    .file = {.fd = -1, .stamped = true},
    .wait_ms = -1,
};

static const char *const level_names[] = {
    [LOG_FATAL] = "fatal", [LOG_ERROR] = "error", [LOG_WARN] = "warn",
    [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};
/* Behind log_prefix(). */
static const char *const plain_level_names[] = {
    [LOG_FATAL] = "error", [LOG_ERROR] = "error", [LOG_WARN] = "warning",
    [LOG_INFO] = "",       [LOG_DEBUG] = "debug",
};
_Static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_DEBUG + 1,
               "a name for each level");

/* The colours on a terminal; NULL: none. */
static const char *const level_colours[] = {
    [LOG_FATAL] = "\033[31;1m",
    [LOG_ERROR] = "\033[31;1m",
    [LOG_WARN] = "\033[33;1m",
    [LOG_DEBUG] = NULL,
};

void log_open(const char *program, enum log_level level, enum log_format format, int fd)
{
    log_state.program = program;
    log_state.main = (struct sink){.fd = fd, .level = level, .format = format};
    log_state.file.fd = -1;
    log_state.lost = 0;
    log_state.shares_terminal = false;
}

void log_add_file(enum log_level level, enum log_format format, int fd)
{
    log_state.file = (struct sink){.fd = fd, .level = level, .format = format, .stamped = true};
}

void log_prefix(const char *prefix)
{
    log_state.prefix = prefix;
}

/* Whether control sequences work there. */
static bool is_terminal(int fd)
{
    const char *terminal = getenv("TERM");
    return isatty(fd) == 1 && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

bool log_wants_colour(int fd)
{
    const char *without = getenv("NO_COLOR");
    return is_terminal(fd) && (without == NULL || without[0] == '\0');
}

void log_colour(bool coloured)
{
    log_state.coloured = coloured;
}

void log_wait_at_most(int wait_ms)
{
    log_state.wait_ms = wait_ms;
}

struct word {
    const char *word;
    int value;
};

static const struct word level_words[] = {
    {"debug", LOG_DEBUG},  {"trace", LOG_DEBUG}, {"info", LOG_INFO},   {"warn", LOG_WARN},
    {"warning", LOG_WARN}, {"error", LOG_ERROR}, {"fatal", LOG_FATAL}, {"panic", LOG_FATAL},
};
static const struct word format_words[] = {
    {"text", LOG_TEXT}, {"text-simple", LOG_TEXT}, {"json", LOG_JSON}};
#define WORD_COUNT(words) (sizeof(words) / sizeof((words)[0]))

static const struct word *find_word(const struct word *words, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            return &words[i];
        }
    }
    return NULL;
}

static struct nearest nearest_word(const struct word *words, size_t count, const char *text)
{
    struct nearest nearest = nearest_begin(text);
    for (size_t i = 0; i < count; i++) {
        nearest_try(&nearest, words[i].word);
    }
    return nearest;
}

bool log_level_parse(const char *text, enum log_level *out_level)
{
    const struct word *word = find_word(level_words, WORD_COUNT(level_words), text);
    if (word != NULL) {
        *out_level = (enum log_level)word->value;
    }
    return word != NULL;
}

bool log_format_parse(const char *text, enum log_format *out_format)
{
    const struct word *word = find_word(format_words, WORD_COUNT(format_words), text);
    if (word != NULL) {
        *out_format = (enum log_format)word->value;
    }
    return word != NULL;
}

struct nearest log_level_nearest(const char *text)
{
    return nearest_word(level_words, WORD_COUNT(level_words), text);
}

struct nearest log_format_nearest(const char *text)
{
    return nearest_word(format_words, WORD_COUNT(format_words), text);
}

bool log_enabled(enum log_level level)
{
    return level <= log_state.main.level ||
           (log_state.file.fd >= 0 && level <= log_state.file.level);
}

static void time_stamp(char out[STAMP_BYTES])
{
    struct timespec now;
    struct tm parts;
    char seconds[24];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &parts);
    (void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(out, STAMP_BYTES, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

/* Only the first line waits: a blocked descriptor must not delay each event. Errors of poll() show
 * up in the write. */
static bool may_write(void)
{
    struct pollfd entry = {.fd = log_state.main.fd, .events = POLLOUT};
    return log_state.wait_ms < 0 ||
           poll(&entry, 1, log_state.lost > 0 ? 0 : log_state.wait_ms) != 0;
}

static size_t open_line(char *line, size_t room, const struct sink *sink, enum log_level level)
{
    char stamp[STAMP_BYTES];
    time_stamp(stamp);
    if (sink->format == LOG_JSON) {
        return (size_t)snprintf(line, room,
                                "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\","
                                "\"pid\":%d,\"message\":\"",
                                stamp, level_names[level], log_state.program, (int)getpid());
    }
    bool coloured = log_state.coloured && !sink->stamped && level_colours[level] != NULL;
    if (log_state.prefix != NULL && !sink->stamped) {
        const char *word = plain_level_names[level];
        return (size_t)snprintf(line, room, "%s: %s%s%s%s", log_state.prefix,
                                coloured ? level_colours[level] : "", word,
                                coloured ? "\033[0m" : "", word[0] != '\0' ? ": " : "");
    }
    return (size_t)snprintf(line, room, "%s%s%s[%d]: %s%s%s: ", sink->stamped ? stamp : "",
                            sink->stamped ? " " : "", log_state.program, (int)getpid(),
                            coloured ? level_colours[level] : "", level_names[level],
                            coloured ? "\033[0m" : "");
}

/* Whether a value needs no quotes in a line of text. */
static bool is_plain(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-_./:@+")] == '\0';
}

/* Cuts the text if there is no room, so that the line ends properly. */
static size_t add_fields(char *out, size_t room, enum log_format format,
                         const struct log_field *fields, size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct log_field *field = &fields[i];
        char value[LOG_FIELD_BYTES * ESCAPE_WORST + 8];
        size_t length = 0;
        if (field->text == NULL) {
            length = (size_t)snprintf(value, sizeof(value), "%.15g", field->number);
        } else if (field->text[0] == '\0') {
            continue;
        } else {
            bool quoted = format == LOG_JSON || !is_plain(field->text);
            length = quoted ? 1 : 0;
            value[0] = '"';
            length += escape(value + length, sizeof(value) - 3, field->text,
                             strnlen(field->text, LOG_FIELD_BYTES), ESCAPE_JSON);
            if (quoted) {
                value[length++] = '"';
                value[length] = '\0';
            }
        }
        if (used + strlen(field->name) + length + 6 > room) {
            break;
        }
        used += (size_t)sprintf(out + used, format == LOG_JSON ? ",\"%s\":%s" : " %s=%s",
                                field->name, value);
    }
    return used;
}

static void write_line(const struct sink *sink, enum log_level level, const char *message,
                       size_t length, const struct log_field *fields, size_t count)
{
    bool json = sink->format == LOG_JSON;
    char line[LOG_LINE_BYTES + LOG_FIELDS_BYTES + STATUS_BYTES];
    size_t used = 0;
    if (sink == &log_state.main && log_state.status[0] != '\0') {
        used = (size_t)sprintf(line, ERASE_LINE);
    }
    used += open_line(line + used, sizeof(line) - used, sink, level);
    used += escape(line + used, LOG_LINE_BYTES - used - 3, message, length,
                   json ? ESCAPE_JSON : ESCAPE_TEXT);
    if (json) {
        line[used++] = '"';
    }
    used += add_fields(line + used, sizeof(line) - STATUS_BYTES - used - 3, sink->format, fields,
                       count);
    if (json) {
        line[used++] = '}';
    }
    line[used++] = '\n';
    if (sink == &log_state.main) {
        used += (size_t)sprintf(line + used, "%s", log_state.status);
    }
    (void)!write(sink->fd, line, used); /* a failed log cannot be reported */
}

bool log_has_terminal(void)
{
    const struct sink *sink = &log_state.main;
    return !log_state.shares_terminal && sink->format == LOG_TEXT && sink->level >= LOG_INFO &&
           is_terminal(sink->fd);
}

void log_share_terminal(void)
{
    log_state.shares_terminal = true;
}

void log_status(const char *text)
{
    int saved = errno;
    char line[STATUS_BYTES + sizeof(ERASE_LINE)];
    bool shown = log_state.status[0] != '\0';
    (void)snprintf(log_state.status, sizeof(log_state.status), "%s", text == NULL ? "" : text);
    if (shown || log_state.status[0] != '\0') {
        int length = snprintf(line, sizeof(line), ERASE_LINE "%s", log_state.status);
        (void)!write(log_state.main.fd, line, (size_t)length);
    }
    errno = saved;
}

static void report_lost(void)
{
    char message[64];
    int length = snprintf(message, sizeof(message),
                          "%d log lines were lost because the log was blocked", log_state.lost);
    log_state.lost = 0;
    write_line(&log_state.main, LOG_WARN, message, (size_t)length, NULL, 0);
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
    if (log_state.file.fd >= 0 && level <= log_state.file.level) {
        write_line(&log_state.file, level, message, fits, NULL, 0);
    }
    if (level > log_state.main.level) {
        errno = saved;
        return;
    }
    bool writable = may_write();
    if (writable && log_state.lost > 0) {
        report_lost();
        writable = may_write();
    }
    if (writable) {
        write_line(&log_state.main, level, message, fits, NULL, 0);
    } else {
        log_state.lost++;
    }
    errno = saved;
}

void log_event(const char *message, const struct log_field *fields, size_t count)
{
    int saved = errno;
    if (log_state.file.fd >= 0 && log_state.file.level >= LOG_INFO) {
        write_line(&log_state.file, LOG_INFO, message, strnlen(message, LOG_MESSAGE_BYTES), fields,
                   count);
    }
    errno = saved;
}
