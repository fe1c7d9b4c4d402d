/* SPDX-License-Identifier: MIT */
/*
 * auth.c - authentication: an authorized key, and a user that exists.
 */
#include <string.h>
#include <unistd.h>

#include "agent/ipc/wire.h"
#include "agent/session/channel.h"
#include "agent/users.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/ssh_fields.h"

/* SSH_MSG_USERAUTH_REQUEST of RFC 4252, section 6. */
#define USERAUTH_REQUEST 50
#define BY_KEY           "publickey"
#define BY_KEY_HOSTBOUND "publickey-hostbound-v00@openssh.com" /* OpenSSH's PROTOCOL, 3.1 */

static void log_login(const struct session *session, ssh_key key)
{
    unsigned char *hash = NULL;
    size_t length = 0;
    char *text = NULL;
    if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &length) == 0) {
        text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, length);
    }
    log_info("%s: '%s' logged in with %s %s", session->setup->peer, session->user,
             ssh_key_type_to_char(ssh_key_type(key)), text == NULL ? "" : text);
    ssh_string_free_char(text);
    ssh_clean_pubkey_hash(&hash);
}

static void accept_login(struct session *session, const char *user, ssh_key key)
{
    struct wire_message message = {.type = WIRE_LOGGED_IN};
    const struct agent_options *options = session->setup->options;
    (void)snprintf(session->user, sizeof(session->user), "%s", user);
    log_open(LOG_PROGRAM, options->log_level, options->log_format, STDERR_FILENO);
    log_login(session, key);
    (void)wire_send(session->control, &message, NULL,
                    0); /* if init is gone, this process exits too */
    session_set_state(session, SESSION_OPEN);
}

/* libssh calls this for a key probe, without a signature, and for a login, after it has checked the
 * signature. Only a valid signature logs in. */
static int on_public_key(ssh_session ssh, const char *user, struct ssh_key_struct *key,
                         char signature_state, void *userdata)
{
    struct session *session = userdata;
    (void)ssh;
    if (session->state != SESSION_LOGIN && session->state != SESSION_KEY_EXCHANGE) {
        return SSH_AUTH_DENIED;
    }
    if (strlen(user) >= sizeof(session->user) ||
        !authorized_contains(session->setup->authorized, key) || !users_exist(user)) {
        log_info("%s: refused a key for '%s'", session->setup->peer, user);
        return SSH_AUTH_DENIED;
    }
    if (signature_state == SSH_PUBLICKEY_STATE_NONE) {
        session->tries--; /* a probe with an authorized key is not counted */
        return SSH_AUTH_SUCCESS;
    }
    if (signature_state != SSH_PUBLICKEY_STATE_VALID) {
        log_warn("%s: bad signature for '%s', refusing", session->setup->peer, user);
        return SSH_AUTH_DENIED;
    }
    accept_login(session, user, key);
    return SSH_AUTH_SUCCESS;
}

/* The signature algorithm of a login by key, or of its probe (RFC 4252, section 7). The name inside
 * the signature takes precedence. NULL: another kind of request. */
static const unsigned char *signature_algorithm(ssh_buffer packet, size_t *out_length)
{
    struct ssh_fields fields = {.next = ssh_buffer_get(packet), .left = ssh_buffer_get_len(packet)};
    size_t length = 0;
    uint8_t is_signed = 0;
    (void)ssh_fields_string(&fields, &length); /* user */
    (void)ssh_fields_string(&fields, &length); /* service */
    const unsigned char *method = ssh_fields_string(&fields, &length);
    bool plain = method != NULL && length == strlen(BY_KEY) && memcmp(method, BY_KEY, length) == 0;
    bool bound = method != NULL && length == strlen(BY_KEY_HOSTBOUND) &&
                 memcmp(method, BY_KEY_HOSTBOUND, length) == 0;
    if ((!plain && !bound) || !ssh_fields_byte(&fields, &is_signed)) {
        return NULL;
    }
    const unsigned char *name = ssh_fields_string(&fields, out_length);
    const unsigned char *key = ssh_fields_string(&fields, &length);
    if (key != NULL && bound) {
        key = ssh_fields_string(&fields, &length); /* the server's key */
    }
    const unsigned char *signature = key == NULL ? NULL : ssh_fields_string(&fields, &length);
    if (is_signed != 0 && signature != NULL) {
        struct ssh_fields inner = {.next = signature, .left = length};
        const unsigned char *own = ssh_fields_string(&inner, &length);
        if (own != NULL) {
            *out_length = length;
            return own;
        }
    }
    return name;
}

/* libssh refuses these without a reply and without a reason. */
static void log_refused_algorithm(struct session *session, ssh_buffer packet)
{
    size_t length = 0;
    const unsigned char *name = signature_algorithm(packet, &length);
    if (name == NULL || session->algorithm_logged || server_accepts_signature(name, length)) {
        return;
    }
    session->algorithm_logged = true;
    bool sha1 = length == strlen("ssh-rsa") && memcmp(name, "ssh-rsa", length) == 0;
    log_warn("%s: the client signs its login with '%.*s'%s, which is not accepted; use a client "
             "that supports one of %s",
             session->setup->peer, length < 64 ? (int)length : 64, (const char *)name,
             sha1 ? " (RSA with SHA-1)" : "", SERVER_SIGNATURES);
}

/* Every authentication request counts as an attempt, "none" and "password" too, so that a client
 * cannot repeat them forever. It is also the only message before the login that must get a reply.
 */
static int on_request_packet(ssh_session ssh, uint8_t type, ssh_buffer packet, void *userdata)
{
    struct session *session = userdata;
    (void)ssh;
    (void)type;
    if (session->tries >= session->setup->options->login_tries) {
        return SSH_PACKET_USED; /* the loop is about to disconnect */
    }
    if (!session->asked) { /* init leaves it more time in a crowd */
        struct wire_message message = {.type = WIRE_LOGIN_ASKED};
        session->asked = true;
        /* Without init this process exits, too. */
        (void)wire_send(session->control, &message, NULL, 0);
    }
    session->tries++;
    log_refused_algorithm(session, packet);
    session->unanswered_ms = clock_now_ms();
    session->sent_packets_then = session->traffic.out_packets;
    return SSH_PACKET_NOT_USED; /* libssh handles it next */
}

void auth_watch_requests(struct session *session)
{
    static ssh_packet_callback on_packet[] = {on_request_packet};
    session->login_callbacks = (struct ssh_packet_callbacks_struct){
        .start = USERAUTH_REQUEST, .n_callbacks = 1, .callbacks = on_packet, .user = session};
    ssh_packet_set_callbacks(session->ssh, &session->login_callbacks);
}

void auth_install(struct session *session)
{
    session->callbacks.userdata = session;
    session->callbacks.auth_pubkey_function = on_public_key;
    session->callbacks.channel_open_request_session_function = channel_accept;
    ssh_callbacks_init(&session->callbacks);
    (void)ssh_set_server_callbacks(session->ssh, &session->callbacks);
    ssh_set_auth_methods(session->ssh, SSH_AUTH_METHOD_PUBLICKEY);
}
