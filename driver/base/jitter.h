/* SPDX-License-Identifier: MIT */
/*
 * jitter.h - pauses of which no two are alike, so that processes that start together drift apart.
 */
#ifndef BERTH_DRIVER_BASE_JITTER_H
#define BERTH_DRIVER_BASE_JITTER_H

#include <sodium.h>
#include <stdint.h>

/* Up to a quarter more or less. */
static inline int64_t jitter(int64_t pause_ms)
{
    return pause_ms - pause_ms / 4 + (int64_t)randombytes_uniform((uint32_t)(pause_ms / 2) + 1);
}

#endif
