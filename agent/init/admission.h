/* SPDX-License-Identifier: MIT */
/*
 * admission.h - decides which connections without a login are served, and which wait.
 *
 * Any client that reaches the port makes the agent fork, exchange keys and use a place. So the
 * agent records for each source address how its connections ended, and what all of them cost:
 *
 *   suspect   its last connections ended without a login, or were more at once than it may have.
 *             Forgotten bit by bit. An address that logged in lately is none, whatever it does.
 *   places    connections that have not logged in have --max-unauthenticated places. One gives way
 *             at once when it is a suspect's and the new one is not, else after a time, which is
 *             short when many wait; a few places last longer (LIMIT_PROTECTED_ONE_IN).
 *   CPU       what connections that never log in have cost is paid back at a fixed rate; while too
 *             much is owed, new ones wait, suspects first.
 *
 * A connection without a place waits. Suspects are served less often, but they are served: in the
 * order in which they came, as places and CPU permit.
 *
 * Part of init. Fixed size, no allocation, no system call; times in ms of the monotonic clock.
 */
#ifndef BERTH_AGENT_INIT_ADMISSION_H
#define BERTH_AGENT_INIT_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/limits.h"
#include "agent/listen.h"

struct source {
    char address[LISTEN_NAME_BYTES]; /* "": free entry */
    int users;                       /* connections that point here; 0: may be replaced */
    int waiting;                     /* of these, those without a place */
    int64_t seen_ms;
    int64_t trusted_ms; /* not a suspect until then */
    int penalty;        /* at penalty_ms; less since */
    int64_t penalty_ms;
    int refused; /* since the last summary */
};

struct admission {
    struct source sources[LIMIT_SOURCES];
    int64_t owed_us; /* at owed_ms; less since */
    int64_t owed_ms;
};

/* The entry of an address. A new one replaces an unused one. Never NULL, since there are more
 * entries than connections. */
struct source *admission_source(struct admission *admission, const char *address, int64_t now_ms);

void source_penalise(struct source *source, int points, int64_t now_ms);
void source_logged_in(struct source *source, int64_t now_ms);
bool source_is_suspect(const struct source *source, int64_t now_ms);
/* The same without regard to recent logins, for the log. */
bool source_is_busy(const struct source *source, int64_t now_ms);

/* After a connection without a login, which used this much CPU time. */
void admission_owe(struct admission *admission, int64_t cpu_us, int64_t now_ms);

/* A connection that uses a place and has not logged in. */
struct place {
    const struct source *source;
    int64_t since_ms;
    bool asked; /* its client has asked to log in */
};

struct admission_question {
    const struct source *source; /* of the new connection */
    const struct place *places;
    int count;
    int most, most_per_address;
    int waiting; /* this one, and those that wait with it */
    int64_t now_ms;
};

struct admission_answer {
    bool start;
    int displaced;      /* place that the new one takes over; -1: a free one */
    const char *reason; /* why it waits */
    int64_t again_ms;   /* when to ask again, if nothing else happens; CLOCK_NEVER */
};

struct admission_answer admission_ask(const struct admission *admission,
                                      const struct admission_question *question);

#endif
