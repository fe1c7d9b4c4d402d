/* SPDX-License-Identifier: MIT */
/*
 * error.h - how a function reports that it failed.
 *
 * A function that can fail returns -1 and fills the caller's struct error; success leaves it
 * untouched. The texts are inside the struct, so reporting works without memory. The layer that
 * first sees the failure calls error_set(), and error_hint() if the user can do something about
 * it; each layer above adds what it was doing with error_wrap(), once. Nothing here logs: the
 * loop, main() or the stage prints the message and the hint (error_text()).
 * Messages are lower case, without a full stop, what failed first, names in single quotes. A hint
 * says what to do next: "set [Fargate] Region".
 */
#ifndef BERTH_COMMON_ERROR_H
#define BERTH_COMMON_ERROR_H

#define ERROR_MESSAGE_BYTES 1024
#define ERROR_HINT_BYTES    512
#define ERROR_TEXT_BYTES    (ERROR_MESSAGE_BYTES + ERROR_HINT_BYTES + 2)

enum error_kind {
    ERROR_NONE,
    ERROR_USAGE,  /* the command line or the configuration is wrong: a retry cannot help */
    ERROR_BUILD,  /* the job itself failed */
    ERROR_SYSTEM, /* the machine, the network or an API failed: a retry may help */
    ERROR_PEER,   /* the other side broke the protocol or refused the request */
    ERROR_LIMIT,  /* one of Berth's own limits was reached */
    ERROR_OPTION, /* as ERROR_USAGE, of the driver: an option of its command line is wrong */
};

struct error {
    enum error_kind kind;
    int errnum; /* errno of the failed call, or 0 */
    char message[ERROR_MESSAGE_BYTES];
    char hint[ERROR_HINT_BYTES]; /* empty: none */
};

/* Fills 'err', without a hint; if errnum is not 0, its text is appended. Returns -1, so that a
 * caller can write 'return error_set(...)'. 'err' may be NULL, here and below. */
int error_set(struct error *err, enum error_kind kind, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Sets the hint of an error that is already filled. Returns -1. */
int error_hint(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "FORMAT: " in front of the message; the hint stays. Returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "MESSAGE; HINT", or the message alone, for one line of a log. Returns 'out'. */
const char *error_text(const struct error *err, char out[ERROR_TEXT_BYTES]);

#endif
