/* SPDX-License-Identifier: MIT */
#include "driver/registry/digest.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define SHA256 "sha256:"
#define SHA512 "sha512:"

static bool is_hexadecimal(const char *text, size_t digits)
{
    return strspn(text, "0123456789abcdef") == digits && text[digits] == '\0';
}

bool digest_is_valid(const char *text)
{
    size_t prefix = sizeof(SHA256) - 1;
    return (strncmp(text, SHA256, prefix) == 0 && is_hexadecimal(text + prefix, 64)) ||
           (strncmp(text, SHA512, prefix) == 0 && is_hexadecimal(text + prefix, 128));
}

void digest_of(const void *bytes, size_t length, char out[DIGEST_BYTES])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char text[2 * sizeof(hash) + 1];
    (void)crypto_hash_sha256(hash, bytes, length);
    (void)sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
    (void)snprintf(out, DIGEST_BYTES, SHA256 "%s", text);
}

bool digest_matches(const char *digest, const void *bytes, size_t length)
{
    unsigned char hash[crypto_hash_sha512_BYTES];
    char own[DIGEST_BYTES];
    if (!digest_is_valid(digest)) {
        return false;
    }
    if (strncmp(digest, SHA512, sizeof(SHA512) - 1) == 0) {
        char text[2 * sizeof(hash) + 1];
        (void)crypto_hash_sha512(hash, bytes, length);
        (void)sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
        return strcmp(digest + sizeof(SHA512) - 1, text) == 0;
    }
    digest_of(bytes, length, own);
    return strcmp(digest, own) == 0;
}
