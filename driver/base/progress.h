/* SPDX-License-Identifier: MIT */
/*
 * progress.h - shows how far a long transfer is: as a bar below the log on a terminal (log.h), else
 * as a line of the log every 10 s. A log of JSON or above level info shows no bar,
 * nor do processes that share a terminal.
 *
 * The caller owns the struct and calls progress_end() before it logs the result; one transfer at a
 * time. Sizes are bytes. Cannot fail.
 */
#ifndef BERTH_DRIVER_BASE_PROGRESS_H
#define BERTH_DRIVER_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_TEXT_BYTES 256

struct progress {
    const char *what; /* "pulling 'node:22'"; the bar does without it */
    int64_t next_ms;  /* when it is shown again */
    bool on_terminal;
};

struct progress_state {
    int64_t bytes, of_bytes; /* of_bytes: as far as it is known */
    double part;             /* of the whole, 0 to 1 */
    const char *note;        /* such as "3 of 7 layers"; NULL: none */
};

void progress_begin(struct progress *progress, const char *what);
/* Shows it unless it was shown a moment ago. */
void progress_update(struct progress *progress, const struct progress_state *state);
/* Removes the bar. */
void progress_end(struct progress *progress);

/* The bar on a terminal of so many columns, of which it leaves the last one free; without room for
 * one the figures alone. Exported for its unit test. */
void progress_bar(const struct progress_state *state, size_t columns,
                  char out[PROGRESS_TEXT_BYTES]);

#endif
