/* SPDX-License-Identifier: MIT */
#include "agent/session/server.h"

#include <sodium.h>
#include <string.h>

#include "agent/limits.h"
#include "common/ed25519.h"

#define KEY_EXCHANGE                                                                   \
    "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com," \
    "curve25519-sha256,curve25519-sha256@libssh.org"
#define CIPHERS                                                                               \
    "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr," \
    "aes256-ctr"
#define MACS "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com"

static int fingerprint(ssh_key key, char *out, size_t room)
{
    unsigned char *hash = NULL;
    size_t length = 0;
    if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &length) != 0) {
        return -1;
    }
    char *text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, length);
    (void)snprintf(out, room, "%s", text == NULL ? "" : text);
    ssh_string_free_char(text);
    ssh_clean_pubkey_hash(&hash);
    return 0;
}

static int set_algorithms(ssh_bind bind)
{
    static const struct {
        enum ssh_bind_options_e option;
        const char *value;
    } lists[] = {
        {SSH_BIND_OPTIONS_KEY_EXCHANGE, KEY_EXCHANGE},
        {SSH_BIND_OPTIONS_CIPHERS_C_S, CIPHERS},
        {SSH_BIND_OPTIONS_CIPHERS_S_C, CIPHERS},
        {SSH_BIND_OPTIONS_HMAC_C_S, MACS},
        {SSH_BIND_OPTIONS_HMAC_S_C, MACS},
        {SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, SERVER_SIGNATURES},
        {SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, "ssh-ed25519"},
    };
    bool process_config = false;
    int rsa_bits = LIMIT_RSA_BITS;
    if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &process_config) < 0 ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_RSA_MIN_SIZE, &rsa_bits) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (ssh_bind_options_set(bind, lists[i].option, lists[i].value) < 0) {
            return -1;
        }
    }
    return 0;
}

static int set_up(struct server *server, const unsigned char *seed, struct error *err)
{
    ssh_key key = NULL;
    server->bind = ssh_bind_new();
    if (server->bind == NULL || set_algorithms(server->bind) < 0) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot set up the SSH server: %s",
                         server->bind == NULL ? "out of memory" : ssh_get_error(server->bind));
    }
    if (ed25519_import_private(seed, &key, err) < 0) {
        return error_wrap(err, "host key");
    }
    if (fingerprint(key, server->fingerprint, sizeof(server->fingerprint)) < 0 ||
        ssh_bind_options_set(server->bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) < 0) {
        ssh_key_free(key);
        return error_set(err, ERROR_SYSTEM, 0, "cannot set the host key");
    }
    return 0; /* the bind owns the key */
}

int server_open(const char *seed_base64, struct server *out_server, struct error *err)
{
    struct server server = {.origin = seed_base64 != NULL ? "from BERTH_HOST_KEY_SEED" : "random"};
    unsigned char seed[ED25519_SEED_BYTES];
    int result = 0;
    if (seed_base64 == NULL) {
        randombytes_buf(seed, sizeof(seed));
    } else {
        result = ed25519_seed_parse(seed_base64, seed, err);
        if (result < 0) {
            (void)error_wrap(err, "BERTH_HOST_KEY_SEED");
        }
    }
    if (result == 0) {
        result = set_up(&server, seed, err);
    }
    sodium_memzero(seed, sizeof(seed));
    if (result < 0) {
        server_close(&server);
        return -1;
    }
    *out_server = server;
    return 0;
}

bool server_accepts_signature(const unsigned char *name, size_t length)
{
    for (const char *next = SERVER_SIGNATURES; *next != '\0';) {
        size_t here = strcspn(next, ",");
        if (here == length && memcmp(next, name, length) == 0) {
            return true;
        }
        next += here + (next[here] == ',');
    }
    return false;
}

void server_close(struct server *server)
{
    ssh_bind_free(server->bind);
    server->bind = NULL;
}
