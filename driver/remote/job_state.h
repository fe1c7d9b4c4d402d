/* SPDX-License-Identifier: MIT */
/*
 * job_state.h - the state of a resumable job that outlives its connections.
 *
 * The caller owns the struct: job_state_init() or job_state_init_leftover(), then job_state_done().
 */
#ifndef BERTH_DRIVER_REMOTE_JOB_STATE_H
#define BERTH_DRIVER_REMOTE_JOB_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/jobwire.h"
#include "driver/remote/output.h"
#include "driver/remote/request.h"
#include "driver/remote/stop_sequence.h"
#include "driver/runner/outcome.h"

enum job_progress {
    JOB_UNSTARTED, /* the agent cannot have started it */
    JOB_REQUESTED, /* the agent may have started it */
    JOB_STARTED,
    JOB_EXITED,
};

struct job_state {
    char id[JOBWIRE_ID_BYTES + 1];
    const struct ssh_request *request;
    enum job_progress progress;
    struct output outputs[JOBWIRE_STREAMS];
    uint64_t written[JOBWIRE_STREAMS]; /* to our descriptors; JOBWIRE_OLDEST: the agent sets it */
    struct stop_sequence stop;
    bool login_shell;             /* the agent supports START, not RUN */
    bool attached;                /* the agent has answered on this connection */
    int64_t attached_ms;          /* when it did */
    int notices;                  /* received over all connections */
    bool discarding;              /* the rest of the output is dropped: it was not read in time */
    enum jobwire_refusal refusal; /* why ATTACHMENT_FAILED was returned; 0: another reason */
    struct job_outcome outcome;
};

/* A job of a new random id. 'request' must outlive it; its input_fd and terminal are not used. */
void job_state_init(struct job_state *job, const struct ssh_request *request);
/* A job that an earlier process started: it is ended and its output dropped. */
void job_state_init_leftover(struct job_state *job, const struct ssh_request *request,
                             const char *id);
void job_state_done(struct job_state *job);

/* Returns true when the agent refused RUN because it supports only START: nothing was started, and
 * the next attachment_run() sends START. */
bool job_state_use_login_shell(struct job_state *job);

#endif
