/* SPDX-License-Identifier: MIT */
#include "driver/durable.h"

#include <errno.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/attachment.h"

/* Between two links that were lost before the agent answered. */
#define PAUSE_MS 250
/* How long a job that shall end is looked for: 'cleanup' is about to end its whole task. */
#define STOP_PATIENCE_MS 10000

/* Since when, and until when, there is no link. */
struct outage {
    int64_t since_ms; /* 0: there is one */
    int64_t until_ms;
    bool shortened; /* the job shall end */
};

static double seconds_since(int64_t ms)
{
    return (double)(clock_now_ms() - ms) / 1000;
}

static int too_late(const struct task *task, const struct outage *outage, const struct error *why,
                    struct error *err)
{
    return error_set(err, ERROR_SYSTEM, ETIMEDOUT,
                     "the link to task %s was lost %.0f s ago and could not be resumed (%s); the "
                     "job may still run there until 'cleanup' ends the task; look at the network "
                     "between runner and task, or raise [SSH] ReattachTimeout",
                     task->name, seconds_since(outage->since_ms), why->message);
}

/* What a signal means while there is no link: the job's end, as soon as it can be told. */
static void take_signals(struct durable_job *job, struct outage *outage)
{
    struct signals *signals = job->request->signals;
    if (signals_pending(signals)) {
        log_info("asked to stop: the job is told as soon as its task can be reached");
        signals_acknowledge(signals);
        job->outcome.cancelled = true;
        stop_ask(&job->stop, clock_now_ms());
    }
    if (job->stop.asked && !outage->shortened) {
        outage->shortened = true;
        outage->until_ms = clock_earlier_ms(outage->until_ms, clock_deadline_ms(STOP_PATIENCE_MS));
    }
}

static void begin_outage(const struct task *task, struct outage *outage, const struct error *why)
{
    int64_t timeout_ms = task->at_backend.config->ssh_reattach_timeout_ms;
    outage->since_ms = clock_now_ms();
    outage->until_ms = outage->since_ms + timeout_ms;
    if (timeout_ms > 0) {
        log_warn("the link to task %s is lost (%s); the job goes on there, resuming it for up to "
                 "%.3g s",
                 task->name, why->message, (double)timeout_ms / 1000);
    }
}

/* A new link, as soon as there can be one. */
static int reconnect(struct task *task, struct durable_job *job, struct outage *outage,
                     struct ssh_link **out_link, struct error *err)
{
    struct error lost = *err;
    for (;;) {
        take_signals(job, outage);
        if (clock_now_ms() >= outage->until_ms) {
            return too_late(task, outage, &lost, err);
        }
        if (task_reconnect(task, outage->until_ms, out_link, err) == 0) {
            return 0;
        }
        if (err->errnum == ETIMEDOUT) {
            lost = *err;
        } else if (!signals_pending(job->request->signals)) {
            return error_wrap(err, "the link to task %s was lost while the job ran, %.1f s ago",
                              task->name, seconds_since(outage->since_ms));
        }
    }
}

/* After a link was lost: the same job over the next one. */
static int resume(struct task *task, struct durable_job *job, struct outage *outage,
                  struct ssh_link **link, struct error *err)
{
    ssh_link_free(*link);
    *link = NULL;
    if (outage->since_ms == 0) {
        begin_outage(task, outage, err);
    } else {
        (void)signals_wait(job->request->signals, -1, clock_deadline_ms(PAUSE_MS));
    }
    return reconnect(task, job, outage, link, err);
}

/* One job over as many links as it takes. */
static enum attachment_result run_over_links(struct task *task, struct durable_job *job,
                                             struct ssh_link **link, struct error *err)
{
    struct outage outage = {0};
    for (;;) {
        enum attachment_result result = attachment_run(job, *link, err);
        if (job->attached && outage.since_ms != 0) {
            log_info("the link to task %s was resumed after %.1f s", task->name,
                     (double)(job->attached_ms - outage.since_ms) / 1000);
            outage = (struct outage){0};
        }
        if (result == ATTACHMENT_UNSUPPORTED && job->progress != DURABLE_UNSTARTED) {
            result = ATTACHMENT_LOST; /* it had durable jobs: a server on its way down or up */
        }
        bool stopped = err->errnum == EINTR && job->progress == DURABLE_UNSTARTED;
        if (result != ATTACHMENT_LOST || stopped) {
            return result == ATTACHMENT_LOST ? ATTACHMENT_FAILED : result;
        }
        if (resume(task, job, &outage, link, err) < 0) {
            return ATTACHMENT_FAILED;
        }
    }
}

static const char *metadata_directory(const struct task *task)
{
    return task->at_backend.config->metadata_directory;
}

static int note(const struct task *task, const char *id, struct error *err)
{
    return task->recorded ? metadata_note_run(metadata_directory(task),
                                              task->at_backend.metadata->job, id, err)
                          : 0;
}

static void forget(const struct task *task)
{
    if (task->recorded) {
        metadata_forget_run(metadata_directory(task), task->at_backend.metadata->job);
    }
}

/* Whether all that the job wrote was passed on. */
static int check_output(const struct task *task, const struct durable_job *job, struct error *err)
{
    int failed_errno = job->outputs[JOBWIRE_STDOUT].failed_errno;
    if (job->discarding) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "nobody reads the output of the job that ended in task %s", task->name);
    }
    return failed_errno == 0
               ? 0
               : error_set(err, ERROR_SYSTEM, failed_errno, "cannot pass on the job's output");
}

int durable_run(struct task *task, struct ssh_link **link, const struct ssh_request *request,
                struct ssh_outcome *out_outcome, struct error *err)
{
    struct durable_job job;
    struct error own = {0};
    durable_job_init(&job, request);
    int result = note(task, job.id, &own);
    if (result == 0) {
        switch (run_over_links(task, &job, link, &own)) {
        case ATTACHMENT_ENDED:
            forget(task);
            result = check_output(task, &job, &own);
            break;
        case ATTACHMENT_UNSUPPORTED:
            forget(task);
            result = 1;
            break;
        case ATTACHMENT_LOST:
        case ATTACHMENT_FAILED:
            result = -1;
            break;
        }
    }
    if (result == 0) {
        *out_outcome = job.outcome;
    } else if (result < 0) {
        *err = own;
        if (job.outcome.task_stopping) {
            (void)error_wrap(err, "the task was told to stop while the job ran");
        }
    }
    durable_job_done(&job);
    return result;
}

int durable_end_leftover(struct task *task, struct ssh_link **link, struct error *err)
{
    char id[JOBWIRE_ID_BYTES + 1];
    struct durable_job job;
    struct ssh_request request;
    if (!task->recorded ||
        !metadata_noted_run(metadata_directory(task), task->at_backend.metadata->job, id)) {
        return 0;
    }
    log_warn("the driver of an earlier stage did not come to its end; ending the job that it may "
             "have left in task %s",
             task->name);
    task_request(task, &request);
    durable_job_init_leftover(&job, &request, id);
    struct error own = {0};
    enum attachment_result result = run_over_links(task, &job, link, &own);
    durable_job_done(&job);
    bool gone = result == ATTACHMENT_FAILED &&
                (job.refusal == JOBWIRE_REFUSED_UNKNOWN_JOB || job.refusal == JOBWIRE_REFUSED_LOST);
    if (result != ATTACHMENT_ENDED && !gone) {
        *err = own;
        return error_wrap(err, "cannot end the job that an earlier stage left");
    }
    forget(task);
    return 0;
}
