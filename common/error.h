/* SPDX-License-Identifier: MIT */
/*
 * error.h - how a function of Berth says that it failed.
 *
 * A function that can fail returns -1 and fills the caller's struct error; success leaves it
 * alone. The message sits inside the struct, so reporting works when memory is gone. The layer
 * that first sees the failure calls error_set(); each layer above adds what it was doing with
 * error_wrap(), once. Nothing here logs: the loop, main() or the stage prints the message.
 * Messages are lower case, without a full stop, what failed first, names in single quotes, and
 * where there is one, what to do next after a semicolon.
 */
#ifndef BERTH_ERROR_H
#define BERTH_ERROR_H

#define ERROR_MESSAGE_BYTES 1024

enum error_kind {
    ERROR_NONE,
    ERROR_USAGE,  /* the person's command line or configuration: retrying cannot help */
    ERROR_BUILD,  /* the job itself failed */
    ERROR_SYSTEM, /* the machine, the network or an API: a retry may help */
    ERROR_PEER,   /* the other side broke the protocol or refused us */
    ERROR_LIMIT,  /* one of our ceilings was reached */
};

struct error {
    enum error_kind kind;
    int errnum; /* errno of the failed call, or 0 */
    char message[ERROR_MESSAGE_BYTES];
};

/* Fills 'err'; with errnum other than 0 its text is appended. Returns -1, so that a caller can
 * write 'return error_set(...)'. 'err' may be NULL. */
int error_set(struct error *err, enum error_kind kind, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "FORMAT: " before the message that is already there. Returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
