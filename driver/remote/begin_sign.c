/* SPDX-License-Identifier: MIT */
#include "driver/remote/begin_sign.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { STDOUT, STDERR };

void begin_sign_init(struct begin_sign *sign, enum begin_sign_stage first)
{
    *sign = (struct begin_sign){.first = first, .awaited = first};
    for (int i = 0; i < 2; i++) {
        unsigned char random[(BEGIN_SIGN_HALF_BYTES - 1) / 2];
        randombytes_buf(random, sizeof(random));
        (void)sodium_bin2hex(sign->halves[i], sizeof(sign->halves[i]), random, sizeof(random));
    }
}

/* The two signs have the same halves in different order. */
static const char *half(const struct begin_sign *sign, enum begin_sign_stage stage, int which)
{
    return sign->halves[stage == BEGIN_SIGN_READY ? which : 1 - which];
}

int begin_sign_append(const struct begin_sign *sign, enum begin_sign_stage stage,
                      struct buffer *text)
{
    /* 'command' bypasses a shell function named printf. */
    return buffer_printf(text, "command printf %%s %s %s", half(sign, stage, 0),
                         half(sign, stage, 1));
}

bool begin_sign_reads_input(const struct begin_sign *sign)
{
    return sign->awaited > sign->first;
}

static void spell(const struct begin_sign *sign, char out[BEGIN_SIGN_BYTES + 1])
{
    (void)snprintf(out, BEGIN_SIGN_BYTES + 1, "%s%s", half(sign, sign->awaited, 0),
                   half(sign, sign->awaited, 1));
}

/* The longest end of the first 'length' bytes that is also a beginning of the text. */
static size_t border(const char *text, size_t length)
{
    size_t size = length - 1;
    while (size > 0 && memcmp(text, text + length - size, size) != 0) {
        size--;
    }
    return size;
}

/* Matches one more byte. False: the sign does not go on with it. */
static bool match(struct begin_sign *sign, const char *text, char byte)
{
    if (byte != text[sign->matched]) {
        size_t kept = border(text, sign->matched);
        sign->owed_from = 0;
        sign->owed = sign->matched - kept;
        sign->matched = kept;
        return false;
    }
    if (++sign->matched == BEGIN_SIGN_BYTES) {
        sign->matched = 0;
        sign->awaited++;
    }
    return true;
}

/* Writes the bytes that only looked like the start of a sign. Returns whether all were written. */
static bool pay(struct begin_sign *sign, struct output *output)
{
    char text[BEGIN_SIGN_BYTES + 1];
    spell(sign, text);
    size_t taken = output_write(output, text + sign->owed_from, sign->owed);
    sign->owed_from += taken;
    sign->owed -= taken;
    return sign->owed == 0;
}

/* Takes bytes while a sign is awaited. Returns how many; 0: standard error is blocked. */
static size_t look(struct begin_sign *sign, const char *bytes, size_t length,
                   struct output *stderr_output)
{
    char text[BEGIN_SIGN_BYTES + 1];
    spell(sign, text);
    if (sign->owed > 0 && !pay(sign, stderr_output)) {
        return 0;
    }
    if (sign->matched == 0) {
        const char *start = memchr(bytes, text[0], length);
        size_t before = start == NULL ? length : (size_t)(start - bytes);
        if (before > 0) {
            return output_write(stderr_output, bytes, before);
        }
    }
    size_t taken = 0;
    enum begin_sign_stage awaited = sign->awaited;
    while (taken < length && sign->awaited == awaited && match(sign, text, bytes[taken])) {
        taken++;
    }
    return taken;
}

size_t begin_sign_take(struct begin_sign *sign, const char *bytes, size_t length,
                       struct output outputs[2], int *out_blocked)
{
    size_t done = 0;
    while (done < length && sign->awaited != BEGIN_SIGN_SEEN) {
        size_t taken = look(sign, bytes + done, length - done, &outputs[STDERR]);
        done += taken;
        if (taken == 0 && outputs[STDERR].blocked) {
            *out_blocked = STDERR;
            return done;
        }
    }
    if (done < length) {
        done += output_write(&outputs[STDOUT], bytes + done, length - done);
        *out_blocked = STDOUT;
    }
    return done;
}

bool begin_sign_end(struct begin_sign *sign, struct output outputs[2])
{
    if (sign->awaited != BEGIN_SIGN_SEEN && sign->owed == 0) {
        sign->owed_from = 0;
        sign->owed = sign->matched;
        sign->matched = 0;
    }
    if (sign->owed > 0) {
        (void)pay(sign, &outputs[STDERR]); /* as much as can be written at once */
    }
    return sign->awaited == BEGIN_SIGN_SEEN;
}
