/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line per event, to a descriptor that is stderr unless told otherwise.
 *
 * Text: "berth-agent[1]: warn: cannot accept connection: too many open files, refusing".
 * JSON: {"time":"...","level":"warn","program":"berth-agent","pid":1,"message":"..."}.
 * Each line is one write(2), errno is preserved, control bytes and bytes that are no UTF-8 are
 * escaped, so that a remote name can neither break a line nor colour a terminal. Never pass a
 * secret: nothing here can tell one. Safe after fork (the child reports its own pid); not
 * thread-safe and not for signal handlers.
 */
#ifndef BERTH_LOG_H
#define BERTH_LOG_H

#include <stdbool.h>

enum log_level { LOG_FATAL, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* 'program' must outlive the process. The descriptor is not owned. */
void log_open(const char *program, enum log_level level, enum log_format format, int fd);

/* How long a line may wait for a descriptor that takes none, such as the pipe of a log service that
 * does not answer; then lines are dropped until it does, and their number is told. -1, as it is at
 * first: for ever. A line of up to PIPE_BUF bytes never waits longer. */
void log_wait_at_most(int wait_ms);

/* Parses "debug", "info", "warn" ("warning"), "error", "fatal", "panic" in any case. Returns
 * whether it knew the word. */
bool log_level_parse(const char *text, enum log_level *out_level);
bool log_format_parse(const char *text, enum log_format *out_format);
bool log_enabled(enum log_level level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_fatal(...) log_line(LOG_FATAL, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
