/* SPDX-License-Identifier: MIT */
#include "agent/session/authorized_keys.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/limits.h"
#include "common/log.h"
#include "common/ssh_fields.h"

struct authorized {
    size_t count;
    ssh_key keys[LIMIT_AUTHORIZED_KEYS];
};

void authorized_free(struct authorized *keys)
{
    for (size_t i = 0; keys != NULL && i < keys->count; i++) {
        ssh_key_free(keys->keys[i]);
    }
    free(keys);
}

size_t authorized_count(const struct authorized *keys)
{
    return keys->count;
}

bool authorized_contains(const struct authorized *keys, ssh_key key)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (ssh_key_cmp(keys->keys[i], key, SSH_KEY_CMP_PUBLIC) == 0) {
            return true;
        }
    }
    return false;
}

/* Bits of the modulus in an RSA key blob: type, e, n (RFC 4253, section 6.6), without leading
 * zeros; 0: malformed. */
static size_t rsa_bits(const char *base64)
{
    unsigned char blob[LIMIT_AUTHORIZED_KEY_BYTES];
    size_t blob_length = 0;
    size_t length = 0;
    if (sodium_base642bin(blob, sizeof(blob), base64, strlen(base64), NULL, &blob_length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) < 0) {
        return 0;
    }
    struct ssh_fields fields = {.next = blob, .left = blob_length};
    const unsigned char *field = NULL;
    for (int i = 0; i < 3; i++) {
        field = ssh_fields_string(&fields, &length);
        if (field == NULL) {
            return 0;
        }
    }
    while (length > 0 && *field == 0) {
        field++;
        length--;
    }
    size_t bits = length * 8;
    for (unsigned bit = 0x80; length > 0 && (*field & bit) == 0; bit >>= 1) {
        bits--;
    }
    return bits;
}

/* Why a key of this type is not acceptable, or NULL. */
static const char *refusal(enum ssh_keytypes_e type, const char *base64)
{
    switch (type) {
    case SSH_KEYTYPE_ED25519:
    case SSH_KEYTYPE_ECDSA_P256:
    case SSH_KEYTYPE_ECDSA_P384:
    case SSH_KEYTYPE_ECDSA_P521:
        return NULL;
    case SSH_KEYTYPE_RSA:
        return rsa_bits(base64) < LIMIT_RSA_BITS ? "RSA key with less than 2048 bits" : NULL;
    case SSH_KEYTYPE_UNKNOWN:
        return "not a public key (options before the key are not supported)";
    default:
        return "key type not accepted";
    }
}

/* Parses one line in place. Returns why it is not a usable key, or NULL. */
static const char *parse_line(char *line, ssh_key *out_key)
{
    char *rest = line;
    const char *type_name = strsep(&rest, " \t");
    if (rest == NULL) {
        return "not a public key";
    }
    rest += strspn(rest, " \t");
    const char *base64 = strsep(&rest, " \t");
    enum ssh_keytypes_e type = ssh_key_type_from_name(type_name);
    const char *reason = refusal(type, base64);
    if (reason != NULL) {
        return reason;
    }
    return ssh_pki_import_pubkey_base64(base64, type, out_key) == SSH_OK ? NULL
                                                                         : "invalid public key";
}

static void add_line(struct authorized *keys, const char *line, size_t length, int number)
{
    while (length > 0 && strchr(" \t\r", line[length - 1]) != NULL) {
        length--;
    }
    while (length > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        length--;
    }
    if (length == 0 || *line == '#') {
        return;
    }
    const char *reason = "line too long";
    if (length < LIMIT_AUTHORIZED_KEY_BYTES) {
        char copy[LIMIT_AUTHORIZED_KEY_BYTES];
        memcpy(copy, line, length);
        copy[length] = '\0';
        reason = parse_line(copy, &keys->keys[keys->count]);
    }
    if (reason != NULL) {
        log_warn("SSH_PUBLIC_KEY line %d: %s, skipping it", number, reason);
        return;
    }
    keys->count++;
}

int authorized_parse(const char *text, struct authorized **out_keys, struct error *err)
{
    struct authorized *keys = calloc(1, sizeof(*keys));
    if (keys == NULL) {
        return error_set(err, ERROR_SYSTEM, 0, "out of memory");
    }
    int number = 1;
    for (const char *line = text; line != NULL; number++) {
        const char *end = strchr(line, '\n');
        if (keys->count == LIMIT_AUTHORIZED_KEYS) {
            log_warn("SSH_PUBLIC_KEY line %d: more than %d keys, skipping the rest", number,
                     LIMIT_AUTHORIZED_KEYS);
            break;
        }
        add_line(keys, line, end == NULL ? strlen(line) : (size_t)(end - line), number);
        line = end == NULL ? NULL : end + 1;
    }
    if (keys->count == 0) {
        authorized_free(keys);
        return error_set(err, ERROR_USAGE, 0,
                         "no usable public key in SSH_PUBLIC_KEY; give one OpenSSH public key a "
                         "line, such as the content of id_ed25519.pub");
    }
    *out_keys = keys;
    return 0;
}
