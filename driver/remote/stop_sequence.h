/* SPDX-License-Identifier: MIT */
/*
 * stop_sequence.h - when a job that has to end gets TERM, then KILL, and when the driver gives up.
 *
 * This module only decides what is due; the caller sends the signals. A lost connection may have
 * lost a signal too, so the sequence repeats after stop_sequence_new_connection(). It ends
 * STOP_SEQUENCE_SPARE_MS after the grace period, over all connections, whatever the server does.
 * Times are milliseconds of the monotonic clock, passed in by the caller. Nothing here fails.
 */
#ifndef BERTH_DRIVER_REMOTE_STOP_SEQUENCE_H
#define BERTH_DRIVER_REMOTE_STOP_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#define STOP_SEQUENCE_SPARE_MS 20000

struct stop_sequence {
    bool started;
    int64_t limit_ms; /* when the sequence is over, over all connections; never changes */
    int64_t grace_ms; /* from TERM to the agent's own KILL */
    int64_t kill_ms;
    int64_t give_up_ms;
    bool term_sent, kill_sent; /* over the current connection */
};

enum stop_step { STOP_NOTHING, STOP_TERM, STOP_KILL, STOP_GIVE_UP };

void stop_sequence_init(struct stop_sequence *stop, int64_t grace_ms);
/* Starts the sequence; later calls change nothing. */
void stop_sequence_start(struct stop_sequence *stop, int64_t now_ms);
void stop_sequence_new_connection(struct stop_sequence *stop);
/* What is due now. TERM and KILL are returned once for each connection, GIVE_UP every time. */
enum stop_step stop_sequence_next(struct stop_sequence *stop, int64_t now_ms);
/* Restarts the time from KILL to giving up, within the limit. */
void stop_sequence_extend(struct stop_sequence *stop, int64_t now_ms);
/* The limit; CLOCK_NEVER before the start. */
int64_t stop_sequence_limit_ms(const struct stop_sequence *stop);
/* When stop_sequence_next() has something new; CLOCK_NEVER before the start. */
int64_t stop_sequence_deadline_ms(const struct stop_sequence *stop);

#endif
