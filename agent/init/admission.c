/* SPDX-License-Identifier: MIT */
#include "agent/init/admission.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"

static int penalty_at(const struct source *source, int64_t now_ms)
{
    int64_t forgotten = (now_ms - source->penalty_ms) / LIMIT_PENALTY_FORGET_MS;
    return forgotten >= source->penalty ? 0 : source->penalty - (int)forgotten;
}

void source_penalise(struct source *source, int points, int64_t now_ms)
{
    int penalty = penalty_at(source, now_ms) + points;
    source->penalty = penalty < LIMIT_PENALTY ? penalty : LIMIT_PENALTY;
    source->penalty_ms = now_ms;
}

void source_logged_in(struct source *source, int64_t now_ms)
{
    source->penalty = 0;
    source->trusted_ms = now_ms + LIMIT_TRUST_MS;
}

bool source_is_busy(const struct source *source, int64_t now_ms)
{
    return penalty_at(source, now_ms) > LIMIT_PENALTY_UNNOTICED;
}

bool source_is_suspect(const struct source *source, int64_t now_ms)
{
    return now_ms >= source->trusted_ms && source_is_busy(source, now_ms);
}

/* Entries without a recent login are replaced first, then those that were seen longest ago. */
static bool is_better_to_replace(const struct source *a, const struct source *b, int64_t now_ms)
{
    bool trusted_a = now_ms < a->trusted_ms;
    bool trusted_b = now_ms < b->trusted_ms;
    return trusted_a != trusted_b ? trusted_b : a->seen_ms < b->seen_ms;
}

struct source *admission_source(struct admission *admission, const char *address, int64_t now_ms)
{
    struct source *room = NULL;
    for (int i = 0; i < LIMIT_SOURCES; i++) {
        struct source *source = &admission->sources[i];
        if (strcmp(source->address, address) == 0) {
            source->seen_ms = now_ms;
            return source;
        }
        if (source->users == 0 &&
            (room == NULL ||
             (room->address[0] != '\0' &&
              (source->address[0] == '\0' || is_better_to_replace(source, room, now_ms))))) {
            room = source;
        }
    }
    *room = (struct source){.seen_ms = now_ms};
    memcpy(room->address, address, strnlen(address, LISTEN_NAME_BYTES - 1));
    if (strcmp(address, LISTEN_CHECK_ADDRESS) == 0) {
        room->trusted_ms = CLOCK_NEVER; /* a check never logs in */
    }
    return room;
}

static int64_t owed_at(const struct admission *admission, int64_t now_ms)
{
    int64_t paid_us = (now_ms - admission->owed_ms) * LIMIT_STRANGERS_CPU_US;
    return paid_us >= admission->owed_us ? 0 : admission->owed_us - paid_us;
}

void admission_owe(struct admission *admission, int64_t cpu_us, int64_t now_ms)
{
    admission->owed_us = owed_at(admission, now_ms) + cpu_us;
    admission->owed_ms = now_ms;
}

/* How long a connection keeps its place, so that all waiting ones have a turn in LIMIT_TURN_MS. */
static int64_t turn_ms(int places, int waiting)
{
    int64_t fair_ms = waiting <= 0 ? INT64_MAX : (int64_t)LIMIT_TURN_MS * places / waiting;
    if (fair_ms > LIMIT_LOGIN_UNDISTURBED_MS) {
        return LIMIT_LOGIN_UNDISTURBED_MS;
    }
    return fair_ms < LIMIT_LOGIN_CROWDED_MS ? LIMIT_LOGIN_CROWDED_MS : fair_ms;
}

/* Whether a place outlasts its turn in a crowd: that of a login on its way and, if the new
 * connection is a suspect's, that of one who is not. */
static bool is_protected(const struct admission_question *question, const struct place *place)
{
    return place->asked || (!source_is_suspect(place->source, question->now_ms) &&
                            source_is_suspect(question->source, question->now_ms));
}

/* From when on a place may be taken away by the new connection. */
static int64_t taken_from_ms(const struct admission_question *question, const struct place *place,
                             int64_t turn, bool protect)
{
    if (source_is_suspect(place->source, question->now_ms) &&
        !source_is_suspect(question->source, question->now_ms)) {
        return question->now_ms;
    }
    bool whole = protect && is_protected(question, place);
    return place->since_ms + (whole ? LIMIT_LOGIN_UNDISTURBED_MS : turn);
}

/* Whether 'a' is the place to take, not 'b': of a suspect rather than of another, without a login
 * on its way rather than with one, then the oldest. */
static bool is_better_to_take(const struct place *a, const struct place *b, int64_t now_ms)
{
    bool suspect_a = source_is_suspect(a->source, now_ms);
    bool suspect_b = source_is_suspect(b->source, now_ms);
    if (suspect_a != suspect_b) {
        return suspect_a;
    }
    return a->asked != b->asked ? b->asked : a->since_ms < b->since_ms;
}

/* The place that gives way, or -1: of the new one's address, or of any. */
static int choose_displaced(const struct admission_question *question, bool of_this_address,
                            int64_t *out_again_ms)
{
    int most = of_this_address ? question->most_per_address : question->most;
    int64_t turn = turn_ms(most, of_this_address ? question->source->waiting : question->waiting);
    int guarded = 0;
    for (int i = 0; i < question->count; i++) {
        const struct place *place = &question->places[i];
        guarded += (!of_this_address || place->source == question->source) &&
                   is_protected(question, place);
    }
    bool protect = guarded <= 1 || guarded <= most / LIMIT_PROTECTED_ONE_IN;
    int chosen = -1;
    *out_again_ms = CLOCK_NEVER;
    for (int i = 0; i < question->count; i++) {
        const struct place *place = &question->places[i];
        if (of_this_address && place->source != question->source) {
            continue;
        }
        int64_t from_ms = taken_from_ms(question, place, turn, protect);
        *out_again_ms = clock_earlier_ms(*out_again_ms, from_ms);
        if (from_ms <= question->now_ms &&
            (chosen < 0 || is_better_to_take(place, &question->places[chosen], question->now_ms))) {
            chosen = i;
        }
    }
    return chosen;
}

struct admission_answer admission_ask(const struct admission *admission,
                                      const struct admission_question *question)
{
    struct admission_answer answer = {.displaced = -1, .again_ms = CLOCK_NEVER};
    int64_t credit_us = source_is_suspect(question->source, question->now_ms)
                            ? LIMIT_SUSPECTS_CREDIT_US
                            : LIMIT_STRANGERS_CREDIT_US;
    int64_t over_us = owed_at(admission, question->now_ms) - credit_us;
    if (over_us > 0) {
        answer.reason = "connections that did not log in have cost too much CPU";
        answer.again_ms = question->now_ms + over_us / LIMIT_STRANGERS_CPU_US + 1;
        return answer;
    }
    int own = 0;
    for (int i = 0; i < question->count; i++) {
        own += question->places[i].source == question->source;
    }
    bool address_full = own >= question->most_per_address;
    if (address_full || question->count >= question->most) {
        answer.displaced = choose_displaced(question, address_full, &answer.again_ms);
        answer.reason = address_full
                            ? "too many connections from this address that have not logged in"
                            : "too many connections that have not logged in";
    }
    answer.start = answer.reason == NULL || answer.displaced >= 0;
    return answer;
}
