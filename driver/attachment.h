/* SPDX-License-Identifier: MIT */
/*
 * attachment.h - one link's part in the life of a durable job (common/jobwire.h).
 *
 * struct durable_job is what outlives links: the caller's, filled by durable_job_init(), released
 * by durable_job_done(). attachment_run() starts the job, or attaches to it where its output was
 * written last, and stays until the job has ended or the link has; then it may be called again
 * with another link. Output goes to our descriptors 1 and 2 as it comes and is acknowledged to the
 * agent only once it was written; the result is released after the last byte was.
 */
#ifndef BERTH_DRIVER_ATTACHMENT_H
#define BERTH_DRIVER_ATTACHMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/jobwire.h"
#include "driver/output.h"
#include "driver/ssh.h"
#include "driver/stop.h"

enum durable_progress {
    DURABLE_UNSTARTED, /* nothing was sent that could have started it */
    DURABLE_ASKED,     /* it may run */
    DURABLE_STARTED,
    DURABLE_EXITED,
};

struct durable_job {
    char id[JOBWIRE_ID_BYTES + 1];
    const struct ssh_request *request;
    enum durable_progress progress;
    struct output outputs[JOBWIRE_STREAMS];
    uint64_t written[JOBWIRE_STREAMS]; /* to our descriptors; JOBWIRE_OLDEST: to be told */
    struct stop stop;
    bool attached;                /* the agent has answered on this link */
    int64_t attached_ms;          /* when it did */
    bool discarding;              /* nobody read the output for too long after the KILL */
    enum jobwire_refusal refusal; /* of ATTACHMENT_FAILED; 0: it was something else */
    struct ssh_outcome outcome;
};

/* A job of a new random id. 'request' must outlive it; its input_fd and terminal are not used. */
void durable_job_init(struct durable_job *job, const struct ssh_request *request);
/* A job that an earlier process started: it will be ended, its output dropped. */
void durable_job_init_leftover(struct durable_job *job, const struct ssh_request *request,
                               const char *id);
void durable_job_done(struct durable_job *job);

enum attachment_result {
    ATTACHMENT_ENDED,       /* the job has, its output is written and 'outcome' is filled */
    ATTACHMENT_LOST,        /* the link: 'err' says why */
    ATTACHMENT_UNSUPPORTED, /* the other side has no durable jobs: nothing was started */
    ATTACHMENT_FAILED,
};

enum attachment_result attachment_run(struct durable_job *job, struct ssh_link *link,
                                      struct error *err) __attribute__((warn_unused_result));

#endif
