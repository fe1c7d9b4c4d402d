/* SPDX-License-Identifier: MIT */
#include "agent/session/session_state.h"

#include "common/clock.h"
#include "common/log.h"

void session_set_state(struct session *session, enum session_state state)
{
    static const char *const names[] = {
        [SESSION_KEY_EXCHANGE] = "key exchange",
        [SESSION_LOGIN] = "login",
        [SESSION_OPEN] = "open",
        [SESSION_CLOSING] = "closing",
        [SESSION_CLOSED] = "closed",
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == SESSION_STATES, "a name for every state");
    if (state <= session->state) {
        return; /* states only move forward */
    }
    log_debug("%s: %s -> %s", session->setup->peer, names[session->state], names[state]);
    session->state = state;
    if (state == SESSION_OPEN) {
        session->deadline_ms = CLOCK_NEVER;
    } else if (state == SESSION_CLOSING) {
        session->deadline_ms = clock_deadline_ms(LIMIT_FLUSH_MS);
    }
}

void session_chunk_used(struct session *session)
{
    session->quiet_ms = clock_deadline_ms(LIMIT_QUIET_MS);
}
