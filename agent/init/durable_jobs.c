/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/log.h"

/* The id is only compared, and only over its fixed size: whoever sent it is not trusted. */
static struct durable_job *find(struct init *init, const char *id)
{
    for (int i = 0; i < LIMIT_JOBS; i++) {
        struct durable_job *job = &init->durable[i];
        if ((job->pid != 0 || job->lost) && memcmp(job->id, id, JOBWIRE_ID_BYTES) == 0) {
            return job;
        }
    }
    return NULL;
}

static struct durable_job *free_slot(struct init *init)
{
    struct durable_job *lost = NULL;
    for (int i = 0; i < LIMIT_JOBS; i++) {
        struct durable_job *job = &init->durable[i];
        if (job->pid == 0 && !job->lost) {
            return job;
        }
        if (job->pid == 0) {
            lost = job;
        }
    }
    return lost;
}

static void refuse(int session_socket, int errnum)
{
    struct wire_message message = {.type = WIRE_JOB_FAILED, .number = errnum};
    (void)wire_send(session_socket, &message, NULL, 0); /* a dead session needs no answer */
}

void durable_job_attach(struct init *init, const char *id, int session_socket)
{
    struct wire_message message = {.type = WIRE_JOB_ATTACH};
    const struct durable_job *job = find(init, id);
    if (job != NULL && job->pid == 0) {
        refuse(session_socket, EOWNERDEAD);
    } else if (job == NULL || wire_send(job->control, &message, &session_socket, 1) < 0) {
        refuse(session_socket, ESRCH);
    }
}

void durable_job_start(struct init *init, const char *id, const int fds[WIRE_FDS])
{
    struct durable_job *slot = free_slot(init);
    cleanup_fd int monitor_end = -1;
    int ends[2];
    if (find(init, id) != NULL) { /* asked for twice: nothing is ever started twice */
        durable_job_attach(init, id, fds[1]);
        return;
    }
    if (slot == NULL || wire_pair(ends) < 0) {
        int reason = slot == NULL ? EAGAIN : errno;
        log_warn("cannot start a durable job: %s, refusing", strerror(reason));
        refuse(fds[1], reason);
        return;
    }
    monitor_end = ends[1];
    /* In the table before the fork, so that the child closes init's end like all the others. */
    *slot = (struct durable_job){.pid = -1, .control = ends[0]};
    memcpy(slot->id, id, JOBWIRE_ID_BYTES);
    slot->pid = jobs_start(init, fds[0], fds[1], fds[2], monitor_end);
    if (slot->pid < 0) {
        cleanup_fd_fn(&slot->control);
        slot->pid = 0;
    }
}

void durable_job_forget(struct init *init, pid_t pid, bool killed)
{
    for (int i = 0; i < LIMIT_JOBS; i++) {
        struct durable_job *job = &init->durable[i];
        if (job->pid == pid) {
            cleanup_fd_fn(&job->control);
            job->pid = 0;
            job->lost = killed;
        }
    }
}
