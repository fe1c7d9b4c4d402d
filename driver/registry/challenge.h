/* SPDX-License-Identifier: MIT */
/*
 * challenge.h - the header WWW-Authenticate of a registry. Pure text.
 *
 * RFC 9110, 11.3 and 11.6.1; Docker Registry v2 token authentication ("Bearer" with realm and
 * service). Of several challenges Bearer is chosen, then Basic; others are ignored. The scope that
 * the registry names is not read: Berth asks for what it needs.
 */
#ifndef BERTH_DRIVER_REGISTRY_CHALLENGE_H
#define BERTH_DRIVER_REGISTRY_CHALLENGE_H

#define CHALLENGE_HEADER_BYTES 4096
#define CHALLENGE_REALM_BYTES  1024

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_scheme scheme;
    char realm[CHALLENGE_REALM_BYTES]; /* a URL for Bearer */
    char service[256];                 /* empty: not named */
};

/* Challenges with a parameter that is too long or not well-formed are ignored. */
void challenge_parse(const char *header, struct challenge *out_challenge);

#endif
