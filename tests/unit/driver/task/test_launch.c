/* SPDX-License-Identifier: MIT */
/* Time stands still in this program but for its waits, which take none. */
#include "common/clock.h"
#include "driver/task/launch.h"
#include "tests/unit/driver/rows.h"

#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define TIMEOUT_MS (30 * 60 * 1000)
#define TRIES      50000 /* more than fit into that time */

static int64_t time_ms = 1000000;
static int port, tries;
static int64_t first_ms;

int clock_gettime(clockid_t clock_id, struct timespec *tp)
{
    (void)clock_id;
    *tp = (struct timespec){.tv_sec = time_ms / 1000, .tv_nsec = time_ms % 1000 * 1000000};
    return 0;
}

int poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
    int ready = (int)syscall(SYS_poll, fds, nfds, 0);
    assert_true(ready != 0 || timeout >= 0); /* a wait without an end */
    time_ms += ready == 0 ? timeout : 0;
    return ready;
}

/* --- a backend whose task has two addresses, where nothing ever listens --- */

static int plan(struct backend_task *task, struct error *err)
{
    (void)task;
    (void)err;
    return 0;
}

static int launch(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct metadata_agent *agent = &task->metadata->agents[METADATA_JOB];
    (void)deadline_ms;
    (void)err;
    (void)snprintf(agent->host, sizeof(agent->host), "127.0.0.1");
    agent->port = port;
    task->two_addresses = true;
    first_ms = time_ms;
    return 0;
}

static int second_address(struct backend_task *task, char *out, size_t room)
{
    (void)task;
    (void)snprintf(out, room, "127.0.0.2");
    return 1;
}

static int64_t launch_timeout_ms(const struct config *config)
{
    (void)config;
    return TIMEOUT_MS;
}

static int alive(struct backend_task *task, enum backend_asking asking, struct error *err)
{
    (void)task;
    (void)asking;
    return ++tries < TRIES ? 0 : error_set(err, ERROR_SYSTEM, 0, "tried without a pause");
}

static int stop(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    (void)task;
    (void)deadline_ms;
    (void)err;
    return 0;
}

static void describe(const struct backend_task *task, char *out, size_t room)
{
    (void)task;
    (void)snprintf(out, room, "task");
}

static const struct backend backend = {
    .name = "play",
    .plan = plan,
    .launch = launch,
    .second_address = second_address,
    .launch_timeout_ms = launch_timeout_ms,
    .alive = alive,
    .stop = stop,
    .describe = describe,
};

/* A port that refuses connections for as long as the descriptor is open. */
static int closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    port = ntohs(address.sin_port);
    return fd;
}

static void both_addresses_are_tried_until_the_deadline(void **state)
{
    (void)state;
    struct config config = {.cleanup_timeout_ms = 1000};
    struct task task = {.backend = &backend, .backend_task = {.config = &config}};
    struct ssh_connection *connection = NULL;
    struct error err = {0};
    int fd = closed_port();
    assert_int_equal(task_launch(&task, "job-1", &connection, &err), -1);
    (void)close(fd);
    print_message("%s after %d tries\n", err.message, tries);
    assert_true(tries < TRIES);
    assert_true(time_ms >= first_ms + TIMEOUT_MS);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_addresses_are_tried_until_the_deadline),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
