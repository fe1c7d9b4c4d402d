/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/init/child_setup.h"
#include "agent/init/init.h"
#include "agent/ipc/wire.h"
#include "agent/leaks.h"
#include "agent/session/session.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

int connection_count(const struct init *init)
{
    int count = 0;
    for (int i = 0; i < init->connections_top; i++) {
        count += init->connections[i].pid != 0;
    }
    return count;
}

int connection_count_logged_in(const struct init *init)
{
    int count = 0;
    for (int i = 0; i < init->connections_top; i++) {
        count += init->connections[i].pid != 0 && init->connections[i].logged_in;
    }
    return count;
}

static struct connection *free_slot(struct init *init)
{
    for (int i = 0; i < LIMIT_CONNECTIONS; i++) {
        if (init->connections[i].pid == 0) {
            return &init->connections[i];
        }
    }
    return NULL;
}

static void free_connection(struct init *init, struct connection *connection)
{
    connection->pid = 0;
    connection->source->users--;
    cleanup_fd_fn(&connection->control);
    while (init->connections_top > 0 && init->connections[init->connections_top - 1].pid == 0) {
        init->connections_top--;
    }
}

/* The connections that use a place; 'out_owners' are their slots. A process that has closed its
 * control socket is exiting and does not count. */
static int list_places(const struct init *init, struct place *out_places, int *out_owners)
{
    int count = 0;
    for (int i = 0; i < init->connections_top; i++) {
        const struct connection *other = &init->connections[i];
        if (other->pid != 0 && other->control >= 0 && !other->logged_in && !other->displaced) {
            out_owners[count] = i;
            out_places[count++] = (struct place){
                .source = other->source, .since_ms = other->accepted_ms, .asked = other->asked};
        }
    }
    return count;
}

static void note(struct init *init)
{
    if (init->unreported.summary_ms == CLOCK_NEVER) {
        init->unreported.summary_ms = clock_deadline_ms(LIMIT_SUMMARY_MS);
    }
}

void connection_summarise(struct init *init, bool now)
{
    struct unreported *unreported = &init->unreported;
    if (!now && clock_now_ms() < unreported->summary_ms) {
        return;
    }
    int addresses = 0;
    const struct source *most = NULL;
    for (int i = 0; i < LIMIT_SOURCES; i++) {
        struct source *source = &init->admission.sources[i];
        addresses += source->refused > 0;
        most = most == NULL || source->refused > most->refused ? source : most;
    }
    bool any = unreported->refused + unreported->no_login > 0;
    if (unreported->refused > 0) {
        log_warn("refused %d more connections in %d s, from %d addresses, most (%d) from %s",
                 unreported->refused, LIMIT_SUMMARY_MS / 1000, addresses, most->refused,
                 most->address);
    }
    if (unreported->no_login > 0) {
        log_warn("%d more connections ended without a login in %d s", unreported->no_login,
                 LIMIT_SUMMARY_MS / 1000);
    }
    for (int i = 0; i < LIMIT_SOURCES; i++) {
        init->admission.sources[i].refused = 0;
    }
    /* While this goes on, further ones are only counted. */
    *unreported =
        (struct unreported){.refused_reported = any,
                            .displaced_reported = any,
                            .summary_ms = any ? clock_deadline_ms(LIMIT_SUMMARY_MS) : CLOCK_NEVER};
}

/* Kills a session that has not logged in for a while, so that silent or slow connections do not
 * block others. */
static void displace(struct init *init, struct connection *victim)
{
    int64_t now_ms = clock_now_ms();
    note(init);
    victim->reported = !init->unreported.displaced_reported;
    init->unreported.displaced_reported = true;
    if (victim->reported) {
        log_warn("%s: not logged in after %.1f s, making room", victim->source->address,
                 (double)(now_ms - victim->accepted_ms) / 1000.0);
    }
    victim->displaced = true;
    source_penalise(victim->source, LIMIT_PENALTY_DISPLACED, now_ms);
    (void)kill(victim->pid, SIGKILL); /* it has no job */
}

void connection_ended(struct init *init, struct connection *connection, int status, int64_t cpu_us)
{
    const char *address = connection->source->address;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        log_error("session %d of %s was killed by its seccomp filter (SIGSYS)",
                  (int)connection->pid, address);
    } else if (WIFSIGNALED(status) && !connection->displaced) {
        log_warn("session %d of %s was killed by signal %d", (int)connection->pid, address,
                 WTERMSIG(status));
    }
    if (!connection->logged_in) {
        int64_t now_ms = clock_now_ms();
        admission_owe(&init->admission, cpu_us, now_ms);
        source_penalise(connection->source, LIMIT_PENALTY_NO_LOGIN, now_ms);
        /* its session logged nothing */
        if (source_is_busy(connection->source, now_ms) && !connection->reported) {
            note(init);
            init->unreported.no_login++;
        }
    }
    free_connection(init, connection);
}

static _Noreturn void run_session(struct init *init, int fd, const int ends[2],
                                  const struct sockaddr_storage *peer, bool quiet, pid_t parent)
{
    int control = ends[1];
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof(local);
    char address[LISTEN_NAME_BYTES];
    char local_address[LISTEN_NAME_BYTES];
    char name[LISTEN_NAME_BYTES + 16];
    char client[2 * LISTEN_NAME_BYTES + 16];
    child_close_inherited(init, fd, control, parent);
    (void)close(ends[0]); /* so that the other end is closed when init exits */
    (void)prctl(PR_SET_NAME, "berth-session");
    (void)getsockname(fd, (struct sockaddr *)&local, &length);
    listen_address(peer, address);
    listen_address(&local, local_address);
    (void)snprintf(name, sizeof(name), "%s port %d", address, listen_port(peer));
    (void)snprintf(client, sizeof(client), "%s %d %s %d", address, listen_port(peer), local_address,
                   listen_port(&local));
    struct session_setup setup = {.connection = fd,
                                  .control = control,
                                  .peer = name,
                                  .client = client,
                                  .quiet = quiet,
                                  .options = init->options,
                                  .server = &init->server,
                                  .authorized = init->authorized};
    int status = session_run(&setup);
    leaks_check();
    _exit(status);
}

static void fork_session(struct init *init, struct connection *slot, const struct waiting *waiting)
{
    int ends[2];
    const char *address = waiting->source->address;
    pid_t parent = getpid();
    if (wire_pair(ends) < 0) {
        log_warn("%s: cannot make a control socket: %m, refusing", address);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        bool quiet = source_is_busy(waiting->source, clock_now_ms());
        run_session(init, waiting->fd, ends, &waiting->peer, quiet, parent);
    }
    (void)close(ends[1]);
    if (pid < 0) {
        log_warn("%s: cannot fork a session: %m, refusing", address);
        (void)close(ends[0]);
        return;
    }
    int number = (int)(slot - init->connections);
    init->connections_top = number < init->connections_top ? init->connections_top : number + 1;
    *slot = (struct connection){
        .pid = pid, .control = ends[0], .accepted_ms = clock_now_ms(), .source = waiting->source};
    waiting->source->users++;
}

/* Removes a waiting connection. A session process has its own copy of the descriptor. */
static void drop_waiting(struct init *init, int index)
{
    struct waiting *waiting = &init->waiting[index];
    (void)close(waiting->fd);
    waiting->source->users--;
    waiting->source->waiting--;
    init->waiting_count--;
    memmove(waiting, waiting + 1, sizeof(*waiting) * (size_t)(init->waiting_count - index));
}

/* Logs the first refusal; further ones are counted for the summary. */
static void log_refusal(struct init *init, struct source *source,
                        const struct sockaddr_storage *peer, const char *reason)
{
    note(init);
    if (!init->unreported.refused_reported) {
        init->unreported.refused_reported = true;
        log_warn("%s port %d: %s, refusing", source->address, listen_port(peer), reason);
    } else {
        init->unreported.refused++;
        source->refused++;
    }
}

static void refuse(struct init *init, int index)
{
    const struct waiting *waiting = &init->waiting[index];
    log_refusal(init, waiting->source, &waiting->peer, waiting->reason);
    drop_waiting(init, index);
}

/* A client that has disconnected needs no session. poll() reports it, without a read. */
void connection_left(struct init *init, int index)
{
    source_penalise(init->waiting[index].source, LIMIT_PENALTY_NO_LOGIN, clock_now_ms());
    drop_waiting(init, index);
}

/* Returns whether the waiting connection was served or refused; otherwise lowers '*again_ms'. */
static bool admit(struct init *init, int index, int waiting_with, int64_t *again_ms)
{
    static struct place places[LIMIT_CONNECTIONS];
    static int owners[LIMIT_CONNECTIONS];
    struct waiting *waiting = &init->waiting[index];
    struct admission_question question = {
        .source = waiting->source,
        .places = places,
        .count = list_places(init, places, owners),
        .most = (int)init->options->max_unauthenticated,
        .most_per_address = (int)init->options->max_unauthenticated_per_address,
        .waiting = waiting_with,
        .now_ms = clock_now_ms(),
    };
    struct admission_answer answer = admission_ask(&init->admission, &question);
    struct connection *slot = free_slot(init);
    waiting->reason = slot == NULL ? "too many connections" : answer.reason;
    if (answer.start && slot != NULL) {
        if (answer.displaced >= 0) {
            displace(init, &init->connections[owners[answer.displaced]]);
        }
        fork_session(init, slot, waiting);
        drop_waiting(init, index);
        return true;
    }
    bool long_wait =
        waiting_with > LIMIT_CROWD || source_is_suspect(waiting->source, question.now_ms);
    int64_t until_ms = waiting->since_ms + (long_wait ? LIMIT_CROWDED_WAIT_MS : LIMIT_WAIT_MS);
    if (question.now_ms >= until_ms) {
        refuse(init, index);
        return true;
    }
    *again_ms = clock_earlier_ms(*again_ms, clock_earlier_ms(until_ms, answer.again_ms));
    return false;
}

void connection_admit(struct init *init)
{
    int64_t again_ms = CLOCK_NEVER;
    while (init->phase != SHUTDOWN_NONE && init->waiting_count > 0) {
        drop_waiting(init, 0);
    }
    int64_t now_ms = clock_now_ms();
    int with = init->waiting_count;
    for (int suspects = 0; suspects < 2; suspects++) {
        for (int i = 0; i < init->waiting_count;) {
            bool suspect = source_is_suspect(init->waiting[i].source, now_ms);
            if (suspect != (suspects == 1) || !admit(init, i, with, &again_ms)) {
                i++;
            }
        }
    }
    init->admit_again_ms = again_ms;
}

/* With all waiting places in use, refuses the latest connection of the address that has most of
 * them. Returns whether there is a place now. */
static bool make_waiting_room(struct init *init, const struct source *source)
{
    int64_t now_ms = clock_now_ms();
    int chosen = -1;
    bool suspect = source_is_suspect(source, now_ms);
    for (int i = 0; i < init->waiting_count; i++) {
        const struct source *other = init->waiting[i].source;
        bool lesser = source_is_suspect(other, now_ms) && !suspect;
        if ((lesser || other->waiting > source->waiting + 1) &&
            (chosen < 0 || other->waiting >= init->waiting[chosen].source->waiting)) {
            chosen = i;
        }
    }
    if (chosen >= 0) {
        refuse(init, chosen);
    }
    return chosen >= 0;
}

static int own_places(const struct init *init, const struct source *source)
{
    struct place places[LIMIT_CONNECTIONS];
    int owners[LIMIT_CONNECTIONS];
    int count = list_places(init, places, owners);
    int own = 0;
    for (int i = 0; i < count; i++) {
        own += places[i].source == source;
    }
    return own;
}

/* Every connection starts as a waiting one; most are served at once. */
static void take_in(struct init *init, int taken_fd, const struct sockaddr_storage *peer)
{
    cleanup_fd int fd = taken_fd;
    char address[LISTEN_NAME_BYTES];
    int64_t now_ms = clock_now_ms();
    listen_address(peer, address);
    struct source *source = admission_source(&init->admission, address, now_ms);
    if (own_places(init, source) + source->waiting >=
        init->options->max_unauthenticated_per_address) {
        source_penalise(source, LIMIT_PENALTY_NO_LOGIN, now_ms);
    }
    if (init->waiting_count == LIMIT_WAITING && !make_waiting_room(init, source)) {
        log_refusal(init, source, peer, "too many waiting connections");
        return;
    }
    source->users++;
    source->waiting++;
    init->waiting[init->waiting_count++] =
        (struct waiting){.fd = steal_fd(&fd), .source = source, .peer = *peer, .since_ms = now_ms};
}

/* Out of descriptors or memory: the connection stays in the kernel's queue, so that poll() would
 * return at once again and again. */
static void pause_accepting(struct init *init)
{
    if (!init->accept_failed) {
        log_warn("cannot accept a connection: %m, retrying");
    }
    init->accept_failed = true;
    init->accept_again_ms = clock_deadline_ms(LIMIT_ACCEPT_PAUSE_MS);
}

void connection_accept(struct init *init)
{
    init->accept_again_ms = CLOCK_NEVER;
    for (int i = 0; i < LIMIT_ACCEPTED_AT_ONCE; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof(peer);
        cleanup_fd int fd = accept4(init->listener, (struct sockaddr *)&peer, &length,
                                    SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                pause_accepting(init);
            }
            return;
        }
        init->accept_failed = false;
        take_in(init, steal_fd(&fd), &peer);
    }
}

static void on_message(struct init *init, struct connection *connection,
                       const struct wire_message *message, int fds[WIRE_FDS])
{
    if (message->type == WIRE_LOGGED_IN) {
        connection->logged_in = true;
        source_logged_in(connection->source, clock_now_ms());
        init->ever_logged_in = true;
    } else if (message->type == WIRE_LOGIN_ASKED) {
        connection->asked = true;
    } else if (message->type == WIRE_CLAIMED && connection->logged_in) {
        log_line(init->claimed ? LOG_DEBUG : LOG_INFO, "a client has claimed this task for a job");
        init->claimed = true;
    } else if (message->type == WIRE_JOB_START && connection->logged_in && fds[0] >= 0 &&
               fds[1] >= 0) {
        jobs_start(init, NULL, fds);
    } else if (message->type == WIRE_RESUMABLE_START && connection->logged_in && fds[2] >= 0) {
        jobs_start(init, message->id, fds);
    } else if (message->type == WIRE_RESUMABLE_ATTACH && connection->logged_in && fds[0] >= 0) {
        jobs_attach(init, message->id, fds[0]);
    } else {
        log_warn("session %d: unexpected message %d, ignoring it", (int)connection->pid,
                 message->type);
    }
    for (int i = 0; i < WIRE_FDS; i++) {
        cleanup_fd_fn(&fds[i]);
    }
}

void connection_message(struct init *init, struct connection *connection)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    for (;;) {
        switch (wire_receive(connection->control, &message, fds)) {
        case WIRE_NOTHING:
            return;
        case WIRE_CLOSED: /* the process is exiting; reap.c frees the slot */
            cleanup_fd_fn(&connection->control);
            return;
        case WIRE_MESSAGE:
            on_message(init, connection, &message, fds);
            break;
        }
    }
}

void connection_shutdown_all(struct init *init)
{
    struct wire_message message = {.type = WIRE_SHUTDOWN};
    for (int i = 0; i < init->connections_top; i++) {
        if (init->connections[i].pid != 0 && init->connections[i].control >= 0) {
            (void)wire_send(init->connections[i].control, &message, NULL,
                            0); /* it may have exited */
        }
    }
}
