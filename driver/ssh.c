/* SPDX-License-Identifier: MIT */
#include "driver/ssh.h"

#include <errno.h>
#include <libssh/callbacks.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "driver/ssh_private.h"

/* One TCP connection attempt: long enough for a lost SYN, short enough that a task which begins to
 * listen is not kept waiting by the kernel's growing pauses. */
#define TRY_MS         1500
#define FIRST_PAUSE_MS 5
#define LAST_PAUSE_MS  500

#define CIPHERS_AES  "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
#define CIPHER_PLAIN "chacha20-poly1305@openssh.com"
#define CIPHERS_CTR  "aes256-ctr,aes128-ctr"
#define HOSTKEYS_OWN "ssh-ed25519"
#define HOSTKEYS_ANY HOSTKEYS_OWN ",ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"

/* How one attempt ended. */
enum attempt { ATTEMPT_DONE, ATTEMPT_AGAIN, ATTEMPT_FINAL };

bool ssh_link_healthy(const struct ssh_link *link)
{
    return (ssh_get_status(link->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0 &&
           ssh_get_error_code(link->session) != SSH_FATAL && ssh_get_fd(link->session) >= 0;
}

int ssh_link_wait(struct ssh_link *link, struct signals *signals, int64_t deadline_ms,
                  struct error *err)
{
    if (signals_pending(signals)) {
        return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
    }
    bool writing = (ssh_get_poll_flags(link->session) & SSH_WRITE_PENDING) != 0;
    struct pollfd entries[] = {
        {.fd = ssh_get_fd(link->session), .events = (short)(POLLIN | (writing ? POLLOUT : 0))},
        {.fd = signals == NULL ? -1 : signals->fd, .events = POLLIN},
    };
    if (entries[0].fd < 0) {
        return error_set(err, ERROR_SYSTEM, 0, "the connection was closed");
    }
    (void)poll(entries, 2, clock_poll_timeout(deadline_ms));
    if (entries[0].revents == 0 && clock_now_ms() >= deadline_ms) {
        return error_set(err, ERROR_SYSTEM, ETIMEDOUT, "no answer in time");
    }
    return 0;
}

/* A connected, non-blocking socket, or -1 with errno. */
static int connect_socket(const struct ssh_target *target, struct signals *signals,
                          int64_t deadline_ms)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%d", target->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    if (getaddrinfo(target->host, port, &hints, &found) != 0) {
        errno = EDESTADDRREQ;
        return -1;
    }
    cleanup_fd int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result = fd < 0 ? -1 : connect(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (result < 0 && (fd < 0 || errno != EINPROGRESS)) {
        return -1;
    }
    struct pollfd entries[] = {
        {.fd = fd, .events = POLLOUT},
        {.fd = signals == NULL ? -1 : signals->fd, .events = POLLIN},
    };
    (void)poll(entries, 2, clock_poll_timeout(deadline_ms));
    int error = entries[0].revents == 0 ? ETIMEDOUT : 0;
    socklen_t length = sizeof(error);
    if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) {
        error = errno;
    }
    if (error != 0) {
        errno = error;
        return -1;
    }
    int on = 1; /* the first packets wait for each other: Nagle's pause costs 40 ms a login */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return steal_fd(&fd);
}

/* The algorithms of both sides are ours or an OpenSSH not older than 2014's; everything weaker
 * is left out. The CPU decides which cipher is the fastest. */
static int set_algorithms(ssh_session session, bool other_hosts)
{
    bool aes = sodium_runtime_has_aesni() != 0 || sodium_runtime_has_armcrypto() != 0;
    const char *ciphers = aes ? CIPHERS_AES "," CIPHER_PLAIN "," CIPHERS_CTR
                              : CIPHER_PLAIN "," CIPHERS_AES "," CIPHERS_CTR;
    const char *macs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com";
    const struct {
        enum ssh_options_e option;
        const char *value;
    } rows[] = {
        {SSH_OPTIONS_KEY_EXCHANGE, "mlkem768x25519-sha256,sntrup761x25519-sha512,"
                                   "sntrup761x25519-sha512@openssh.com,curve25519-sha256,"
                                   "curve25519-sha256@libssh.org"},
        {SSH_OPTIONS_HOSTKEYS, other_hosts ? HOSTKEYS_ANY : HOSTKEYS_OWN},
        {SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, "ssh-ed25519"},
        {SSH_OPTIONS_CIPHERS_C_S, ciphers},
        {SSH_OPTIONS_CIPHERS_S_C, ciphers},
        {SSH_OPTIONS_HMAC_C_S, macs},
        {SSH_OPTIONS_HMAC_S_C, macs},
        {SSH_OPTIONS_COMPRESSION_C_S, "none"},
        {SSH_OPTIONS_COMPRESSION_S_C, "none"},
        /* Without these three libssh looks for the home directory and files in it. */
        {SSH_OPTIONS_SSH_DIR, "/nonexistent"},
        {SSH_OPTIONS_KNOWNHOSTS, "/dev/null"},
        {SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (ssh_options_set(session, rows[i].option, rows[i].value) < 0) {
            return -1;
        }
    }
    return 0;
}

static int set_options(ssh_session session, const struct ssh_target *target, int fd)
{
    bool no = false;
    bool pinned = target->pinned != NULL && target->pinned[0] != '\0';
    int on = 1;
    unsigned int port = (unsigned int)target->port;
    if (ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &no) < 0 ||
        ssh_options_set(session, SSH_OPTIONS_HOST, target->host) < 0 ||
        ssh_options_set(session, SSH_OPTIONS_PORT, &port) < 0 ||
        ssh_options_set(session, SSH_OPTIONS_USER, target->username) < 0 ||
        ssh_options_set(session, SSH_OPTIONS_NODELAY, &on) < 0 ||
        set_algorithms(session, target->learn || pinned) < 0) {
        return -1;
    }
    ssh_set_blocking(session, 0);
    return ssh_options_set(session, SSH_OPTIONS_FD, &fd);
}

static enum attempt exchange_keys(struct ssh_link *link, struct signals *signals,
                                  int64_t deadline_ms, struct error *err)
{
    int result;
    while ((result = ssh_connect(link->session)) == SSH_AGAIN) {
        if (ssh_link_wait(link, signals, deadline_ms, err) < 0) {
            return ssh_get_fd(link->session) < 0 ? ATTEMPT_AGAIN : ATTEMPT_FINAL;
        }
    }
    if (result == SSH_OK) {
        return ATTEMPT_DONE;
    }
    (void)error_set(err, ERROR_SYSTEM, 0, "%s", ssh_get_error(link->session));
    /* Closed before it said anything: a server that is just starting or is full. */
    return ssh_get_serverbanner(link->session) == NULL ? ATTEMPT_AGAIN : ATTEMPT_FINAL;
}

/* "TYPE BASE64"; empty when the key cannot be written so. */
static void write_host_key(ssh_key key, char out[SSH_HOST_KEY_BYTES])
{
    char *base64 = NULL;
    out[0] = '\0';
    if (ssh_pki_export_pubkey_base64(key, &base64) == SSH_OK) {
        int length = snprintf(out, SSH_HOST_KEY_BYTES, "%s %s",
                              ssh_key_type_to_char(ssh_key_type(key)), base64);
        if (length >= SSH_HOST_KEY_BYTES) {
            out[0] = '\0';
        }
        ssh_string_free_char(base64);
    }
}

/* The key of the seed comes first: who shows it is our agent, whatever was pinned. */
static int compare_host_key(struct ssh_link *link, const struct ssh_target *target, ssh_key shown,
                            struct error *err)
{
    ssh_key expected = NULL;
    char text[SSH_HOST_KEY_BYTES];
    if (ed25519_import_public(target->keys->host_seed, &expected, err) < 0) {
        return -1;
    }
    bool known = ssh_key_cmp(expected, shown, SSH_KEY_CMP_PUBLIC) == 0;
    ssh_key_free(expected);
    write_host_key(shown, text);
    if (known || (target->pinned != NULL && text[0] != '\0' && strcmp(target->pinned, text) == 0)) {
        return 0;
    }
    if (target->learn && text[0] != '\0') {
        memcpy(link->learned, text, sizeof(text));
        return 0;
    }
    return error_set(err, ERROR_PEER, 0,
                     "host key mismatch: what answers is not the task that was launched for "
                     "this job, and nothing was sent to it");
}

static int check_host_key(struct ssh_link *link, const struct ssh_target *target, struct error *err)
{
    ssh_key shown = NULL;
    if (ssh_get_server_publickey(link->session, &shown) != SSH_OK) {
        return error_set(err, ERROR_PEER, 0, "the task shows no host key");
    }
    int result = compare_host_key(link, target, shown, err);
    ssh_key_free(shown);
    return result;
}

static int log_in(struct ssh_link *link, const struct ssh_target *target, struct signals *signals,
                  int64_t deadline_ms, struct error *err)
{
    ssh_key key = NULL;
    if (ed25519_import_private(target->keys->user_seed, &key, err) < 0) {
        return -1;
    }
    int result;
    while ((result = ssh_userauth_publickey(link->session, NULL, key)) == SSH_AUTH_AGAIN) {
        if (ssh_link_wait(link, signals, deadline_ms, err) < 0) {
            ssh_key_free(key);
            return -1;
        }
    }
    ssh_key_free(key);
    if (result == SSH_AUTH_SUCCESS) {
        return 0;
    }
    if (result == SSH_AUTH_ERROR) {
        return error_set(err, ERROR_SYSTEM, 0, "%s", ssh_get_error(link->session));
    }
    return error_set(err, ERROR_PEER, 0,
                     "the task refuses this job's key for user '%s'; does its image start "
                     "berth-agent with SSH_PUBLIC_KEY, and is [SSH] Username right?",
                     target->username);
}

static enum attempt try_once(struct ssh_link *link, const struct ssh_target *target,
                             struct signals *signals, int64_t deadline_ms, struct error *err)
{
    int64_t try_deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(TRY_MS));
    int fd = connect_socket(target, signals, try_deadline_ms);
    if (fd < 0) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot connect");
        return errno == EDESTADDRREQ ? ATTEMPT_FINAL : ATTEMPT_AGAIN;
    }
    link->session = ssh_new();
    if (link->session == NULL || set_options(link->session, target, fd) < 0) {
        (void)close(fd);
        (void)error_set(err, ERROR_SYSTEM, 0, "cannot prepare a session: %s",
                        link->session == NULL ? "out of memory" : ssh_get_error(link->session));
        return ATTEMPT_FINAL;
    }
    /* From here the session owns the descriptor. */
    enum attempt result = exchange_keys(link, signals, deadline_ms, err);
    if (result == ATTEMPT_DONE && (check_host_key(link, target, err) < 0 ||
                                   log_in(link, target, signals, deadline_ms, err) < 0)) {
        return ATTEMPT_FINAL;
    }
    return result;
}

static void drop_session(struct ssh_link *link)
{
    if (link->session != NULL) {
        ssh_disconnect(link->session);
        ssh_free(link->session);
        link->session = NULL;
    }
}

static int keep_trying(struct ssh_link *link, const struct ssh_target *target,
                       const struct ssh_watch *watch, struct signals *signals, int64_t deadline_ms,
                       struct error *err)
{
    int64_t pause_ms = FIRST_PAUSE_MS;
    for (;;) {
        enum attempt result = try_once(link, target, signals, deadline_ms, err);
        if (result == ATTEMPT_DONE) {
            return 0;
        }
        drop_session(link);
        if (result == ATTEMPT_FINAL) {
            return -1;
        }
        struct error gone;
        if (watch != NULL && watch->alive(watch->context, &gone) < 0) {
            *err = gone;
            return -1;
        }
        int64_t wake_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(pause_ms));
        if (signals_wait(signals, -1, wake_ms) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        if (clock_now_ms() >= deadline_ms) {
            return error_wrap(err, "no connection before the deadline");
        }
        pause_ms = pause_ms * 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : pause_ms * 2;
    }
}

int ssh_link_open(const struct ssh_target *target, const struct ssh_watch *watch,
                  struct signals *signals, int64_t deadline_ms, struct ssh_link **out_link,
                  struct error *err)
{
    struct ssh_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot connect");
    }
    (void)snprintf(link->name, sizeof(link->name), "%s port %d", target->host, target->port);
    if (keep_trying(link, target, watch, signals, deadline_ms, err) < 0) {
        (void)error_wrap(err, "task at %s", link->name);
        ssh_link_free(link);
        return -1;
    }
    *out_link = link;
    return 0;
}

const char *ssh_link_learned(const struct ssh_link *link)
{
    return link->learned;
}

void ssh_link_free(struct ssh_link *link)
{
    if (link != NULL) {
        drop_session(link);
        free(link);
    }
}
