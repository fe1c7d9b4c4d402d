/* SPDX-License-Identifier: MIT */
/*
 * outcome.h - how a job in a task ended.
 */
#ifndef BERTH_DRIVER_RUNNER_OUTCOME_H
#define BERTH_DRIVER_RUNNER_OUTCOME_H

#include <stdbool.h>

#include "common/jobwire.h"

struct job_outcome {
    bool cancelled;  /* by request; the job is confirmed to have exited */
    int status;      /* exit status when 'signal' is empty */
    char signal[32]; /* name without SIG */
    bool unbegun;    /* the shell exited before it began the command */
    /* The next ones are for resumable jobs only. */
    bool task_stopping; /* the task was being stopped from outside, which ended the job */
    bool usage_known;
    struct jobwire_usage usage;
    uint64_t output_bytes;
};

#endif
