/* SPDX-License-Identifier: MIT */
#include "driver/record/keys.h"

#include <sodium.h>
#include <stdio.h>

int keys_init(struct error *err)
{
    if (sodium_init() < 0) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "cannot initialise libsodium; check that /dev/urandom exists");
    }
    return 0;
}

struct keys *keys_new(void)
{
    struct keys *keys = sodium_malloc(sizeof(*keys));
    if (keys != NULL) {
        sodium_memzero(keys, sizeof(*keys));
    }
    return keys;
}

void keys_free(struct keys *keys)
{
    sodium_free(keys);
}

void keys_generate(struct keys *keys)
{
    randombytes_buf(keys->user_seed, sizeof(keys->user_seed));
    randombytes_buf(keys->host_seed, sizeof(keys->host_seed));
    randombytes_buf(keys->helper_seed, sizeof(keys->helper_seed));
}

void keys_authorized_line(const unsigned char *seed, char out[KEYS_LINE_BYTES])
{
    char base64[ED25519_PUBLIC_BASE64_BYTES];
    ed25519_public_base64(seed, base64);
    (void)snprintf(out, KEYS_LINE_BYTES, "ssh-ed25519 %s berth", base64);
}
