/* SPDX-License-Identifier: MIT */
#include "agent/session/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/job/register.h"
#include "agent/job/sftp_server.h"
#include "agent/session/confine.h"
#include "agent/session/session_private.h"
#include "agent/users.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

/* The connection, init, and up to four descriptors of each channel. */
#define POLL_ENTRIES (2 + 4 * CHANNEL_SLOTS)

void session_set_state(struct session *session, enum session_state state)
{
    static const char *const names[] = {
        [SESSION_KEY_EXCHANGE] = "key exchange",
        [SESSION_LOGIN] = "login",
        [SESSION_OPEN] = "open",
        [SESSION_CLOSING] = "closing",
        [SESSION_CLOSED] = "closed",
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == SESSION_STATES, "a name for every state");
    if (state <= session->state) {
        return; /* states only move forward */
    }
    log_debug("%s: %s -> %s", session->setup->peer, names[session->state], names[state]);
    session->state = state;
    if (state == SESSION_OPEN) {
        session->deadline_ms = CLOCK_NEVER;
    } else if (state == SESSION_CLOSING) {
        session->deadline_ms = clock_deadline_ms(LIMIT_FLUSH_MS);
    }
}

/* Without these, Nagle's algorithm here and the client's delayed acknowledgements cost a login
 * tens of milliseconds; quick acknowledgement has to be asked for again and again. */
static void hurry(const struct session *session)
{
    int on = 1;
    if (session->state < SESSION_OPEN || session->channels_opened <= 1) {
        (void)setsockopt(session->setup->connection, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
    }
}

static int open_ssh(struct session *session)
{
    const struct session_setup *setup = session->setup;
    uint64_t rekey_bytes = (uint64_t)setup->options->rekey_bytes;
    uint32_t rekey_seconds = (uint32_t)((setup->options->rekey_ms + 999) / 1000);
    int on = 1;
    session->ssh = ssh_new();
    session->event = ssh_event_new();
    session->chunk = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), LIMIT_OUTPUT_CHUNK_BYTES);
    session->quiet_ms = CLOCK_NEVER;
    if (session->ssh == NULL || session->event == NULL || session->chunk == NULL) {
        log_error("%s: out of memory, refusing", setup->peer);
        return -1;
    }
    (void)ssh_options_set(session->ssh, SSH_OPTIONS_REKEY_DATA, &rekey_bytes);
    (void)ssh_options_set(session->ssh, SSH_OPTIONS_REKEY_TIME, &rekey_seconds);
    channel_watch_requests(session);
    auth_watch_requests(session);
    (void)setsockopt(setup->connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (ssh_bind_accept_fd(setup->server->bind, session->ssh, setup->connection) != SSH_OK) {
        log_error("%s: cannot start: %s", setup->peer, ssh_get_error(setup->server->bind));
        return -1;
    }
    ssh_set_blocking(session->ssh, 0);
    ssh_set_counters(session->ssh, NULL, &session->traffic);
    auth_install(session);
    /* Sends our banner; without this first call the event loop has nothing to wait for. */
    if (ssh_handle_key_exchange(session->ssh) == SSH_ERROR ||
        ssh_event_add_session(session->event, session->ssh) != SSH_OK) {
        log_info("%s: %s", setup->peer, ssh_get_error(session->ssh));
        return -1;
    }
    return 0;
}

static bool is_dead(const struct session *session)
{
    return (ssh_get_status(session->ssh) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0 ||
           ssh_get_error_code(session->ssh) == SSH_FATAL || ssh_get_fd(session->ssh) < 0;
}

static bool has_output_queued(const struct session *session)
{
    return (ssh_get_poll_flags(session->ssh) & SSH_WRITE_PENDING) != 0;
}

static int open_channels(const struct session *session)
{
    int count = 0;
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        count += session->channels[i].state != CHANNEL_FREE;
    }
    return count;
}

/* libssh leaves some refused logins without a reply; nothing else would ever end them. Only what
 * was sent since the request counts as one. */
static void watch_silence(struct session *session)
{
    if (session->state >= SESSION_OPEN || session->traffic.out_packets != session->said_packets) {
        session->unanswered_ms = CLOCK_NEVER;
    }
}

static void on_connection(struct session *session)
{
    int64_t now = clock_now_ms();
    (void)ssh_event_dopoll(session->event, 0);
    session->heard_ms = now;
    session->keepalives = 0;
    if (session->state == SESSION_KEY_EXCHANGE && ssh_handle_key_exchange(session->ssh) == SSH_OK) {
        session_set_state(session, SESSION_LOGIN);
    }
    watch_silence(session);
    if (session->state < SESSION_OPEN && session->tries >= session->setup->options->login_tries) {
        log_warn("%s: %d failed logins, disconnecting", session->setup->peer, session->tries);
        session_set_state(session, SESSION_CLOSED);
    }
}

/* A channel that has asked for no job has nothing to wait for; one whose job ends has until the
 * grace period is over, should its client not read. */
static void begin_shutdown(struct session *session)
{
    if (session->shutting_down) {
        return;
    }
    session->shutting_down = true;
    session->shutdown_ms = clock_deadline_ms(session->setup->options->grace_ms);
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        if (session->channels[i].state == CHANNEL_OPEN) {
            channel_release(&session->channels[i]);
        }
    }
}

/* A job that takes the whole grace period is killed at its end, which must still be told. */
static int64_t shutdown_deadline_ms(const struct session *session)
{
    bool running = false;
    if (!session->shutting_down) {
        return CLOCK_NEVER;
    }
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        enum channel_state state = session->channels[i].state;
        running = running || state == CHANNEL_STARTING || state == CHANNEL_RUNNING;
    }
    return session->shutdown_ms + (running ? LIMIT_LAST_WORDS_MS : 0);
}

static void on_control(struct session *session)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    enum wire_result result;
    while ((result = wire_receive(session->control, &message, fds)) == WIRE_MESSAGE) {
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
        if (message.type == WIRE_SHUTDOWN) {
            begin_shutdown(session);
        }
    }
    if (result == WIRE_CLOSED) { /* init died: its jobs are being ended by their monitors */
        cleanup_fd_fn(&session->control);
        begin_shutdown(session);
    }
}

static int64_t next_keepalive_ms(const struct session *session)
{
    int64_t interval_ms = session->setup->options->keepalive_ms;
    if (session->state != SESSION_OPEN || interval_ms == 0) {
        return CLOCK_NEVER;
    }
    /* From the last question on: whoever stopped this process for a while gave nobody the time to
     * answer the questions that it did not ask. */
    int64_t since_ms = session->keepalives > 0 ? session->asked_ms : session->heard_ms;
    return since_ms + interval_ms;
}

static int64_t next_deadline_ms(const struct session *session)
{
    int64_t nearest = clock_earlier_ms(session->deadline_ms, next_keepalive_ms(session));
    if (session->unanswered_ms != CLOCK_NEVER && session->state < SESSION_OPEN) {
        nearest = clock_earlier_ms(nearest, session->unanswered_ms + LIMIT_LOGIN_SILENCE_MS);
    }
    nearest = clock_earlier_ms(nearest, session->quiet_ms);
    nearest = clock_earlier_ms(nearest, shutdown_deadline_ms(session));
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        if (session->channels[i].state == CHANNEL_DRAINING) {
            nearest = clock_earlier_ms(nearest, session->channels[i].deadline_ms);
        }
    }
    return nearest;
}

static void keep_alive(struct session *session)
{
    if (session->keepalives >= session->setup->options->keepalive_count) {
        log_warn("%s: no answer to %d keepalives, disconnecting", session->setup->peer,
                 session->keepalives);
        session_set_state(session, SESSION_CLOSED);
        return;
    }
    session->keepalives++;
    session->asked_ms = clock_now_ms();
    (void)ssh_send_keepalive(session->ssh); /* a dead link shows as a missing answer */
}

void session_chunk_used(struct session *session)
{
    session->quiet_ms = clock_deadline_ms(LIMIT_QUIET_MS);
}

/* Jobs are silent most of the time, and there may be many: only output costs its memory. */
static void give_chunk_back(struct session *session)
{
    session->quiet_ms = CLOCK_NEVER;
    (void)madvise(session->chunk, LIMIT_OUTPUT_CHUNK_BYTES, MADV_DONTNEED);
}

static void on_deadlines(struct session *session)
{
    int64_t now = clock_now_ms();
    bool login = session->state < SESSION_OPEN;
    if (now >= session->quiet_ms) {
        give_chunk_back(session);
    }
    if (now >= next_keepalive_ms(session)) {
        keep_alive(session);
    }
    if (login && session->unanswered_ms != CLOCK_NEVER &&
        now >= session->unanswered_ms + LIMIT_LOGIN_SILENCE_MS) {
        log_warn("%s: a login that cannot be answered, disconnecting", session->setup->peer);
        session_set_state(session, SESSION_CLOSED);
    } else if (now >= shutdown_deadline_ms(session)) {
        log_warn("%s: the client does not take the end of its jobs, disconnecting",
                 session->setup->peer);
        session_set_state(session, SESSION_CLOSED);
    } else if (now >= session->deadline_ms) {
        log_warn("%s: %s took too long, disconnecting", session->setup->peer,
                 login ? "logging in" : "closing");
        session_set_state(session, SESSION_CLOSED);
    }
}

static void wait_for_events(struct session *session)
{
    struct pollfd entries[POLL_ENTRIES];
    int count = 0;
    short queued = has_output_queued(session) ? POLLOUT : 0;
    entries[count++] =
        (struct pollfd){.fd = ssh_get_fd(session->ssh), .events = (short)(POLLIN | queued)};
    entries[count++] = (struct pollfd){.fd = session->control, .events = POLLIN};
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        if (session->channels[i].state != CHANNEL_FREE) {
            count += channel_prepare(&session->channels[i], entries + count);
        }
    }
    hurry(session);
    if (poll(entries, (nfds_t)count, clock_poll_timeout(next_deadline_ms(session))) < 0) {
        return; /* EINTR: the loop looks again */
    }
    if (entries[0].revents != 0) {
        on_connection(session);
    }
    if (entries[1].revents != 0) {
        on_control(session);
    }
}

static void step(struct session *session)
{
    wait_for_events(session);
    if (is_dead(session)) {
        session_set_state(session, SESSION_CLOSED);
        return;
    }
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        if (session->channels[i].state != CHANNEL_FREE) {
            session->serving = &session->channels[i];
            channel_service(session->serving);
        }
    }
    session->serving = NULL;
    if (is_dead(session)) { /* reading from a channel takes in packets, and may see the end */
        session_set_state(session, SESSION_CLOSED);
        return;
    }
    on_deadlines(session);
    if (is_dead(session)) { /* sending showed it; no descriptor is left that would wake us */
        session_set_state(session, SESSION_CLOSED);
    }
    if (session->shutting_down && open_channels(session) == 0) {
        session_set_state(session, SESSION_CLOSING);
    }
    if (session->state == SESSION_CLOSING && !has_output_queued(session)) {
        session_set_state(session, SESSION_CLOSED);
    }
}

static void close_session(struct session *session)
{
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        if (session->channels[i].state != CHANNEL_FREE) {
            channel_release(&session->channels[i]);
        }
    }
    if (session->ssh != NULL) {
        if (!is_dead(session)) {
            ssh_disconnect(session->ssh);
        } else if (ssh_get_error_code(session->ssh) == SSH_FATAL && session->state < SESSION_OPEN) {
            log_info("%s: %s", session->setup->peer, ssh_get_error(session->ssh));
        }
    }
    /* Health checks come and go without a word, every few seconds. */
    log_line(session->traffic.in_packets > 0 ? LOG_INFO : LOG_DEBUG, "%s: disconnected",
             session->setup->peer);
    if (session->event != NULL && session->ssh != NULL) {
        (void)ssh_event_remove_session(session->event, session->ssh);
    }
    ssh_event_free(session->event);
    ssh_free(session->ssh);
    free(session->chunk);
    cleanup_fd_fn(&session->control);
}

/* Before the first byte from the network, and before anything that one could steer. */
static int confine(struct session *session)
{
    const struct session_setup *setup = session->setup;
    struct error err = {0};
    register_close();
    session->has_sftp_server = sftp_server_find(setup->options->sftp_server) != NULL;
    if (users_load(&err) < 0 || confine_process(&err) < 0) {
        log_error("%s: %s, refusing", setup->peer, err.message);
        return -1;
    }
    return 0;
}

int session_run(const struct session_setup *setup)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        log_error("%s: out of memory, refusing", setup->peer);
        return 1;
    }
    session->setup = setup;
    session->control = setup->control;
    session->heard_ms = clock_now_ms();
    session->unanswered_ms = CLOCK_NEVER;
    session->deadline_ms = clock_deadline_ms(setup->options->login_grace_ms);
    log_debug("%s: connected", setup->peer);
    if (confine(session) == 0 && open_ssh(session) == 0) {
        while (session->state != SESSION_CLOSED) {
            step(session);
        }
    }
    close_session(session);
    free(session);
    return 0;
}
