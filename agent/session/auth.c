/* SPDX-License-Identifier: MIT */
/*
 * auth.c - who gets in: an authorized key, for a user that exists.
 */
#include <string.h>

#include "agent/session/session_private.h"
#include "agent/users.h"
#include "agent/wire.h"
#include "common/clock.h"
#include "common/log.h"

/* SSH_MSG_USERAUTH_REQUEST of RFC 4252, section 6. */
#define USERAUTH_REQUEST 50

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
    (void)snprintf(session->user, sizeof(session->user), "%s", user);
    log_login(session, key);
    (void)wire_send(session->control, &message, NULL, 0); /* a dead init ends us anyway */
    session_set_state(session, SESSION_OPEN);
}

/* libssh asks twice: whether the key would do (no signature yet), then with its verdict on the
 * signature. Only a valid one logs in. */
static int on_public_key(ssh_session ssh, const char *user, struct ssh_key_struct *key,
                         char signature_state, void *userdata)
{
    struct session *session = userdata;
    (void)ssh;
    session->tries++;
    if (session->state != SESSION_LOGIN && session->state != SESSION_KEY_EXCHANGE) {
        return SSH_AUTH_DENIED;
    }
    if (strlen(user) >= sizeof(session->user) ||
        !authorized_contains(session->setup->authorized, key) || !users_exist(user)) {
        log_info("%s: refused a key for '%s'", session->setup->peer, user);
        return SSH_AUTH_DENIED;
    }
    if (signature_state == SSH_PUBLICKEY_STATE_NONE) {
        session->tries--; /* the right key: the signature will count */
        return SSH_AUTH_SUCCESS;
    }
    if (signature_state != SSH_PUBLICKEY_STATE_VALID) {
        log_warn("%s: bad signature for '%s', refusing", session->setup->peer, user);
        return SSH_AUTH_DENIED;
    }
    accept_login(session, user, key);
    return SSH_AUTH_SUCCESS;
}

/* Asked by clients to learn the methods; counts, so that nobody asks for ever. */
static int on_none(ssh_session ssh, const char *user, void *userdata)
{
    struct session *session = userdata;
    (void)ssh;
    (void)user;
    session->tries++;
    return SSH_AUTH_DENIED;
}

/* Of all that a client sends before it is in, this alone obliges us to answer: to anything else
 * silence may be right, and the client busy with its own part of the key exchange. */
static int on_request_packet(ssh_session ssh, uint8_t type, ssh_buffer packet, void *userdata)
{
    struct session *session = userdata;
    (void)ssh;
    (void)type;
    (void)packet;
    session->unanswered_ms = clock_now_ms();
    session->said_packets = session->traffic.out_packets;
    return SSH_PACKET_NOT_USED; /* and goes on to libssh's own */
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
    session->callbacks.auth_none_function = on_none;
    session->callbacks.auth_pubkey_function = on_public_key;
    session->callbacks.channel_open_request_session_function = channel_accept;
    ssh_callbacks_init(&session->callbacks);
    (void)ssh_set_server_callbacks(session->ssh, &session->callbacks);
    ssh_set_auth_methods(session->ssh, SSH_AUTH_METHOD_PUBLICKEY);
}
