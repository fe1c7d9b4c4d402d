/* SPDX-License-Identifier: MIT */
#include "driver/task/task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "driver/base/json.h"
#include "driver/record/metadata_directory.h"
#include "driver/task/helper.h"
#include "driver/task/start_report.h"
#include "driver/task/task_command.h"

#define RECONNECT_MS 30000 /* to a task that was reached before */
/* The connection shows the end of a task sooner than its backend does. */
#define REASON_TIMEOUT_MS 15000
#define REASON_PAUSE_MS   250
/* The document of the task metadata endpoint, and how long it is waited for. */
#define DOCUMENT_BYTES (128UL << 10)
#define DOCUMENT_MS    3000
/* For the first address alone, then for each in turn, doubled each time. */
#define TURN_MS       3000
#define TURN_PAUSE_MS 500

_Static_assert(METADATA_HOST_KEY_BYTES == SSH_HOST_KEY_BYTES,
               "a learned host key fits into the metadata");
_Static_assert(METADATA_JOB_BYTES == RUNNER_JOB_KEY_BYTES, "a job's key fits into the metadata");

static int persist(struct backend_task *backend_task, struct error *err)
{
    return metadata_save(backend_task->metadata, backend_task->config->metadata_directory, err);
}

/* Returns -1 with the reason when the task has ended, as seen by the watcher, by an earlier answer
 * of the backend, or by the one that it gives now. */
static int check_alive(struct task *task, enum backend_asking asking, struct error *err)
{
    if (!task->ended && !task_watcher_reason(&task->watch, &task->end)) {
        /* A request to stop interrupted the call, which is not an answer. */
        if (task->backend->alive(&task->backend_task, asking, &task->end) == 0 ||
            task->end.errnum == EINTR) {
            return 0;
        }
    }
    task->ended = true;
    *err = task->end;
    return -1;
}

int task_why(struct task *task, bool patient, struct error *err)
{
    int64_t until_ms = clock_deadline_ms(patient ? REASON_TIMEOUT_MS : 0);
    enum backend_asking asking = BACKEND_WAIT;
    while (check_alive(task, asking, err) == 0) {
        asking = BACKEND_IF_DUE;
        if (clock_now_ms() >= until_ms ||
            signals_wait(task->backend_task.signals, -1, clock_deadline_ms(REASON_PAUSE_MS)) < 0) {
            return 0;
        }
    }
    return -1;
}

int task_explain(struct task *task, bool patient, struct error *err)
{
    const struct signals *signals = task->backend_task.signals;
    struct error gone;
    /* Not a refusal, blocked output, or an end by request. */
    bool lost =
        err->kind == ERROR_SYSTEM && err->errnum == 0 && (signals == NULL || signals->first == 0);
    if (task_why(task, patient && lost, &gone) < 0) {
        err->kind = ERROR_SYSTEM; /* whatever the server reported while it stopped */
        (void)error_wrap(err, "%s", gone.message);
    }
    return -1;
}

static int alive_between_tries(void *context, struct error *err)
{
    return check_alive(context, BACKEND_IF_DUE, err);
}

/* Whether the task was reached before. */
enum contact { CONTACT_FIRST, CONTACT_LATER };

/* An image without our agent may present its own host key on the first connection. */
static int connect_until(struct task *task, enum metadata_container container, enum contact contact,
                         int64_t deadline_ms, struct ssh_connection **out_connection,
                         struct error *err)
{
    const struct config *config = task->backend_task.config;
    const struct metadata *metadata = task->backend_task.metadata;
    const struct metadata_agent *agent = &metadata->agents[container];
    bool strict = config->ssh_host_key != NULL && strcmp(config->ssh_host_key, "strict") == 0;
    struct ssh_target target = {
        .host = agent->host,
        .port = agent->port,
        .username = config->ssh_username,
        .user_seed = metadata->keys->user_seed,
        .host_seed = metadata_host_seed(metadata, container),
        .pinned = agent->host_key,
        /* With a helper, both containers have our agent. */
        .learn = contact == CONTACT_FIRST && task->backend->may_lack_agent &&
                 !metadata->has_helper && !strict,
    };
    struct ssh_retry retry = {
        .deadline_ms = deadline_ms,
        .reached_before = contact == CONTACT_LATER,
        .alive = alive_between_tries,
        .context = task,
    };
    return ssh_connection_open(&target, &retry, task->backend_task.signals, out_connection, err);
}

/* Connects to a task that was reached before, and starts to watch it. */
static int reach(struct task *task, int64_t deadline_ms, struct ssh_connection **out_connection,
                 struct error *err)
{
    struct error gone;
    if (connect_until(task, task->container, CONTACT_LATER, deadline_ms, out_connection, err) ==
        0) {
        task_watcher_start(&task->watch, task->backend, &task->backend_task, *out_connection);
        return 0;
    }
    /* A task with another host key may have got the address of one that is gone. */
    if (task->ended || (err->kind == ERROR_PEER && check_alive(task, BACKEND_WAIT, &gone) < 0)) {
        *err = task->end;
    }
    return -1;
}

int task_reconnect(struct task *task, int64_t deadline_ms, struct ssh_connection **out_connection,
                   struct error *err)
{
    /* An ended task may leave a listener that accepts connections and never answers. */
    int gone = check_alive(task, BACKEND_SOON, err);
    task_watcher_stop(&task->watch);
    return gone < 0 ? -1 : reach(task, deadline_ms, out_connection, err);
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

/* The address whose turn it is, or the other one if it is unknown or not the task's. */
static struct address *next_address(struct task *task, struct address both[2], int turn)
{
    struct backend_task *backend_task = &task->backend_task;
    if (both[1].host[0] == '\0' && backend_task->two_addresses &&
        task->backend->second_address(backend_task, both[1].host, sizeof(both[1].host)) == 0) {
        both[1].host[0] = '\0';
    }
    struct address *next = &both[turn % 2];
    struct address *other = &both[(turn + 1) % 2];
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
    struct address both[2] = {0};
    struct address *address = &both[0];
    int64_t turn_ms = TURN_MS;
    memcpy(both[0].host, agent->host, sizeof(both[0].host));
    for (int turn = 1;; turn++) {
        int64_t until_ms = backend_task->two_addresses
                               ? clock_earlier_ms(deadline_ms, clock_deadline_ms(turn_ms))
                               : deadline_ms;
        if (!address->foreign) {
            if (connect_until(task, METADATA_JOB, CONTACT_FIRST, until_ms, out_connection, err) ==
                0) {
                return task->has_metadata && address != &both[0] ? persist(backend_task, err) : 0;
            }
            address->foreign = err->kind == ERROR_PEER;
        } else if (check_alive(task, BACKEND_IF_DUE, err) < 0) { /* the other is not known yet */
            return -1;
        }
        if (!backend_task->two_addresses || task->ended || signals_pending(backend_task->signals) ||
            clock_now_ms() >= deadline_ms || (both[0].foreign && both[1].foreign)) {
            return -1;
        }
        if (clock_now_ms() < until_ms) {
            (void)signals_wait(backend_task->signals, -1, clock_deadline_ms(TURN_PAUSE_MS));
        }
        address = next_address(task, both, turn);
        memcpy(agent->host, address->host, sizeof(agent->host));
        turn_ms = turn % 2 == 0 ? 2 * turn_ms : turn_ms;
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
    if (!metadata->has_helper) {
        return 0;
    }
    if (helper->host[0] == '\0') {
        memcpy(helper->host, metadata->agents[METADATA_JOB].host, sizeof(helper->host));
        if (task->has_metadata && persist(&task->backend_task, err) < 0) {
            return -1;
        }
    }
    int result = connect_until(task, METADATA_HELPER, CONTACT_FIRST, deadline_ms, &connection, err);
    if (result == 0) {
        result = helper_check(task, connection, deadline_ms, err);
    }
    if (result == 0) {
        result = settle(task, connection, deadline_ms, err);
    }
    ssh_connection_free(connection);
    return result < 0 ? error_wrap(err, "helper container") : 0;
}

/* The times of the start, by the agent of the job's container; without them the report has less. */
static void read_times(struct task *task, struct ssh_connection *connection, int64_t deadline_ms)
{
    struct backend_task *backend_task = &task->backend_task;
    const struct metadata *metadata = backend_task->metadata;
    const char *const words[] = {metadata->has_helper ? BACKEND_AGENT_PATH : "berth-agent",
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
        backend_task->start.started_ms = task->launched_after_ms;
    }
    if (connect_first(task, deadline_ms, out_connection, err) < 0 ||
        pin_host_key(task, *out_connection, err) < 0 || reach_helper(task, deadline_ms, err) < 0 ||
        (backend_task->wants_git &&
         helper_check_job(task, *out_connection, deadline_ms, err) < 0)) {
        return -1;
    }
    task->ready_after_ms = clock_now_ms() - started_ms;
    read_times(task, *out_connection, deadline_ms);
    const struct signals *signals = backend_task->signals;
    return signals != NULL && signals->first != 0
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

int task_connect(struct task *task, struct ssh_connection **out_connection, struct error *err)
{
    if (task->backend_task.metadata->agents[METADATA_JOB].port == 0) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the task of this job never started; its 'prepare' did not finish");
    }
    return reach(task, clock_deadline_ms(RECONNECT_MS), out_connection, err);
}

int task_connect_again(struct task *task, int64_t deadline_ms,
                       struct ssh_connection **out_connection, struct error *err)
{
    return connect_until(task, task->container, CONTACT_LATER, deadline_ms, out_connection, err);
}

int task_connect_to(struct task *task, enum metadata_container container,
                    struct ssh_connection **out_connection, struct error *err)
{
    return connect_until(task, container, CONTACT_LATER, clock_deadline_ms(RECONNECT_MS),
                         out_connection, err);
}

int task_stop(struct task *task, struct error *err)
{
    struct backend_task *backend_task = &task->backend_task;
    const struct config *config = backend_task->config;
    /* A request to stop must not interrupt this: stopping is what it asks for. */
    struct signals *signals = backend_task->signals;
    backend_task->signals = NULL;
    int result =
        task->backend->stop(backend_task, clock_deadline_ms(config->cleanup_timeout_ms), err);
    backend_task->signals = signals;
    if (result == 0 && task->has_metadata) {
        result = metadata_remove(config->metadata_directory, backend_task->metadata->record, err);
    }
    return result;
}

int task_find(struct task *task, const char *job, struct error *err)
{
    int found = metadata_load(task->backend_task.config->metadata_directory, job,
                              &task->backend_task.metadata, err);
    if (found <= 0) {
        return found;
    }
    task->has_metadata = true;
    task->backend = backend_find(task->backend_task.metadata->backend);
    if (task->backend == NULL) {
        return error_set(
            err, ERROR_SYSTEM, 0,
            "the task of '%s' uses the backend '%s', which this version does not support", job,
            task->backend_task.metadata->backend);
    }
    task->backend->describe(&task->backend_task, task->name, sizeof(task->name));
    return 1;
}

void task_hold(const struct task *task)
{
    if (task->has_metadata) {
        metadata_directory_hold(task->backend_task.config->metadata_directory,
                                task->backend_task.metadata->record);
    }
}

void task_request(const struct task *task, struct ssh_request *out_request)
{
    const struct config *config = task->backend_task.config;
    *out_request = (struct ssh_request){
        .input_fd = -1,
        .start_ms = RECONNECT_MS,
        .grace_ms = config->cancel_grace_ms,
        .keepalive_ms = config->ssh_keepalive_ms,
        .signals = task->backend_task.signals,
    };
}

void task_identity(const struct task *task, char *out, size_t room)
{
    const struct metadata *metadata = task->backend_task.metadata;
    const char *arn = metadata == NULL ? NULL : json_text_at(metadata->state, "arn");
    (void)snprintf(out, room, "%s", arn != NULL ? arn : task->name);
}

void task_done(struct task *task)
{
    task_watcher_stop(&task->watch);
    if (task->backend != NULL && task->backend->done != NULL) {
        task->backend->done(&task->backend_task);
    }
    metadata_free(task->backend_task.metadata);
    task->backend_task.metadata = NULL;
}
