/* SPDX-License-Identifier: MIT */
#include "driver/keys.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define KEY_TYPE          "ssh-ed25519"
#define PUBLIC_BLOB_BYTES (4 + sizeof(KEY_TYPE) - 1 + 4 + KEYS_PUBLIC_BYTES)
/* The private file of one Ed25519 key has 400 bytes and a few; this leaves room. */
#define PRIVATE_BYTES 1024

_Static_assert(KEYS_PUBLIC_BASE64_BYTES ==
                   sodium_base64_ENCODED_LEN(PUBLIC_BLOB_BYTES, sodium_base64_VARIANT_ORIGINAL),
               "room for the public key in base64");

int keys_init(struct error *err)
{
    if (sodium_init() < 0) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot start libsodium; is /dev/urandom there?");
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
}

void keys_public(const unsigned char *seed, unsigned char *out_public)
{
    unsigned char secret[crypto_sign_SECRETKEYBYTES];
    (void)crypto_sign_seed_keypair(out_public, secret, seed); /* cannot fail */
    sodium_memzero(secret, sizeof(secret));
}

/* The strings and numbers of RFC 4251, section 5, one after another. */
struct packer {
    unsigned char *bytes;
    size_t length;
};

static void pack_bytes(struct packer *packer, const void *bytes, size_t length)
{
    memcpy(packer->bytes + packer->length, bytes, length);
    packer->length += length;
}

static void pack_number(struct packer *packer, uint32_t number)
{
    const unsigned char bytes[] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                   (unsigned char)(number >> 8), (unsigned char)number};
    pack_bytes(packer, bytes, sizeof(bytes));
}

static void pack_string(struct packer *packer, const void *bytes, size_t length)
{
    pack_number(packer, (uint32_t)length);
    pack_bytes(packer, bytes, length);
}

static void pack_public_blob(struct packer *packer, const unsigned char *public_key)
{
    pack_string(packer, KEY_TYPE, strlen(KEY_TYPE));
    pack_string(packer, public_key, KEYS_PUBLIC_BYTES);
}

void keys_public_base64(const unsigned char *seed, char out[KEYS_PUBLIC_BASE64_BYTES])
{
    unsigned char public_key[KEYS_PUBLIC_BYTES];
    unsigned char blob[PUBLIC_BLOB_BYTES];
    struct packer packer = {.bytes = blob};
    keys_public(seed, public_key);
    pack_public_blob(&packer, public_key);
    (void)sodium_bin2base64(out, KEYS_PUBLIC_BASE64_BYTES, blob, packer.length,
                            sodium_base64_VARIANT_ORIGINAL);
}

void keys_authorized_line(const unsigned char *seed, char out[KEYS_LINE_BYTES])
{
    char base64[KEYS_PUBLIC_BASE64_BYTES];
    keys_public_base64(seed, base64);
    (void)snprintf(out, KEYS_LINE_BYTES, KEY_TYPE " %s berth", base64);
}

void keys_seed_base64(const unsigned char *seed, char out[KEYS_SEED_BASE64_BYTES])
{
    (void)sodium_bin2base64(out, KEYS_SEED_BASE64_BYTES, seed, KEYS_SEED_BYTES,
                            sodium_base64_VARIANT_ORIGINAL);
}

int keys_seed_parse(const char *base64, unsigned char *out_seed, struct error *err)
{
    unsigned char seed[KEYS_SEED_BYTES];
    size_t length = 0;
    if (sodium_base642bin(seed, sizeof(seed), base64, strlen(base64), NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) < 0 ||
        length != sizeof(seed)) {
        return error_set(err, ERROR_SYSTEM, 0, "a key seed is not the base64 of %d bytes",
                         KEYS_SEED_BYTES);
    }
    memcpy(out_seed, seed, sizeof(seed));
    sodium_memzero(seed, sizeof(seed));
    return 0;
}

/* The section that a passphrase would encrypt: openssh-portable's PROTOCOL.key. */
static void pack_private_section(struct packer *packer, const unsigned char *seed,
                                 const unsigned char *public_key)
{
    size_t start = packer->length;
    pack_number(packer, 0); /* the two check numbers only have to be equal */
    pack_number(packer, 0);
    pack_public_blob(packer, public_key);
    pack_number(packer, KEYS_SEED_BYTES + KEYS_PUBLIC_BYTES);
    pack_bytes(packer, seed, KEYS_SEED_BYTES);
    pack_bytes(packer, public_key, KEYS_PUBLIC_BYTES);
    pack_string(packer, "", 0); /* comment */
    for (unsigned char pad = 1; (packer->length - start) % 8 != 0; pad++) {
        pack_bytes(packer, &pad, 1);
    }
}

static void pack_private_key(struct packer *packer, const unsigned char *seed)
{
    unsigned char public_key[KEYS_PUBLIC_BYTES];
    keys_public(seed, public_key);
    pack_bytes(packer, "openssh-key-v1", sizeof("openssh-key-v1"));
    pack_string(packer, "none", 4); /* cipher */
    pack_string(packer, "none", 4); /* key derivation */
    pack_string(packer, "", 0);     /* its options */
    pack_number(packer, 1);
    pack_number(packer, PUBLIC_BLOB_BYTES);
    pack_public_blob(packer, public_key);
    /* The section's length goes before it, and is known only after it. */
    size_t length_at = packer->length;
    pack_number(packer, 0);
    pack_private_section(packer, seed, public_key);
    struct packer length = {.bytes = packer->bytes + length_at};
    pack_number(&length, (uint32_t)(packer->length - length_at - 4));
}

int keys_import_private(const unsigned char *seed, ssh_key *out_key, struct error *err)
{
    unsigned char *binary = sodium_malloc(PRIVATE_BYTES);
    char *text = sodium_malloc(2 * PRIVATE_BYTES);
    int result = SSH_ERROR;
    if (binary != NULL && text != NULL) {
        struct packer packer = {.bytes = binary};
        pack_private_key(&packer, seed);
        int head = snprintf(text, PRIVATE_BYTES, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
        (void)sodium_bin2base64(text + head, PRIVATE_BYTES, binary, packer.length,
                                sodium_base64_VARIANT_ORIGINAL);
        size_t length = strlen(text);
        (void)snprintf(text + length, 2 * PRIVATE_BYTES - length,
                       "\n-----END OPENSSH PRIVATE KEY-----\n");
        result = ssh_pki_import_privkey_base64(text, NULL, NULL, NULL, out_key);
    }
    sodium_free(binary);
    sodium_free(text);
    return result == SSH_OK ? 0 : error_set(err, ERROR_SYSTEM, 0, "cannot load the job's key");
}

int keys_import_public(const unsigned char *seed, ssh_key *out_key, struct error *err)
{
    char base64[KEYS_PUBLIC_BASE64_BYTES];
    keys_public_base64(seed, base64);
    if (ssh_pki_import_pubkey_base64(base64, SSH_KEYTYPE_ED25519, out_key) != SSH_OK) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot load the task's host key");
    }
    return 0;
}
