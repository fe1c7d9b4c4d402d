/* SPDX-License-Identifier: MIT */
/* Every function loads all that it moves before it stores any of it; the loops rely on the order
 * of their steps as well. */
#include "common/runtime/move_bytes.h"

#include <stdint.h>
#include <string.h>

/* One unaligned load or store each, of any type of object. */
typedef uint8_t vector __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t word __attribute__((aligned(1), may_alias));
typedef uint32_t half __attribute__((aligned(1), may_alias));
typedef uint16_t quarter __attribute__((aligned(1), may_alias));

#define STEP (4 * sizeof(vector))

struct step {
    vector v[4];
};

static inline struct step load_step(const unsigned char *from)
{
    const vector *v = (const vector *)from;
    return (struct step){{v[0], v[1], v[2], v[3]}};
}

static inline void store_step(unsigned char *to, struct step step)
{
    vector *v = (vector *)to;
    v[0] = step.v[0];
    v[1] = step.v[1];
    v[2] = step.v[2];
    v[3] = step.v[3];
}

/* The first and the last 'sizeof(type)' bytes, which meet or overlap in the middle. */
#define MOVE_ENDS(type, to, from, length)                              \
    do {                                                               \
        type first = *(const type *)(from);                            \
        type last = *(const type *)((from) + (length) - sizeof(type)); \
        *(type *)(to) = first;                                         \
        *(type *)((to) + (length) - sizeof(type)) = last;              \
    } while (0)

static void move_short(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length >= 2 * sizeof(vector)) {
        vector second = ((const vector *)from)[1];
        vector last_but_one = *(const vector *)(from + length - 2 * sizeof(vector));
        MOVE_ENDS(vector, to, from, length);
        ((vector *)to)[1] = second;
        *(vector *)(to + length - 2 * sizeof(vector)) = last_but_one;
    } else if (length >= sizeof(vector)) {
        MOVE_ENDS(vector, to, from, length);
    } else if (length >= sizeof(word)) {
        MOVE_ENDS(word, to, from, length);
    } else if (length >= sizeof(half)) {
        MOVE_ENDS(half, to, from, length);
    } else if (length >= sizeof(quarter)) {
        MOVE_ENDS(quarter, to, from, length);
    } else if (length == 1) {
        *to = *from;
    }
}

/* 'to' lies before 'from': no step stores what a later one loads, but the last bytes, which are
 * loaded first. */
static void move_forwards(unsigned char *to, const unsigned char *from, size_t length)
{
    struct step last = load_step(from + length - STEP);
    unsigned char *end = to + length - STEP;
    for (; to < end; to += STEP, from += STEP) {
        store_step(to, load_step(from));
    }
    store_step(end, last);
}

/* The mirror image. */
static void move_backwards(unsigned char *to, const unsigned char *from, size_t length)
{
    struct step first = load_step(from);
    for (; length > STEP; length -= STEP) {
        store_step(to + length - STEP, load_step(from + length - STEP));
    }
    store_step(to, first);
}

void *move_bytes(void *to, const void *from, size_t length)
{
    if (length < STEP) {
        move_short(to, from, length);
    } else if ((uintptr_t)to - (uintptr_t)from >= length) {
        move_forwards(to, from, length); /* before it, or not overlapping at all */
    } else {
        move_backwards(to, from, length);
    }
    return to;
}
