/* SPDX-License-Identifier: MIT */
#include "agent/session/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/child/sftp_server.h"
#include "agent/ipc/job_pids.h"
#include "agent/ipc/wire.h"
#include "agent/session/channel.h"
#include "agent/session/confine.h"
#include "agent/users.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

/* The connection, init, and up to four descriptors of each channel. */
#define POLL_ENTRIES (2 + 4 * CHANNEL_SLOTS)

/* With delayed acknowledgements a login takes tens of milliseconds longer. The kernel resets this
 * option, so it is set again before each wait. */
static void set_quickack(const struct session *session)
{
    int on = 1;
    if (session->state < SESSION_OPEN || session->channels_opened <= 1) {
        (void)setsockopt(session->setup->connection, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
    }
}

static int on_any_message(ssh_session ssh, uint8_t type, ssh_buffer packet, void *userdata)
{
    struct session *session = userdata;
    (void)ssh;
    (void)packet;
    intake_count(&session->intake, type);
    return SSH_PACKET_NOT_USED; /* the next callback handles it */
}

/* libssh does not know types above 100 and passes them to no callback. */
static void watch_messages(struct session *session)
{
    static ssh_packet_callback on_type[100];
    for (size_t i = 0; i < sizeof(on_type) / sizeof(on_type[0]); i++) {
        on_type[i] = on_any_message;
    }
    session->intake_callbacks = (struct ssh_packet_callbacks_struct){
        .start = 1, .n_callbacks = 100, .callbacks = on_type, .user = session};
    ssh_packet_set_callbacks(session->ssh, &session->intake_callbacks);
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
    watch_messages(session);
    channel_watch_requests(session);
    auth_watch_requests(session);
    (void)setsockopt(setup->connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (ssh_bind_accept_fd(setup->server->bind, session->ssh, setup->connection) != SSH_OK) {
        log_error("%s: cannot start the SSH server: %s", setup->peer,
                  ssh_get_error(setup->server->bind));
        return -1;
    }
    ssh_set_blocking(session->ssh, 0);
    ssh_set_counters(session->ssh, &session->socket, &session->traffic);
    auth_install(session);
    /* Sends the version line; without this first call the event loop has nothing to wait for. */
    if (ssh_handle_key_exchange(session->ssh) == SSH_ERROR ||
        ssh_event_add_session(session->event, session->ssh) != SSH_OK) {
        log_info("%s: %s", setup->peer, ssh_get_error(session->ssh));
        return -1;
    }
    return 0;
}

static bool is_disconnected(const struct session *session)
{
    return (ssh_get_status(session->ssh) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0 ||
           ssh_get_error_code(session->ssh) == SSH_FATAL || ssh_get_fd(session->ssh) < 0;
}

static bool has_output_queued(const struct session *session)
{
    return (ssh_get_poll_flags(session->ssh) & SSH_WRITE_PENDING) != 0;
}

/* Whether reading from the client must wait until queued output has been sent; before the login all
 * of it. (libssh reads at most 4 KiB more while it sends.) */
static bool is_held_up(struct session *session)
{
    if (!has_output_queued(session)) {
        session->intake.sent_messages = session->traffic.out_packets;
        session->intake.sent_payload = session->traffic.out_bytes;
        session->intake.sent_bytes = session->socket.out_bytes;
        return false;
    }
    return session->state < SESSION_OPEN ||
           intake_queued(&session->intake, session->traffic.out_packets, session->traffic.out_bytes,
                         session->socket.out_bytes) > LIMIT_QUEUED_BYTES;
}

static int open_channels(const struct session *session)
{
    int count = 0;
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        count += session->channels[i].state != CHANNEL_FREE;
    }
    return count;
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
    /* libssh does not reply to some refused logins, and nothing else would end them. Any packet
     * sent since the request counts as a reply. */
    if (session->state >= SESSION_OPEN ||
        session->traffic.out_packets != session->sent_packets_then) {
        session->unanswered_ms = CLOCK_NEVER;
    }
    session->intake.messages = session->traffic.in_packets;
    session->intake.bytes = session->socket.in_bytes;
    const char *refusal = intake_refusal(&session->intake, session->state >= SESSION_OPEN);
    if (refusal != NULL) {
        log_warn("%s: %s, disconnecting", session->setup->peer, refusal);
        session_set_state(session, SESSION_CLOSED);
    }
    if (session->state < SESSION_OPEN && session->tries >= session->setup->options->login_tries) {
        log_warn("%s: %d failed logins, disconnecting", session->setup->peer, session->tries);
        session_set_state(session, SESSION_CLOSED);
    }
}

/* A channel without a job is closed at once. One with a job has until the end of the grace period,
 * even if its client does not read. */
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

/* A job that uses up the grace period is killed then, which must still be reported. */
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
    return session->shutdown_ms + (running ? LIMIT_FINAL_REPORT_MS : 0);
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
    if (result == WIRE_CLOSED) { /* init was killed: the monitors stop their jobs */
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
    /* Counted from the last keepalive: after this process was suspended, the client has had no time
     * to answer keepalives that were not sent. */
    int64_t since_ms = session->keepalives > 0 ? session->keepalive_ms : session->heard_ms;
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
            nearest = clock_earlier_ms(nearest, session->channels[i].drain.deadline_ms);
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
    session->keepalive_ms = clock_now_ms();
    (void)ssh_send_keepalive(session->ssh); /* a missing reply shows a dead connection */
}

static void on_deadlines(struct session *session)
{
    int64_t now = clock_now_ms();
    bool login = session->state < SESSION_OPEN;
    if (now >= session->quiet_ms) {
        /* Most jobs are silent most of the time: the buffer takes up memory only during output. */
        session->quiet_ms = CLOCK_NEVER;
        (void)madvise(session->chunk, LIMIT_OUTPUT_CHUNK_BYTES, MADV_DONTNEED);
    }
    if (now >= next_keepalive_ms(session)) {
        keep_alive(session);
    }
    if (login && session->unanswered_ms != CLOCK_NEVER &&
        now >= session->unanswered_ms + LIMIT_LOGIN_SILENCE_MS) {
        log_warn("%s: no reply to a login request, disconnecting", session->setup->peer);
        session_set_state(session, SESSION_CLOSED);
    } else if (now >= shutdown_deadline_ms(session)) {
        log_warn("%s: the client does not read its jobs' results, disconnecting",
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
    short readable = is_held_up(session) ? 0 : POLLIN;
    short queued = has_output_queued(session) ? POLLOUT : 0;
    entries[count++] =
        (struct pollfd){.fd = ssh_get_fd(session->ssh), .events = (short)(readable | queued)};
    entries[count++] = (struct pollfd){.fd = session->control, .events = POLLIN};
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        if (session->channels[i].state != CHANNEL_FREE) {
            count += channel_prepare(&session->channels[i], entries + count);
        }
    }
    set_quickack(session);
    if (poll(entries, (nfds_t)count, clock_poll_timeout(next_deadline_ms(session))) < 0) {
        return; /* EINTR: the loop calls again */
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
    if (is_disconnected(session)) {
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
    if (is_disconnected(session)) { /* reading from a channel reads packets, and may find the end */
        session_set_state(session, SESSION_CLOSED);
        return;
    }
    on_deadlines(session);
    if (is_disconnected(session)) { /* sending found the end; no descriptor is left to wait for */
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
        if (!is_disconnected(session)) {
            ssh_disconnect(session->ssh);
        } else if (ssh_get_error_code(session->ssh) == SSH_FATAL && session->state < SESSION_OPEN) {
            log_info("%s: %s", session->setup->peer, ssh_get_error(session->ssh));
        }
    }
    /* Health checks connect every few seconds and send nothing. */
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

/* Before the first byte from the network. */
static int confine(struct session *session)
{
    const struct session_setup *setup = session->setup;
    struct error err = {0};
    job_pids_close();
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
    if (setup->quiet && !log_enabled(LOG_DEBUG)) {
        log_open(LOG_PROGRAM, LOG_ERROR, setup->options->log_format, STDERR_FILENO);
    }
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
