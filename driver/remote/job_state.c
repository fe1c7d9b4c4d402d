/* SPDX-License-Identifier: MIT */
#include "driver/remote/job_state.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"

void job_state_init(struct job_state *job, const struct ssh_request *request)
{
    static const int fds[] = {STDOUT_FILENO, STDERR_FILENO};
    unsigned char random[JOBWIRE_ID_BYTES / 2];
    *job = (struct job_state){.request = request};
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(job->id, sizeof(job->id), random, sizeof(random));
    stop_sequence_init(&job->stop, request->grace_ms);
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        output_open(&job->outputs[stream], fds[stream]);
    }
}

void job_state_init_leftover(struct job_state *job, const struct ssh_request *request,
                             const char *id)
{
    *job = (struct job_state){.request = request,
                              .progress = JOB_STARTED,
                              .written = {JOBWIRE_OLDEST, JOBWIRE_OLDEST},
                              .discarding = true};
    (void)snprintf(job->id, sizeof(job->id), "%s", id);
    stop_sequence_init(&job->stop, request->grace_ms);
    stop_sequence_start(&job->stop, clock_now_ms());
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        job->outputs[stream] = (struct output){.fd = -1, .failed_errno = EPIPE};
    }
}

bool job_state_use_login_shell(struct job_state *job)
{
    if (job->refusal != JOBWIRE_REFUSED_PROTOCOL || job->progress >= JOB_STARTED ||
        job->login_shell || job->request->words == NULL) {
        return false;
    }
    job->login_shell = true;
    job->refusal = 0;
    job->progress = JOB_UNSTARTED;
    return true;
}

void job_state_done(struct job_state *job)
{
    for (int stream = 0; stream < JOBWIRE_STREAMS; stream++) {
        output_done(&job->outputs[stream]);
    }
}
