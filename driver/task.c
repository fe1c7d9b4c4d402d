/* SPDX-License-Identifier: MIT */
#include "driver/task.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define RECONNECT_MS 30000 /* a task that answered before: far above any round trip */
/* One try of it: the network may have lost what a longer one would wait for. */
#define ATTEMPT_MS     15000
#define FIRST_PAUSE_MS 10
#define LAST_PAUSE_MS  500

static int persist(struct backend_task *at_backend, struct error *err)
{
    return metadata_save(at_backend->metadata, at_backend->config->metadata_directory, err);
}

static int alive(void *context, struct error *err)
{
    struct task *task = context;
    return task->backend->alive(&task->at_backend, err);
}

/* 'learn': the first contact, when an image that has not our agent shows a key of its own. */
static int connect_until(struct task *task, bool learn, int64_t deadline_ms,
                         struct ssh_link **out_link, struct error *err)
{
    const struct config *config = task->at_backend.config;
    const struct metadata *metadata = task->at_backend.metadata;
    struct ssh_target target = {
        .host = metadata->host,
        .port = metadata->port,
        .username = config->ssh_username,
        .keys = metadata->keys,
        .pinned = metadata->host_key,
        .learn = learn,
    };
    struct ssh_watch watch = {.alive = alive, .context = task};
    return ssh_link_open(&target, &watch, task->at_backend.signals, deadline_ms, out_link, err);
}

int task_reconnect(struct task *task, int64_t deadline_ms, struct ssh_link **out_link,
                   struct error *err)
{
    struct signals *signals = task->at_backend.signals;
    int64_t pause_ms = FIRST_PAUSE_MS;
    bool lost = task->watch.pid > 0; /* a link before this one */
    watch_stop(&task->watch);
    /* A task that is gone may leave something that accepts and says nothing. */
    if (lost && alive(task, err) < 0) {
        return -1;
    }
    for (;;) {
        struct error own = {0};
        struct error gone;
        int64_t attempt_ms = clock_earlier_ms(deadline_ms, clock_deadline_ms(ATTEMPT_MS));
        if (connect_until(task, false, attempt_ms, out_link, &own) == 0) {
            watch_start(&task->watch, task->backend, &task->at_backend, *out_link);
            return 0;
        }
        *err = own;
        if (signals_pending(signals)) {
            return -1;
        }
        /* Who answers in its place may have got the address of a task that is gone. */
        if (alive(task, &gone) < 0) {
            *err = gone;
            return -1;
        }
        if (own.kind == ERROR_PEER) {
            return -1;
        }
        if (clock_now_ms() >= deadline_ms) {
            err->errnum = ETIMEDOUT;
            return -1;
        }
        (void)signals_wait(signals, -1, clock_deadline_ms(pause_ms));
        pause_ms = clock_earlier_ms(2 * pause_ms, LAST_PAUSE_MS);
    }
}

static bool may_learn(const struct task *task)
{
    const char *wanted = task->at_backend.config->ssh_host_key;
    return task->backend->any_image && (wanted == NULL || strcmp(wanted, "strict") != 0);
}

/* What was seen at the first contact holds for the rest of the job. */
static int pin_host_key(struct task *task, const struct ssh_link *link, struct error *err)
{
    struct metadata *metadata = task->at_backend.metadata;
    if (ssh_link_learned(link)[0] == '\0') {
        return 0;
    }
    (void)snprintf(metadata->host_key, sizeof(metadata->host_key), "%s", ssh_link_learned(link));
    log_warn("the task's host key is not the one that its environment asked for; pinned the key "
             "it showed at this first contact; an image with berth-agent has none of this doubt, "
             "and [SSH] HostKey = \"strict\" refuses others");
    return task->recorded ? persist(&task->at_backend, err) : 0;
}

static int launch(struct task *task, struct ssh_link **out_link, struct error *err)
{
    struct backend_task *at_backend = &task->at_backend;
    if (task->backend->fetch != NULL && task->backend->fetch(at_backend, err) < 0) {
        return -1;
    }
    int64_t started_ms = clock_now_ms();
    int64_t deadline_ms = started_ms + (task->backend->patience_ms != NULL
                                            ? task->backend->patience_ms(at_backend->config)
                                            : at_backend->config->ssh_connect_timeout_ms);
    keys_generate(at_backend->metadata->keys);
    at_backend->persist = task->recorded ? persist : NULL;
    if (task->backend->plan(at_backend, err) < 0 ||
        (task->recorded && persist(at_backend, err) < 0) ||
        task->backend->launch(at_backend, deadline_ms, err) < 0 ||
        (task->recorded && persist(at_backend, err) < 0)) {
        return -1;
    }
    task->backend->describe(at_backend, task->name, sizeof(task->name));
    task->launched_after_ms = clock_now_ms() - started_ms;
    if (connect_until(task, may_learn(task), deadline_ms, out_link, err) < 0 ||
        pin_host_key(task, *out_link, err) < 0) {
        return -1;
    }
    task->ready_after_ms = clock_now_ms() - started_ms;
    return 0;
}

int task_launch(struct task *task, const char *job, struct ssh_link **out_link, struct error *err)
{
    task->at_backend.metadata = metadata_new(job, task->backend->name, err);
    if (task->at_backend.metadata == NULL) {
        return -1;
    }
    if (launch(task, out_link, err) == 0) {
        return 0;
    }
    struct error second;
    if (task_stop(task, &second) < 0) {
        log_warn("%s", second.message); /* the runner's cleanup stage tries again */
    }
    return -1;
}

int task_connect(struct task *task, struct ssh_link **out_link, struct error *err)
{
    if (task->at_backend.metadata->port == 0) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the task of this job never started to run; its 'prepare' did not finish");
    }
    return task_reconnect(task, clock_deadline_ms(RECONNECT_MS), out_link, err);
}

int task_second_link(struct task *task, int64_t deadline_ms, struct ssh_link **out_link,
                     struct error *err)
{
    return connect_until(task, false, deadline_ms, out_link, err);
}

int task_stop(struct task *task, struct error *err)
{
    struct backend_task *at_backend = &task->at_backend;
    const struct config *config = at_backend->config;
    /* A request to stop must not hurry this: it is what the request is for. */
    struct signals *signals = at_backend->signals;
    at_backend->signals = NULL;
    int result =
        task->backend->stop(at_backend, clock_deadline_ms(config->cleanup_timeout_ms), err);
    at_backend->signals = signals;
    if (result == 0 && task->recorded) {
        result = metadata_remove(config->metadata_directory, at_backend->metadata->job, err);
    }
    return result;
}

int task_find(struct task *task, const char *job, struct error *err)
{
    int found = metadata_load(task->at_backend.config->metadata_directory, job,
                              &task->at_backend.metadata, err);
    if (found <= 0) {
        return found;
    }
    task->recorded = true;
    task->backend = backend_find(task->at_backend.metadata->backend);
    if (task->backend == NULL) {
        return error_set(
            err, ERROR_SYSTEM, 0,
            "the task of '%s' is at the backend '%s', which this version does not have", job,
            task->at_backend.metadata->backend);
    }
    task->backend->describe(&task->at_backend, task->name, sizeof(task->name));
    return 1;
}

void task_request(const struct task *task, struct ssh_request *out_request)
{
    const struct config *config = task->at_backend.config;
    *out_request = (struct ssh_request){
        .input_fd = -1,
        .start_ms = RECONNECT_MS,
        .grace_ms = config->cancel_grace_ms,
        .keepalive_ms = config->ssh_keepalive_ms,
        .signals = task->at_backend.signals,
    };
}

void task_done(struct task *task)
{
    watch_stop(&task->watch);
    if (task->backend != NULL && task->backend->done != NULL) {
        task->backend->done(&task->at_backend);
    }
    metadata_free(task->at_backend.metadata);
    task->at_backend.metadata = NULL;
}
