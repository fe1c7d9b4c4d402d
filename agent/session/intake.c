/* SPDX-License-Identifier: MIT */
#include "agent/session/intake.h"

#include <stddef.h>

#include "agent/limits.h"

/* Length, padding and MAC: 5, at most 4 + 16 and 64 bytes. */
#define FRAMING_BYTES 96

/* Message numbers of RFC 4250, section 4.1.2, that a client may send. libssh replies to any other
 * with UNIMPLEMENTED, or disconnects. */
static bool is_known(uint8_t type)
{
    return (type >= 1 && type <= 5) || type == 7 || /* transport; EXT_INFO of RFC 8308 */
           type == 20 || type == 21 ||              /* KEXINIT, NEWKEYS */
           type == 30 ||                            /* the client's key exchange message */
           type == 50 ||                            /* USERAUTH_REQUEST */
           (type >= 80 && type <= 82) ||            /* global requests and replies */
           (type >= 90 && type <= 100);             /* channels */
}

static bool is_chatter(uint8_t type)
{
    return (type >= 2 && type <= 4) || type == 7;
}

void intake_count(struct intake *intake, uint8_t type)
{
    intake->known += is_known(type);
    intake->chatter += is_chatter(type);
}

const char *intake_refusal(const struct intake *intake, bool logged_in)
{
    if (intake->messages - intake->known >= LIMIT_UNKNOWN_MESSAGES) {
        return "too many unknown messages";
    }
    if (logged_in) {
        return NULL;
    }
    if (intake->chatter > LIMIT_LOGIN_CHATTER) {
        return "too many messages without effect before the login";
    }
    if (intake->messages > LIMIT_LOGIN_MESSAGES) {
        return "too many messages before the login";
    }
    if (intake->bytes > LIMIT_LOGIN_BYTES) {
        return "too many bytes before the login";
    }
    return NULL;
}

uint64_t intake_queued(const struct intake *intake, uint64_t messages, uint64_t payload,
                       uint64_t bytes)
{
    uint64_t made =
        payload - intake->sent_payload + FRAMING_BYTES * (messages - intake->sent_messages);
    uint64_t left = bytes - intake->sent_bytes;
    return made > left ? made - left : 0;
}
