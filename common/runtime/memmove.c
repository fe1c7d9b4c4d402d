/* SPDX-License-Identifier: MIT */
/* The memmove of the shipped programs, libraries included, instead of musl's. */
#include <string.h>

#include "common/runtime/move_bytes.h"

void *memmove(void *to, const void *from, size_t length)
{
    return move_bytes(to, from, length);
}
