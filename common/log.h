/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line per event, to a descriptor (stderr by default) and optionally to a file
 * (log_add_file()), each with its own level and format.
 *
 * Text: "berth-agent[1]: warn: cannot accept connection: too many open files, refusing".
 * Text in a file begins with the time, in the form of JSON.
 * After log_prefix(): "berth: warning: cannot accept connection: too many open files, refusing".
 * JSON: {"time":"...","level":"warn","program":"berth-agent","pid":1,"message":"..."}.
 * Each line is one write(2), errno is preserved, and the message is escaped (escape.h). Secrets are
 * not recognised: never pass one. Safe after fork (the child logs its own pid); not thread-safe,
 * not for signal handlers.
 */
#ifndef BERTH_COMMON_LOG_H
#define BERTH_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/nearest.h"

enum log_level { LOG_FATAL, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* 'program' must outlive the process. The descriptor is not owned. Stops logging to the file
 * of log_add_file(). */
void log_open(const char *program, enum log_level level, enum log_format format, int fd);
/* Also writes these lines and those of log_event() to a file; the descriptor is not owned. */
void log_add_file(enum log_level level, enum log_format format, int fd);

/* From now on text to log_open()'s descriptor begins with "PREFIX: " and, unless the level is info,
 * the level in plain words, instead of program, PID and level: for people, who read one log.
 * 'prefix' must outlive the process. */
void log_prefix(const char *prefix);

/* Whether to use colours on this descriptor: a terminal that is not "dumb", without NO_COLOR. */
bool log_wants_colour(int fd);
/* Colours the levels error and warn in lines of text to log_open()'s descriptor; off at first. */
void log_colour(bool coloured);

/* Whether log_open()'s descriptor is a terminal on which log_status() can work: text, level info,
 * not "dumb". */
bool log_has_terminal(void);
/* From now on it is none for log_status(): other processes write to it at the same time. */
void log_share_terminal(void);
/* Shows one line below the log, such as a progress bar, until the next call; lines of the log
 * appear above it. The text has no control characters and is shorter than the terminal's line; it
 * is cut to 512 bytes. NULL removes it. Only if log_has_terminal(). */
void log_status(const char *text);

/* How long a line may wait for a blocked descriptor, such as a log pipe. Then lines are dropped
 * until it is writable, and their number is logged. -1 (the default): for ever. Holds for lines of
 * up to PIPE_BUF bytes. */
void log_wait_at_most(int wait_ms);

/* Parses "debug", "info", "warn" ("warning"), "error", "fatal", "panic" in any case. False:
 * unknown. */
bool log_level_parse(const char *text, enum log_level *out_level);
/* "text" (in the Fargate driver "text-simple") and "json". */
bool log_format_parse(const char *text, enum log_format *out_format);
/* For values that the two above do not know. */
struct nearest log_level_nearest(const char *text);
struct nearest log_format_nearest(const char *text);
bool log_enabled(enum log_level level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A field of an event: " name=value" in text, a member in JSON. */
struct log_field {
    const char *name;
    const char *text; /* NULL: 'number' */
    double number;
};

/* Logs an event at level info, to the file alone. Fields with empty text are omitted. */
void log_event(const char *message, const struct log_field *fields, size_t count);

#define log_fatal(...) log_line(LOG_FATAL, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
