/* SPDX-License-Identifier: MIT */
#include "driver/task/task.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/base/json.h"
#include "driver/record/metadata_directory.h"

#define RECONNECT_MS 30000 /* to a task that was reached before */
/* The connection shows the end of a task sooner than its backend does. */
#define REASON_TIMEOUT_MS 15000
#define REASON_PAUSE_MS   250

_Static_assert(METADATA_JOB_BYTES == RUNNER_JOB_KEY_BYTES, "a job's key fits into the metadata");

int task_check_alive(struct task *task, enum backend_asking asking, struct error *err)
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
    while (task_check_alive(task, asking, err) == 0) {
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
    return task_check_alive(context, BACKEND_IF_DUE, err);
}

bool task_has_our_agent(const struct metadata *metadata)
{
    return metadata->has_helper || json_text_at(metadata->state, BACKEND_BUILDS) != NULL;
}

int task_log_in_by(struct task *task, enum metadata_container container, enum task_contact contact,
                   int64_t last_try_ms, int64_t deadline_ms, struct ssh_connection **out_connection,
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
        .learn = contact == TASK_FIRST_CONTACT && task->backend->may_lack_agent &&
                 !task_has_our_agent(metadata) && !strict,
    };
    struct ssh_retry retry = {
        .deadline_ms = deadline_ms,
        .last_try_ms = last_try_ms,
        .reached_before = contact == TASK_LATER_CONTACT,
        .alive = alive_between_tries,
        .context = task,
    };
    return ssh_connection_open(&target, &retry, task->backend_task.signals, out_connection, err);
}

int task_log_in(struct task *task, enum metadata_container container, enum task_contact contact,
                int64_t deadline_ms, struct ssh_connection **out_connection, struct error *err)
{
    return task_log_in_by(task, container, contact, CLOCK_NEVER, deadline_ms, out_connection, err);
}

/* Connects to a task that was reached before, and starts to watch it. */
static int reach(struct task *task, int64_t deadline_ms, struct ssh_connection **out_connection,
                 struct error *err)
{
    struct error gone;
    if (task_log_in(task, task->container, TASK_LATER_CONTACT, deadline_ms, out_connection, err) ==
        0) {
        task_watcher_start(&task->watch, task->backend, &task->backend_task, *out_connection);
        return 0;
    }
    /* A task with another host key may have got the address of one that is gone. */
    if (task->ended ||
        (err->kind == ERROR_PEER && task_check_alive(task, BACKEND_WAIT, &gone) < 0)) {
        *err = task->end;
    }
    return -1;
}

int task_reconnect(struct task *task, int64_t deadline_ms, struct ssh_connection **out_connection,
                   struct error *err)
{
    /* An ended task may leave a listener that accepts connections and never answers. */
    int gone = task_check_alive(task, BACKEND_SOON, err);
    task_watcher_stop(&task->watch);
    return gone < 0 ? -1 : reach(task, deadline_ms, out_connection, err);
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
    return task_log_in(task, task->container, TASK_LATER_CONTACT, deadline_ms, out_connection, err);
}

int task_connect_to(struct task *task, enum metadata_container container,
                    struct ssh_connection **out_connection, struct error *err)
{
    return task_log_in(task, container, TASK_LATER_CONTACT, clock_deadline_ms(RECONNECT_MS),
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
