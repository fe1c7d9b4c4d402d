/* SPDX-License-Identifier: MIT */
#include "driver/task/resumable_job.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/remote/attachment.h"

/* Between two connections that were lost at once; doubled up to the last one. */
#define FIRST_PAUSE_MS 250
#define LAST_PAUSE_MS  5000
/* A connection that is lost sooner does not end the outage: an agent that accepts and hangs up
 * again and again is no better than one that is away. */
#define LASTING_MS 5000
/* How long to reconnect to a job that has to end: 'cleanup' is about to end its whole task. */
#define STOP_TIMEOUT_MS 10000

_Static_assert(METADATA_RUN_BYTES == JOBWIRE_ID_BYTES + 1, "a job's id fits into its note");

/* A time without a lasting connection. */
struct outage {
    int64_t since_ms; /* 0: there is no outage */
    int64_t until_ms;
    int64_t pause_ms;
    bool shortened; /* the job has to end */
};

static double seconds_since(int64_t ms)
{
    return (double)(clock_now_ms() - ms) / 1000;
}

static int too_late(const struct task *task, const struct outage *outage, const struct error *why,
                    struct error *err)
{
    if (outage->shortened) {
        return error_set(
            err, ERROR_SYSTEM, ETIMEDOUT,
            "stop requested, but the connection to task %s was lost %.0f s ago and could not be "
            "resumed (%s); the job may keep running until 'cleanup' stops the task",
            task->name, seconds_since(outage->since_ms), why->message);
    }
    return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                     "the connection to task %s was lost %.0f s ago and could not be resumed (%s); "
                     "the job may keep running until 'cleanup' stops the task; check the network "
                     "between runner and task, or raise [SSH] ReattachTimeout",
                     task->name, seconds_since(outage->since_ms), why->message);
}

/* A signal without a connection: the job has to end as soon as the task is reached. */
static void take_signals(struct job_state *job, struct outage *outage)
{
    struct signals *signals = job->request->signals;
    if (signals_pending(signals)) {
        log_info("stop requested; signalling the job when the task reconnects");
        signals_acknowledge(signals);
        job->outcome.cancelled = true;
        stop_sequence_start(&job->stop, clock_now_ms());
    }
    if (job->stop.started && !outage->shortened) {
        outage->shortened = true;
        outage->until_ms = clock_earlier_ms(outage->until_ms, clock_deadline_ms(STOP_TIMEOUT_MS));
    }
}

/* After a connection was lost: waits for the next one, for as long as the outage may last. */
static int resume(struct task *task, struct job_state *job, struct outage *outage,
                  struct ssh_connection **connection, struct error *err)
{
    struct error lost = *err;
    ssh_connection_free(*connection);
    *connection = NULL;
    if (outage->since_ms == 0) {
        int64_t timeout_ms = task->backend_task.config->ssh_reattach_timeout_ms;
        outage->since_ms = clock_now_ms();
        outage->until_ms = outage->since_ms + timeout_ms;
        outage->pause_ms = FIRST_PAUSE_MS;
        if (timeout_ms > 0) {
            log_warn("the connection to task %s is lost (%s); the job keeps running, "
                     "reconnecting for up to %.3g s",
                     task->name, lost.message, (double)timeout_ms / 1000);
        }
    } else {
        int64_t wake_ms = clock_earlier_ms(clock_deadline_ms(outage->pause_ms), outage->until_ms);
        wake_ms = clock_earlier_ms(wake_ms, stop_sequence_limit_ms(&job->stop));
        (void)signals_wait(job->request->signals, -1, wake_ms);
        outage->pause_ms = clock_earlier_ms(2 * outage->pause_ms, LAST_PAUSE_MS);
    }
    for (;;) { /* a second time after a request to stop, which shortens the deadline */
        take_signals(job, outage);
        if (job->stop.started && job->progress == JOB_UNSTARTED) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        int64_t until_ms = clock_earlier_ms(outage->until_ms, stop_sequence_limit_ms(&job->stop));
        if (clock_now_ms() >= until_ms) {
            return too_late(task, outage, &lost, err);
        }
        if (task_reconnect(task, until_ms, connection, err) == 0) {
            return 0;
        }
        if (err->errnum == ETIMEDOUT) {
            lost = *err;
        } else if (!signals_pending(job->request->signals)) {
            return error_wrap(err,
                              "the connection to task %s was lost while the job ran, %.1f s ago",
                              task->name, seconds_since(outage->since_ms));
        }
    }
}

/* After a connection has ended: whether it had ended the outage. */
static void end_outage(const struct task *task, const struct job_state *job, bool ended, bool moved,
                       struct outage *outage)
{
    if (ended || clock_now_ms() - job->attached_ms >= LASTING_MS) {
        log_info("the connection to task %s was resumed after %.1f s", task->name,
                 (double)(job->attached_ms - outage->since_ms) / 1000);
        *outage = (struct outage){0};
    } else if (moved) { /* some output came: allow the whole time again */
        outage->until_ms = clock_now_ms() + task->backend_task.config->ssh_reattach_timeout_ms;
        outage->pause_ms = FIRST_PAUSE_MS;
        outage->shortened = false;
    }
}

/* Runs a job over as many connections as needed. */
static enum attachment_result run_over_links(struct task *task, struct job_state *job,
                                             struct ssh_connection **connection, struct error *err)
{
    struct outage outage = {0};
    for (;;) {
        uint64_t written[JOBWIRE_STREAMS];
        memcpy(written, job->written, sizeof(written));
        enum attachment_result result = attachment_run(job, *connection, err);
        if (job->attached && outage.since_ms != 0) {
            bool moved = memcmp(written, job->written, sizeof(written)) != 0;
            end_outage(task, job, result != ATTACHMENT_LOST, moved, &outage);
        }
        if (result == ATTACHMENT_FAILED && job_state_use_login_shell(job)) {
            log_debug("the agent of task %s starts jobs only with the user's login shell",
                      task->name);
            continue;
        }
        if (result == ATTACHMENT_UNSUPPORTED && job->progress != JOB_UNSTARTED) {
            result = ATTACHMENT_LOST; /* it had resumable jobs before: a server that is stopping or
                                         starting */
        }
        bool stopped = err->errnum == EINTR && job->progress == JOB_UNSTARTED;
        if (result != ATTACHMENT_LOST || stopped) {
            return result == ATTACHMENT_LOST ? ATTACHMENT_FAILED : result;
        }
        if (resume(task, job, &outage, connection, err) < 0) {
            return ATTACHMENT_FAILED;
        }
    }
}

static const char *metadata_directory(const struct task *task)
{
    return task->backend_task.config->metadata_directory;
}

static void forget(const struct task *task)
{
    if (task->has_metadata) {
        metadata_forget_run(metadata_directory(task), task->backend_task.metadata->record,
                            task->container);
    }
}

/* Whether an attachment failed because the task's agent has no such job: it never started, or it
 * has ended. */
static bool is_gone(const struct job_state *job)
{
    return job->refusal == JOBWIRE_REFUSED_PERMANENT ||
           job->refusal == JOBWIRE_REFUSED_UNKNOWN_JOB || job->refusal == JOBWIRE_REFUSED_LOST;
}

/* Whether all output of the job was written. */
static int check_output(const struct task *task, const struct job_state *job, struct error *err)
{
    int failed_errno = job->outputs[JOBWIRE_STDOUT].failed_errno;
    if (job->discarding) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the job in task %s exited, but its output was not read", task->name);
    }
    return failed_errno == 0
               ? 0
               : error_set(err, ERROR_SYSTEM, failed_errno, "cannot write the job's output");
}

int resumable_job_run(struct task *task, struct ssh_connection **connection,
                      const struct ssh_request *request, struct job_outcome *out_outcome,
                      struct error *err)
{
    struct job_state job;
    struct error own = {0};
    job_state_init(&job, request);
    int result = 0;
    if (task->has_metadata) {
        result = metadata_note_run(metadata_directory(task), task->backend_task.metadata->record,
                                   task->container, job.id, &own);
    }
    if (result == 0) {
        switch (run_over_links(task, &job, connection, &own)) {
        case ATTACHMENT_ENDED:
            forget(task);
            result = check_output(task, &job, &own);
            break;
        case ATTACHMENT_UNSUPPORTED:
            forget(task);
            result = 1;
            break;
        case ATTACHMENT_FAILED:
            if (is_gone(&job)) {
                forget(task); /* or the next stage would report an interrupted driver */
            }
            result = -1;
            break;
        case ATTACHMENT_LOST:
            result = -1;
            break;
        }
    }
    if (result == 0) {
        *out_outcome = job.outcome;
    } else if (result < 0) {
        *err = own;
        if (job.outcome.task_stopping) {
            (void)error_wrap(err, "the task was being stopped while the job ran");
        }
        /* The task's processes are killed one after the other: a missing monitor can be the first
         * sign. */
        bool dying = job.outcome.task_stopping || job.refusal == JOBWIRE_REFUSED_LOST;
        if (dying && !task->ended) {
            bool late = job.outcome.task_stopping || task->backend->watch_pause_ms != NULL;
            result = task_explain(task, late, err);
        }
    }
    job_state_done(&job);
    return result;
}

bool resumable_job_is_left(const struct task *task)
{
    char id[JOBWIRE_ID_BYTES + 1];
    return task->has_metadata &&
           metadata_noted_run(metadata_directory(task), task->backend_task.metadata->record,
                              task->container, id, NULL) == 1;
}

int resumable_job_end_leftover(struct task *task, struct ssh_connection **connection,
                               struct error *err)
{
    char id[JOBWIRE_ID_BYTES + 1];
    struct job_state job;
    struct ssh_request request;
    int noted = !task->has_metadata ? 0
                                    : metadata_noted_run(metadata_directory(task),
                                                         task->backend_task.metadata->record,
                                                         task->container, id, err);
    if (noted <= 0) {
        return noted;
    }
    log_warn("the driver of an earlier stage was interrupted; ending the job that it may have left "
             "running in task %s",
             task->name);
    task_request(task, &request);
    job_state_init_leftover(&job, &request, id);
    struct error own = {0};
    enum attachment_result result = run_over_links(task, &job, connection, &own);
    job_state_done(&job);
    if (result != ATTACHMENT_ENDED && !(result == ATTACHMENT_FAILED && is_gone(&job))) {
        *err = own;
        return error_wrap(err, "cannot end the job that an earlier stage left running");
    }
    forget(task);
    return 0;
}
