/* SPDX-License-Identifier: MIT */
#include "driver/task/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/task/helper.h"
#include "driver/task/start_report.h"
#include "driver/task/task_command.h"

/* The document of the task metadata endpoint, and how long it is waited for. */
#define DOCUMENT_BYTES (128UL << 10)
#define DOCUMENT_MS    3000
/* Of two addresses the first is tried alone, since the backend has to be asked for the second with
 * a call that most jobs do not need; then each is tried in turn. A login that has begun gets more
 * time each time, so that a server which accepts connections and says nothing does not hold up the
 * other address, and a slow one is logged in to at last. */
#define FIRST_TURN_MS 3000
#define TURN_MS       1500
#define LOGIN_MS      3000 /* doubled each time, as the pause between two questions for the second */
#define LOGIN_LAST_MS 120000
#define TURN_PAUSE_MS 500

_Static_assert(METADATA_HOST_KEY_BYTES == SSH_HOST_KEY_BYTES,
               "a learned host key fits into the metadata");

static int persist(struct backend_task *backend_task, struct error *err)
{
    return metadata_save(backend_task->metadata, backend_task->config->metadata_directory, err);
}

/* Pins the key of the first connection for the rest of the job. */
static int pin_host_key(struct task *task, const struct ssh_connection *connection,
                        struct error *err)
{
    struct metadata *metadata = task->backend_task.metadata;
    if (ssh_connection_learned_key(connection)[0] == '\0') {
        return 0;
    }
    (void)snprintf(metadata->agents[METADATA_JOB].host_key, METADATA_HOST_KEY_BYTES, "%s",
                   ssh_connection_learned_key(connection));
    log_warn("the task does not use the host key set in its environment; pinned the key it "
             "presented on first connection; use an image with berth-agent to verify it, or set "
             "[SSH] HostKey = \"strict\" to reject it");
    return task->has_metadata ? persist(&task->backend_task, err) : 0;
}

struct address {
    char host[METADATA_ADDRESS_BYTES]; /* empty: not known */
    bool foreign;                      /* the server there is not the task */
};

struct turns {
    struct address both[2];
    int64_t login_ms; /* how long a login may take */
    int64_t ask_ms;   /* when the second address may be asked for again */
};

/* The address whose turn it is, or the other one if it is unknown or not the task's. */
static struct address *next_address(struct task *task, struct turns *turns, int turn)
{
    struct backend_task *backend_task = &task->backend_task;
    struct address *second = &turns->both[1];
    if (second->host[0] == '\0' && backend_task->two_addresses && clock_now_ms() >= turns->ask_ms) {
        turns->ask_ms = clock_deadline_ms(turns->login_ms);
        if (task->backend->second_address(backend_task, second->host, sizeof(second->host)) == 0) {
            second->host[0] = '\0';
        }
    }
    struct address *next = &turns->both[turn % 2];
    struct address *other = &turns->both[(turn + 1) % 2];
    return next->foreign || next->host[0] == '\0' ? other : next;
}

/* The login after a launch. Which of two addresses leads to the task depends on where this machine
 * is, so the first has some seconds to itself, and then they take turns. Another server at one
 * address does not rule out the other. */
static int connect_first(struct task *task, int64_t deadline_ms,
                         struct ssh_connection **out_connection, struct error *err)
{
    struct backend_task *backend_task = &task->backend_task;
    struct metadata_agent *agent = &backend_task->metadata->agents[METADATA_JOB];
    struct turns turns = {.login_ms = LOGIN_MS};
    struct address *both = turns.both;
    struct address *address = &both[0];
    memcpy(both[0].host, agent->host, sizeof(both[0].host));
    for (int turn = 1;; turn++) {
        bool alone = !backend_task->two_addresses;
        int64_t tries_ms =
            alone ? CLOCK_NEVER : clock_deadline_ms(turn == 1 ? FIRST_TURN_MS : TURN_MS);
        int64_t until_ms =
            alone ? deadline_ms : clock_earlier_ms(deadline_ms, clock_deadline_ms(turns.login_ms));
        err->errnum = 0;
        if (!address->foreign) {
            if (task_log_in_by(task, METADATA_JOB, TASK_FIRST_CONTACT, tries_ms, until_ms,
                               out_connection, err) == 0) {
                return task->has_metadata && address != &both[0] ? persist(backend_task, err) : 0;
            }
            address->foreign = err->kind == ERROR_PEER;
        } else if (task_check_alive(task, BACKEND_IF_DUE, err) <
                   0) { /* the other is not known yet */
            return -1;
        }
        if (!backend_task->two_addresses || task->ended || signals_pending(backend_task->signals) ||
            clock_now_ms() >= deadline_ms || (both[0].foreign && both[1].foreign)) {
            return -1;
        }
        if (err->errnum != ETIMEDOUT) {
            (void)signals_wait(backend_task->signals, -1, clock_deadline_ms(TURN_PAUSE_MS));
        }
        address = next_address(task, &turns, turn);
        memcpy(agent->host, address->host, sizeof(agent->host));
        turns.login_ms =
            turn % 2 == 0 ? clock_earlier_ms(2 * turns.login_ms, LOGIN_LAST_MS) : turns.login_ms;
    }
}

/* For the backend's settle(). */
struct settling {
    const struct task *task;
    struct ssh_connection *connection;
};

static int run_in_helper(void *context, struct backend_command *command, int64_t deadline_ms,
                         struct error *err)
{
    const struct settling *settling = context;
    return task_command(settling->task, settling->connection, command, deadline_ms, err);
}

static int settle(struct task *task, struct ssh_connection *connection, int64_t deadline_ms,
                  struct error *err)
{
    struct settling settling = {task, connection};
    const struct backend_helper helper = {&settling, run_in_helper};
    return task->backend->settle == NULL
               ? 0
               : task->backend->settle(&task->backend_task, &helper, deadline_ms, err);
}

/* The helper's login, once the job's container was reached: on ECS both have the task's address. */
static int reach_helper(struct task *task, int64_t deadline_ms, struct error *err)
{
    struct metadata *metadata = task->backend_task.metadata;
    struct metadata_agent *helper = &metadata->agents[METADATA_HELPER];
    struct ssh_connection *connection = NULL;
    if (helper->host[0] == '\0') {
        memcpy(helper->host, metadata->agents[METADATA_JOB].host, sizeof(helper->host));
        if (task->has_metadata && persist(&task->backend_task, err) < 0) {
            return -1;
        }
    }
    int result =
        task_log_in(task, METADATA_HELPER, TASK_FIRST_CONTACT, deadline_ms, &connection, err);
    if (result == 0) {
        task->backend_task.start.login_ms += ssh_connection_login_ms(connection);
        result = helper_check(task, connection, deadline_ms, err);
    }
    if (result < 0) {
        (void)error_wrap(err, "helper container");
    } else {
        result = settle(task, connection, deadline_ms, err); /* its errors name the service */
    }
    ssh_connection_free(connection);
    return result;
}

/* Without a helper: what it would do is done by the job's container. */
static int reach_job_alone(struct task *task, struct ssh_connection *connection,
                           int64_t deadline_ms, struct error *err)
{
    return task->backend_task.wants_git && helper_check_job(task, connection, deadline_ms, err) < 0
               ? -1
               : settle(task, connection, deadline_ms, err);
}

/* The times of the start, by the agent of the job's container; without them the report has less. */
static void read_times(struct task *task, struct ssh_connection *connection, int64_t deadline_ms)
{
    struct backend_task *backend_task = &task->backend_task;
    const struct metadata *metadata = backend_task->metadata;
    const char *const words[] = {task_has_our_agent(metadata) ? BACKEND_AGENT_PATH : "berth-agent",
                                 "task-metadata", NULL};
    struct error err = {0};
    if (!task->backend->has_metadata ||
        metadata->agents[METADATA_JOB].host_key[0] != '\0') { /* another SSH server */
        return;
    }
    cleanup_free char *document = malloc(DOCUMENT_BYTES);
    deadline_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(DOCUMENT_MS));
    struct backend_command command = {.words = words, .text = document, .room = DOCUMENT_BYTES};
    if (document == NULL || task_command(task, connection, &command, deadline_ms, &err) < 0) {
        log_debug("no times of the start: %s", err.message);
    } else if (command.status != 0) {
        log_debug("no times of the start: %s", document);
    } else {
        start_report_read(document, backend_task->config->fargate.container_name,
                          &backend_task->start);
    }
}

static int launch(struct task *task, struct ssh_connection **out_connection, struct error *err)
{
    struct backend_task *backend_task = &task->backend_task;
    int64_t fetching_ms = clock_now_ms();
    start_report_init(&backend_task->start);
    if (task->backend->fetch != NULL && task->backend->fetch(backend_task, err) < 0) {
        return -1;
    }
    int64_t started_ms = clock_now_ms();
    task->fetched_after_ms = started_ms - fetching_ms;
    int64_t deadline_ms = started_ms + (task->backend->launch_timeout_ms != NULL
                                            ? task->backend->launch_timeout_ms(backend_task->config)
                                            : backend_task->config->ssh_connect_timeout_ms);
    keys_generate(backend_task->metadata->keys);
    backend_task->persist = task->has_metadata ? persist : NULL;
    if (task->backend->plan(backend_task, err) < 0 ||
        (task->has_metadata && persist(backend_task, err) < 0)) {
        return -1;
    }
    task_hold(task);
    if (task->backend->launch(backend_task, deadline_ms, err) < 0 ||
        (task->has_metadata && persist(backend_task, err) < 0)) {
        return -1;
    }
    task->backend->describe(backend_task, task->name, sizeof(task->name));
    task->launched_after_ms = clock_now_ms() - started_ms;
    if (!task->backend->has_metadata) {
        backend_task->start.by_driver = true;
        backend_task->start.pulled_ms = task->backend->fetch == NULL ? -1 : task->fetched_after_ms;
        backend_task->start.started_ms = task->launched_after_ms - backend_task->start.created_ms -
                                         backend_task->start.services_ms;
    }
    if (connect_first(task, deadline_ms, out_connection, err) < 0 ||
        pin_host_key(task, *out_connection, err) < 0) {
        return -1;
    }
    backend_task->start.login_ms = ssh_connection_login_ms(*out_connection);
    if ((backend_task->metadata->has_helper
             ? reach_helper(task, deadline_ms, err)
             : reach_job_alone(task, *out_connection, deadline_ms, err)) < 0) {
        return -1;
    }
    task->ready_after_ms = clock_now_ms() - started_ms;
    read_times(task, *out_connection, deadline_ms);
    return signals_requested(backend_task->signals)
               ? error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal")
               : 0;
}

int task_launch(struct task *task, const char *job, struct ssh_connection **out_connection,
                struct error *err)
{
    task->backend_task.metadata = metadata_new(job, task->backend->name, err);
    if (task->backend_task.metadata == NULL) {
        return -1;
    }
    task->backend_task.metadata->origin = task->origin;
    task->backend_task.metadata->warm = task->warm;
    if (launch(task, out_connection, err) == 0) {
        return 0;
    }
    struct error second;
    if (task_stop(task, &second) < 0) {
        char text[ERROR_TEXT_BYTES];
        log_warn("%s", error_text(&second, text)); /* the runner's cleanup stage tries again */
    }
    return -1;
}
