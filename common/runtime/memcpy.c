/* SPDX-License-Identifier: MIT */
/* The memcpy of the shipped programs, libraries included, instead of musl's. */
#include <string.h>

#include "common/runtime/move_bytes.h"

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    return move_bytes(to, from, length);
}
