/* SPDX-License-Identifier: MIT */
#include "agent/init/child_setup.h"

#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"

void child_close_inherited(struct init *init, int kept_a, int kept_b, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(1); /* init was killed between the fork and the line above */
    }
    (void)close(init->signals);
    if (init->listener >= 0) {
        (void)close(init->listener);
    }
    for (int i = 0; i < init->connections_top; i++) {
        int control = init->connections[i].control;
        if (init->connections[i].pid != 0 && control >= 0 && control != kept_a &&
            control != kept_b) {
            (void)close(control);
        }
    }
    for (int i = 0; i < init->waiting_count; i++) {
        if (init->waiting[i].fd != kept_a) {
            (void)close(init->waiting[i].fd);
        }
    }
    for (int i = 0; i < init->jobs_top; i++) {
        if (init->jobs[i].state == JOB_RUNNING && init->jobs[i].control >= 0) {
            (void)close(init->jobs[i].control);
            cleanup_fd_fn(&init->jobs[i].asked);
        }
    }
}
