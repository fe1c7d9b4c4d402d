/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - well-formed UTF-8, as RFC 3629 has it: no overlong forms, no surrogates, nothing above
 * U+10FFFF. Owns nothing; 0 says that there is no such sequence or character.
 */
#ifndef BERTH_UTF8_H
#define BERTH_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed sequence at 'text', of which 'left' bytes may be read. */
size_t utf8_length(const unsigned char *text, size_t left);

/* Writes the character to 'out', which has room for 4 bytes; no NUL. Returns the bytes written. */
size_t utf8_encode(uint32_t point, char *out);

#endif
