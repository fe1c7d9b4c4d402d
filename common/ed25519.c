/* SPDX-License-Identifier: MIT */
#include "common/ed25519.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define KEY_TYPE          "ssh-ed25519"
#define PUBLIC_BLOB_BYTES (4 + sizeof(KEY_TYPE) - 1 + 4 + ED25519_PUBLIC_BYTES)
/* A private key file has little more than 400 bytes. */
#define PRIVATE_BYTES 1024

_Static_assert(ED25519_PUBLIC_BASE64_BYTES ==
                   sodium_base64_ENCODED_LEN(PUBLIC_BLOB_BYTES, sodium_base64_VARIANT_ORIGINAL),
               "room for the public key in base64");

void ed25519_public(const unsigned char *seed, unsigned char *out_public)
{
    unsigned char secret[crypto_sign_SECRETKEYBYTES];
    (void)crypto_sign_seed_keypair(out_public, secret, seed); /* cannot fail */
    sodium_memzero(secret, sizeof(secret));
}

/* Writes the strings and numbers of RFC 4251, section 5. */
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
    pack_string(packer, public_key, ED25519_PUBLIC_BYTES);
}

void ed25519_public_base64(const unsigned char *seed, char out[ED25519_PUBLIC_BASE64_BYTES])
{
    unsigned char public_key[ED25519_PUBLIC_BYTES];
    unsigned char blob[PUBLIC_BLOB_BYTES];
    struct packer packer = {.bytes = blob};
    ed25519_public(seed, public_key);
    pack_public_blob(&packer, public_key);
    (void)sodium_bin2base64(out, ED25519_PUBLIC_BASE64_BYTES, blob, packer.length,
                            sodium_base64_VARIANT_ORIGINAL);
}

void ed25519_seed_base64(const unsigned char *seed, char out[ED25519_SEED_BASE64_BYTES])
{
    (void)sodium_bin2base64(out, ED25519_SEED_BASE64_BYTES, seed, ED25519_SEED_BYTES,
                            sodium_base64_VARIANT_ORIGINAL);
}

int ed25519_seed_parse(const char *base64, unsigned char *out_seed, struct error *err)
{
    unsigned char seed[ED25519_SEED_BYTES];
    size_t length = 0;
    if (sodium_base642bin(seed, sizeof(seed), base64, strlen(base64), NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) < 0 ||
        length != sizeof(seed)) {
        return error_set(err, ERROR_USAGE, 0, "the seed is not base64 of %d bytes",
                         ED25519_SEED_BYTES);
    }
    memcpy(out_seed, seed, sizeof(seed));
    sodium_memzero(seed, sizeof(seed));
    return 0;
}

/* The section that a passphrase would encrypt (openssh-portable, PROTOCOL.key). */
static void pack_private_section(struct packer *packer, const unsigned char *seed,
                                 const unsigned char *public_key)
{
    size_t start = packer->length;
    pack_number(packer, 0); /* the two check numbers must be equal */
    pack_number(packer, 0);
    pack_public_blob(packer, public_key);
    pack_number(packer, ED25519_SEED_BYTES + ED25519_PUBLIC_BYTES);
    pack_bytes(packer, seed, ED25519_SEED_BYTES);
    pack_bytes(packer, public_key, ED25519_PUBLIC_BYTES);
    pack_string(packer, "", 0); /* comment */
    for (unsigned char pad = 1; (packer->length - start) % 8 != 0; pad++) {
        pack_bytes(packer, &pad, 1);
    }
}

static void pack_private_key(struct packer *packer, const unsigned char *seed)
{
    unsigned char public_key[ED25519_PUBLIC_BYTES];
    ed25519_public(seed, public_key);
    pack_bytes(packer, "openssh-key-v1", sizeof("openssh-key-v1"));
    pack_string(packer, "none", 4); /* cipher */
    pack_string(packer, "none", 4); /* key derivation */
    pack_string(packer, "", 0);     /* its options */
    pack_number(packer, 1);
    pack_number(packer, PUBLIC_BLOB_BYTES);
    pack_public_blob(packer, public_key);
    /* The length precedes the section, but is known after it. */
    size_t length_at = packer->length;
    pack_number(packer, 0);
    pack_private_section(packer, seed, public_key);
    struct packer length = {.bytes = packer->bytes + length_at};
    pack_number(&length, (uint32_t)(packer->length - length_at - 4));
}

int ed25519_import_private(const unsigned char *seed, ssh_key *out_key, struct error *err)
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
    return result == SSH_OK ? 0 : error_set(err, ERROR_SYSTEM, 0, "cannot load a private key");
}

int ed25519_import_public(const unsigned char *seed, ssh_key *out_key, struct error *err)
{
    char base64[ED25519_PUBLIC_BASE64_BYTES];
    ed25519_public_base64(seed, base64);
    if (ssh_pki_import_pubkey_base64(base64, SSH_KEYTYPE_ED25519, out_key) != SSH_OK) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot load a public key");
    }
    return 0;
}
