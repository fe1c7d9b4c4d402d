/* SPDX-License-Identifier: MIT */
#include "driver/remote/connection.h"

#include <errno.h>
#include <libssh/callbacks.h>
#include <libssh/server.h>
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
#include "driver/remote/connection_private.h"

/* One TCP connection attempt: long enough for a lost SYN, short enough that a task which starts to
 * listen is not missed during the kernel's growing pauses. */
#define TRY_MS 1500
/* One try, login included, of a task that was reached before: a longer one would wait for packets
 * that the network has lost. */
#define RETRY_MS       15000
#define FIRST_PAUSE_MS 5
#define LAST_PAUSE_MS  500

#define CIPHERS_AES  "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
#define CIPHER_PLAIN "chacha20-poly1305@openssh.com"
#define CIPHERS_CTR  "aes256-ctr,aes128-ctr"
#define HOSTKEYS_OWN "ssh-ed25519"
#define HOSTKEYS_ANY HOSTKEYS_OWN ",ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"

/* How one try ended. */
enum attempt { ATTEMPT_DONE, ATTEMPT_AGAIN, ATTEMPT_FINAL };

/* Bytes of a whole login, the server's banner included. */
#define LOGIN_BYTES (256 * 1024)
/* Packets after the login that carry no output: replies to keepalives, requests of the server, key
 * exchanges. */
#define IDLE_PACKETS       1024
#define IDLE_PACKETS_PER_S 8
/* The server sends about one window adjustment for so many of our bytes. */
#define SENT_PER_PACKET 512

static int64_t packets_without_use(const struct ssh_traffic *traffic)
{
    return (int64_t)(traffic->packets.in_packets - traffic->with_output -
                     traffic->packets.out_bytes / SENT_PER_PACKET);
}

/* Unrequested packets cost memory, as replies that the server does not read or messages that are
 * never taken, and processor time, as endless key exchanges. */
static bool is_flooded(struct ssh_traffic *traffic)
{
    if (!traffic->logged_in) {
        return traffic->socket.in_bytes > LOGIN_BYTES;
    }
    int64_t seen = packets_without_use(traffic);
    int64_t seconds = (clock_now_ms() - traffic->leaked_ms) / 1000;
    traffic->leaked_ms += 1000 * seconds;
    traffic->level += seen - traffic->seen - IDLE_PACKETS_PER_S * seconds;
    traffic->level = traffic->level < 0 ? 0 : traffic->level;
    traffic->seen = seen;
    return traffic->level > IDLE_PACKETS;
}

bool ssh_connection_healthy(struct ssh_connection *connection)
{
    connection->traffic.flooded = connection->traffic.flooded || is_flooded(&connection->traffic);
    return !connection->traffic.flooded &&
           (ssh_get_status(connection->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0 &&
           ssh_get_error_code(connection->session) != SSH_FATAL &&
           ssh_get_fd(connection->session) >= 0;
}

const char *ssh_connection_failure(const struct ssh_connection *connection)
{
    const char *why = ssh_get_error(connection->session);
    return connection->traffic.flooded ? "the server floods the connection with unrequested packets"
           : why[0] != '\0'            ? why
                                       : "the connection was closed";
}

int ssh_connection_wait(struct ssh_connection *connection, struct signals *signals,
                        int64_t deadline_ms, struct error *err)
{
    if (signals_pending(signals)) {
        return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
    }
    if (ssh_get_fd(connection->session) < 0) {
        return error_set(err, ERROR_SYSTEM, 0, "the connection was closed");
    }
    if (!ssh_connection_healthy(connection) && connection->traffic.flooded) {
        return error_set(err, ERROR_PEER, 0, "%s", ssh_connection_failure(connection));
    }
    if (clock_now_ms() >= deadline_ms) {
        return error_set(err, ERROR_SYSTEM, ETIMEDOUT, "no response from the server");
    }
    bool writing = (ssh_get_poll_flags(connection->session) & SSH_WRITE_PENDING) != 0;
    struct pollfd entries[] = {
        {.fd = ssh_get_fd(connection->session),
         .events = (short)(POLLIN | (writing ? POLLOUT : 0))},
        {.fd = signals == NULL ? -1 : signals->fd, .events = POLLIN},
    };
    (void)poll(entries, 2, clock_poll_timeout(deadline_ms));
    return 0;
}

/* Returns a connected, non-blocking socket, or -1 with errno. */
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
    int on = 1; /* the first packets are sent one by one: Nagle's algorithm costs 40 ms a login */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return steal_fd(&fd);
}

/* Both sides are ours or an OpenSSH of 2014 or later; weaker algorithms are left out. The CPU
 * decides which cipher is the fastest. */
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
        /* sntrup761 costs both sides tens of milliseconds a login, and OpenSSH before 9.9 would
         * choose it: a job's connection lasts for one stage, so it comes late in the list. */
        {SSH_OPTIONS_KEY_EXCHANGE, "mlkem768x25519-sha256,curve25519-sha256,"
                                   "curve25519-sha256@libssh.org,sntrup761x25519-sha512,"
                                   "sntrup761x25519-sha512@openssh.com"},
        {SSH_OPTIONS_HOSTKEYS, other_hosts ? HOSTKEYS_ANY : HOSTKEYS_OWN},
        {SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, "ssh-ed25519"},
        {SSH_OPTIONS_CIPHERS_C_S, ciphers},
        {SSH_OPTIONS_CIPHERS_S_C, ciphers},
        {SSH_OPTIONS_HMAC_C_S, macs},
        {SSH_OPTIONS_HMAC_S_C, macs},
        {SSH_OPTIONS_COMPRESSION_C_S, "none"},
        {SSH_OPTIONS_COMPRESSION_S_C, "none"},
        /* Without these three libssh looks for the home directory and reads files in it. */
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

static enum attempt exchange_keys(struct ssh_connection *connection, struct signals *signals,
                                  int64_t deadline_ms, struct error *err)
{
    unsigned char byte;
    int result = ssh_connect(connection->session);
    if (result == SSH_AGAIN) {
        /* The first random number takes OpenSSL as long as the server takes to answer the banner,
         * which has just been sent. */
        (void)ssh_get_random(&byte, sizeof(byte), 0);
    }
    for (; result == SSH_AGAIN; result = ssh_connect(connection->session)) {
        if (ssh_connection_wait(connection, signals, deadline_ms, err) < 0) {
            return ssh_get_fd(connection->session) < 0 ? ATTEMPT_AGAIN : ATTEMPT_FINAL;
        }
    }
    if (result == SSH_OK) {
        return ATTEMPT_DONE;
    }
    (void)error_set(err, ERROR_SYSTEM, 0, "%s", ssh_get_error(connection->session));
    /* Closed without a banner: a server that is starting or has too many clients. */
    return ssh_get_serverbanner(connection->session) == NULL ? ATTEMPT_AGAIN : ATTEMPT_FINAL;
}

/* Writes "TYPE BASE64", or nothing when the key does not fit. */
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

/* The key of the seed comes first: a server that has it is our agent, whatever was pinned. */
static int compare_host_key(struct ssh_connection *connection, const struct ssh_target *target,
                            ssh_key shown, struct error *err)
{
    ssh_key expected = NULL;
    char text[SSH_HOST_KEY_BYTES];
    if (ed25519_import_public(target->host_seed, &expected, err) < 0) {
        return -1;
    }
    bool known = ssh_key_cmp(expected, shown, SSH_KEY_CMP_PUBLIC) == 0;
    ssh_key_free(expected);
    write_host_key(shown, text);
    if (known || (target->pinned != NULL && text[0] != '\0' && strcmp(target->pinned, text) == 0)) {
        return 0;
    }
    if (target->learn && text[0] != '\0') {
        memcpy(connection->learned, text, sizeof(text));
        return 0;
    }
    return error_set(err, ERROR_PEER, 0,
                     "host key mismatch: the server is not this job's task; nothing was sent");
}

static int check_host_key(struct ssh_connection *connection, const struct ssh_target *target,
                          struct error *err)
{
    ssh_key shown = NULL;
    if (ssh_get_server_publickey(connection->session, &shown) != SSH_OK) {
        return error_set(err, ERROR_PEER, 0, "the server presented no host key");
    }
    int result = compare_host_key(connection, target, shown, err);
    ssh_key_free(shown);
    return result;
}

static int log_in(struct ssh_connection *connection, const struct ssh_target *target,
                  struct signals *signals, int64_t deadline_ms, struct error *err)
{
    ssh_key key = NULL;
    if (ed25519_import_private(target->user_seed, &key, err) < 0) {
        return -1;
    }
    int result;
    while ((result = ssh_userauth_publickey(connection->session, NULL, key)) == SSH_AUTH_AGAIN) {
        if (ssh_connection_wait(connection, signals, deadline_ms, err) < 0) {
            ssh_key_free(key);
            return -1;
        }
    }
    ssh_key_free(key);
    if (result == SSH_AUTH_SUCCESS) {
        return 0;
    }
    if (result == SSH_AUTH_ERROR) {
        return error_set(err, ERROR_SYSTEM, 0, "%s", ssh_get_error(connection->session));
    }
    return error_set(err, ERROR_PEER, 0,
                     "the task rejected this job's key for user '%s'; check that its image starts "
                     "berth-agent with SSH_PUBLIC_KEY, and check [SSH] Username",
                     target->username);
}

/* A task has nothing to request from us. Without this, libssh would keep every request in memory.
 */
static int refuse_message(ssh_session session, ssh_message message, void *userdata)
{
    (void)session;
    (void)message;
    (void)userdata;
    return 1;
}

static enum attempt try_once(struct ssh_connection *connection, const struct ssh_target *target,
                             struct signals *signals, int64_t deadline_ms, struct error *err)
{
    int64_t begun_ms = clock_now_ms();
    int64_t try_deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(TRY_MS));
    int fd = connect_socket(target, signals, try_deadline_ms);
    if (fd < 0) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot connect");
        return errno == EDESTADDRREQ ? ATTEMPT_FINAL : ATTEMPT_AGAIN;
    }
    connection->session = ssh_new();
    if (connection->session == NULL || set_options(connection->session, target, fd) < 0) {
        (void)close(fd);
        (void)error_set(err, ERROR_SYSTEM, 0, "cannot prepare a session: %s",
                        connection->session == NULL ? "out of memory"
                                                    : ssh_get_error(connection->session));
        return ATTEMPT_FINAL;
    }
    /* From here the session owns the descriptor. */
    connection->traffic = (struct ssh_traffic){0};
    ssh_set_counters(connection->session, &connection->traffic.socket,
                     &connection->traffic.packets);
    ssh_set_message_callback(connection->session, refuse_message, NULL);
    enum attempt result = exchange_keys(connection, signals, deadline_ms, err);
    if (result == ATTEMPT_DONE && (check_host_key(connection, target, err) < 0 ||
                                   log_in(connection, target, signals, deadline_ms, err) < 0)) {
        return ATTEMPT_FINAL;
    }
    connection->traffic.seen = packets_without_use(&connection->traffic);
    connection->traffic.leaked_ms = clock_now_ms();
    connection->traffic.logged_in = true;
    connection->login_ms = clock_now_ms() - begun_ms;
    return result;
}

static void drop_session(struct ssh_connection *connection)
{
    if (connection->session != NULL) {
        ssh_disconnect(connection->session);
        ssh_free(connection->session);
        connection->session = NULL;
    }
}

/* The only place where tries to connect are repeated. */
static int keep_trying(struct ssh_connection *connection, const struct ssh_target *target,
                       const struct ssh_retry *retry, struct signals *signals, struct error *err)
{
    int64_t pause_ms = FIRST_PAUSE_MS;
    for (;;) {
        int64_t try_ms = retry->reached_before ? clock_deadline_ms(RETRY_MS) : CLOCK_NEVER;
        enum attempt result = try_once(connection, target, signals,
                                       clock_earlier_ms(try_ms, retry->deadline_ms), err);
        if (result == ATTEMPT_DONE) {
            return 0;
        }
        drop_session(connection);
        if (signals_pending(signals)) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        if (result == ATTEMPT_FINAL && (!retry->reached_before || err->kind == ERROR_PEER)) {
            return -1;
        }
        struct error gone;
        if (retry->alive(retry->context, &gone) < 0) {
            *err = gone;
            return -1;
        }
        int64_t end_ms = clock_earlier_ms(retry->deadline_ms, retry->last_try_ms);
        int64_t wake_ms = clock_earlier_ms(end_ms, clock_deadline_ms(pause_ms));
        if (signals_wait(signals, -1, wake_ms) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        if (clock_now_ms() >= end_ms) {
            err->errnum = ETIMEDOUT;
            return error_wrap(err, "no connection before the deadline");
        }
        pause_ms = clock_earlier_ms(2 * pause_ms, LAST_PAUSE_MS);
    }
}

int ssh_connection_open(const struct ssh_target *target, const struct ssh_retry *retry,
                        struct signals *signals, struct ssh_connection **out_connection,
                        struct error *err)
{
    struct ssh_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot connect");
    }
    (void)snprintf(connection->name, sizeof(connection->name), "%s port %d", target->host,
                   target->port);
    if (keep_trying(connection, target, retry, signals, err) < 0) {
        (void)error_wrap(err, "task at %s", connection->name);
        ssh_connection_free(connection);
        return -1;
    }
    *out_connection = connection;
    return 0;
}

int ssh_connection_fd(const struct ssh_connection *connection)
{
    return ssh_get_fd(connection->session);
}

int64_t ssh_connection_login_ms(const struct ssh_connection *connection)
{
    return connection->login_ms;
}

const char *ssh_connection_learned_key(const struct ssh_connection *connection)
{
    return connection->learned;
}

void ssh_connection_free(struct ssh_connection *connection)
{
    if (connection != NULL) {
        drop_session(connection);
        free(connection);
    }
}
