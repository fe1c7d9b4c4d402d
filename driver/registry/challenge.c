/* SPDX-License-Identifier: MIT */
#include "driver/registry/challenge.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define TOKEN                                                        \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
    "!#$%&'*+-.^_`|~"
#define BLANK " \t"

static size_t token_length(const char *at)
{
    return strspn(at, TOKEN);
}

static bool same_token(const char *at, size_t length, const char *word)
{
    return strlen(word) == length && strncasecmp(at, word, length) == 0;
}

/* Reads a quoted string or a token into 'out'; control characters and what does not fit make it
 * fail. Returns what follows, or NULL. */
static const char *read_value(const char *at, char *out, size_t room)
{
    size_t used = 0;
    bool quoted = *at == '"';
    size_t plain = quoted ? 0 : token_length(at);
    const char *end = at + plain;
    for (at += quoted; quoted ? *at != '"' : at < end; at++) {
        if (quoted && *at == '\\') {
            at++;
        }
        if ((unsigned char)*at < ' ' || *at == 0x7f || used + 1 >= room) {
            return NULL;
        }
        out[used++] = *at;
    }
    out[used] = '\0';
    return quoted ? at + 1 : plain > 0 ? at : NULL;
}

/* One "name = value" of a challenge. Returns what follows; NULL: it is not well-formed. */
static const char *read_parameter(const char *at, struct challenge *challenge)
{
    char other[CHALLENGE_REALM_BYTES];
    size_t length = token_length(at);
    const char *name = at;
    at += length;
    at += strspn(at, BLANK);
    if (length == 0 || *at != '=') {
        return NULL;
    }
    at++;
    at += strspn(at, BLANK);
    if (same_token(name, length, "realm")) {
        return read_value(at, challenge->realm, sizeof(challenge->realm));
    }
    if (same_token(name, length, "service")) {
        return read_value(at, challenge->service, sizeof(challenge->service));
    }
    return read_value(at, other, sizeof(other));
}

/* Whether "scheme SP" begins here, and not "name=value" of the challenge before. */
static bool begins_challenge(const char *at)
{
    size_t length = token_length(at);
    const char *next = at + length;
    next += strspn(next, BLANK);
    return length > 0 && *next != '=';
}

/* The parameters of one challenge, up to the next one. */
static const char *read_parameters(const char *at, struct challenge *challenge, bool *valid)
{
    *valid = true;
    for (;;) {
        at += strspn(at, BLANK ",");
        if (*at == '\0' || begins_challenge(at)) {
            return at;
        }
        at = read_parameter(at, challenge);
        if (at == NULL) {
            *valid = false;
            return NULL; /* where the next one begins is not known */
        }
        at += strspn(at, BLANK);
        if (*at != ',' && *at != '\0') {
            *valid = false;
            return NULL;
        }
    }
}

void challenge_parse(const char *header, struct challenge *out_challenge)
{
    *out_challenge = (struct challenge){.scheme = CHALLENGE_NONE};
    const char *at = header + strspn(header, BLANK ",");
    while (at != NULL && *at != '\0' && begins_challenge(at)) {
        struct challenge one = {.scheme = CHALLENGE_NONE};
        bool valid = false;
        size_t length = token_length(at);
        if (same_token(at, length, "Bearer")) {
            one.scheme = CHALLENGE_BEARER;
        } else if (same_token(at, length, "Basic")) {
            one.scheme = CHALLENGE_BASIC;
        }
        at = read_parameters(at + length, &one, &valid);
        valid = valid && (one.scheme != CHALLENGE_BEARER || one.realm[0] != '\0');
        if (valid && one.scheme > out_challenge->scheme) {
            *out_challenge = one;
        }
    }
}
