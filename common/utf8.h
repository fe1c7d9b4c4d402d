/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 * 0 means that there is no such sequence or character.
 */
#ifndef BERTH_COMMON_UTF8_H
#define BERTH_COMMON_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length of the well-formed sequence at 'text'; 'left' bytes may be read. */
size_t utf8_length(const unsigned char *text, size_t left);

/* The character of a well-formed sequence of 'length' bytes. */
uint32_t utf8_decode(const unsigned char *text, size_t length);

/* Writes the character to 'out', which has room for 4 bytes; no NUL. Returns the bytes written. */
size_t utf8_encode(uint32_t point, char *out);

#endif
