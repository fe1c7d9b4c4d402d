/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/leaks.h"
#include "agent/session/session.h"
#include "agent/wire.h"
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

void connection_free_slot(struct init *init, struct connection *connection)
{
    connection->pid = 0;
    cleanup_fd_fn(&connection->control);
    while (init->connections_top > 0 && init->connections[init->connections_top - 1].pid == 0) {
        init->connections_top--;
    }
}

/* Connections that have not logged in, all or those from one address (NULL: all), and the oldest
 * of them; NULL without any. A process that closed its control socket is only about to end. */
static int count_unauthenticated(struct init *init, const char *address,
                                 struct connection **out_oldest)
{
    int count = 0;
    *out_oldest = NULL;
    for (int i = 0; i < init->connections_top; i++) {
        struct connection *other = &init->connections[i];
        if (other->pid == 0 || other->control < 0 || other->logged_in || other->displaced ||
            (address != NULL && strcmp(other->address, address) != 0)) {
            continue;
        }
        count++;
        if (*out_oldest == NULL || other->accepted_ms < (*out_oldest)->accepted_ms) {
            *out_oldest = other;
        }
    }
    return count;
}

/* A login takes a moment. One that is still not done gives way, so that silent or slow connections
 * keep nobody out; a new one among young ones only is refused. */
static bool displace(struct connection *oldest)
{
    if (oldest == NULL) {
        return false;
    }
    int64_t age_ms = clock_now_ms() - oldest->accepted_ms;
    if (age_ms < LIMIT_LOGIN_UNDISTURBED_MS) {
        return false;
    }
    log_warn("%s: not logged in after %.1f s, making room", oldest->address,
             (double)age_ms / 1000.0);
    oldest->displaced = true;
    (void)kill(oldest->pid, SIGKILL); /* it has no job, and no say */
    return true;
}

/* Why one more connection from this address is refused, or NULL. */
static const char *make_room(struct init *init, const char *address)
{
    struct connection *oldest = NULL;
    if (count_unauthenticated(init, address, &oldest) >=
            init->options->max_unauthenticated_per_address &&
        !displace(oldest)) {
        return "too many connections from this address that have not logged in";
    }
    if (count_unauthenticated(init, NULL, &oldest) >= init->options->max_unauthenticated &&
        !displace(oldest)) {
        return "too many connections that have not logged in";
    }
    return NULL;
}

static _Noreturn void run_session(struct init *init, int fd, const int ends[2],
                                  const struct sockaddr_storage *peer, pid_t parent)
{
    int control = ends[1];
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof(local);
    char address[LISTEN_NAME_BYTES];
    char local_address[LISTEN_NAME_BYTES];
    char name[LISTEN_NAME_BYTES + 16];
    char client[2 * LISTEN_NAME_BYTES + 16];
    init_forget(init, fd, control, parent);
    (void)close(ends[0]); /* or init's death would not show as its end */
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
                                  .options = init->options,
                                  .server = &init->server,
                                  .authorized = init->authorized};
    int status = session_run(&setup);
    leaks_check();
    _exit(status);
}

static void fork_session(struct init *init, struct connection *slot, int fd,
                         const struct sockaddr_storage *peer)
{
    int ends[2];
    pid_t parent = getpid();
    if (wire_pair(ends) < 0) {
        log_warn("%s: cannot make a control socket: %m, refusing", slot->address);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        run_session(init, fd, ends, peer, parent);
    }
    (void)close(ends[1]);
    if (pid < 0) {
        log_warn("%s: cannot fork a session: %m, refusing", slot->address);
        (void)close(ends[0]);
        return;
    }
    int number = (int)(slot - init->connections);
    init->connections_top = number < init->connections_top ? init->connections_top : number + 1;
    slot->pid = pid;
    slot->control = ends[0];
    slot->logged_in = false;
    slot->displaced = false;
    slot->accepted_ms = clock_now_ms();
}

/* Out of descriptors or memory: the connection waits in the kernel's queue, and the listener would
 * wake us at once, again and again. */
static void pause_accepting(struct init *init)
{
    if (!init->accept_failed) {
        log_warn("cannot accept a connection: %m, letting it wait");
    }
    init->accept_failed = true;
    init->accept_again_ms = clock_deadline_ms(LIMIT_ACCEPT_PAUSE_MS);
}

void connection_accept(struct init *init)
{
    init->accept_again_ms = CLOCK_NEVER;
    for (;;) {
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
        char address[LISTEN_NAME_BYTES];
        init->accept_failed = false;
        listen_address(&peer, address);
        struct connection *slot = free_slot(init);
        const char *reason = slot == NULL ? "too many connections" : make_room(init, address);
        if (reason != NULL) {
            log_warn("%s port %d: %s, refusing", address, listen_port(&peer), reason);
            continue;
        }
        memcpy(slot->address, address, sizeof(address));
        fork_session(init, slot, fd, &peer);
    }
}

static void on_message(struct init *init, struct connection *connection,
                       const struct wire_message *message, int fds[WIRE_FDS])
{
    if (message->type == WIRE_LOGGED_IN) {
        connection->logged_in = true;
        init->ever_logged_in = true;
    } else if (message->type == WIRE_JOB_START && connection->logged_in && fds[0] >= 0 &&
               fds[1] >= 0) {
        (void)jobs_start(init, fds[0], fds[1], -1, -1); /* the session heard of a failure */
    } else if (message->type == WIRE_DURABLE_START && connection->logged_in && fds[2] >= 0) {
        durable_job_start(init, message->id, fds);
    } else if (message->type == WIRE_DURABLE_ATTACH && connection->logged_in && fds[0] >= 0) {
        durable_job_attach(init, message->id, fds[0]);
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
        case WIRE_CLOSED: /* the process is about to end; reap.c frees the slot */
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
            (void)wire_send(init->connections[i].control, &message, NULL, 0); /* gone already */
        }
    }
}
