/* SPDX-License-Identifier: MIT */
/*
 * begin_sign.h - distinguishes the start of a command from the start of the shell that runs it.
 *
 * A login shell that exits in its startup files exits with a status of its own, often 0. So the
 * shell text that the driver sends prints two signs: READY before it reads its input, BEGUN before
 * the first line of the command. A sign is made of two random halves which only the shell's
 * 'printf' joins, so neither the text nor a trace or an echo of it contains a sign.
 *
 * begin_sign_take() removes the signs from standard output, wherever they are cut; output before
 * the last one is not the command's and goes to standard error. The struct is the caller's,
 * allocates nothing and outlives connections.
 */
#ifndef BERTH_DRIVER_REMOTE_BEGIN_SIGN_H
#define BERTH_DRIVER_REMOTE_BEGIN_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "driver/remote/output.h"

#define BEGIN_SIGN_HALF_BYTES 17 /* 16 hexadecimal digits, with the NUL */
#define BEGIN_SIGN_BYTES      (2 * (BEGIN_SIGN_HALF_BYTES - 1))

enum begin_sign_stage { BEGIN_SIGN_READY, BEGIN_SIGN_BEGUN, BEGIN_SIGN_SEEN };

struct begin_sign {
    char halves[2][BEGIN_SIGN_HALF_BYTES];
    enum begin_sign_stage first;   /* the first one that the shell text prints */
    enum begin_sign_stage awaited; /* BEGIN_SIGN_SEEN: all have come */
    size_t matched;                /* how many of its bytes the last output matched */
    size_t owed_from, owed; /* bytes that matched, but were not a sign: still to be written */
};

void begin_sign_init(struct begin_sign *sign, enum begin_sign_stage first);

/* Appends the shell command that prints the sign. -1: the buffer's ceiling. */
int begin_sign_append(const struct begin_sign *sign, enum begin_sign_stage stage,
                      struct buffer *text) __attribute__((warn_unused_result));

/* Whether the shell text runs and reads its input. */
bool begin_sign_reads_input(const struct begin_sign *sign);

/* Writes bytes of standard output; outputs[0] is standard output, outputs[1] standard error.
 * Returns how many were taken: less than all when '*out_blocked' of the two takes no more. */
size_t begin_sign_take(struct begin_sign *sign, const char *bytes, size_t length,
                       struct output outputs[2], int *out_blocked);

/* At the end of the stream: writes the bytes that only looked like the start of a sign. Returns
 * whether all signs came. */
bool begin_sign_end(struct begin_sign *sign, struct output outputs[2]);

#endif
