/* SPDX-License-Identifier: MIT */
#include "agent/ipc/job_pids.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/log.h"

struct job_pid_row {
    atomic_int job; /* 0: not started */
    atomic_bool has_ended;
};

static struct job_pid_row *rows;
static struct job_pid_row *mine; /* the monitor's own */

#define ROWS_BYTES (LIMIT_JOBS * sizeof(struct job_pid_row))

void job_pids_open(void)
{
    void *page = mmap(NULL, ROWS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        log_warn(
            "cannot share memory with monitors: %m; the job of a killed monitor will keep running");
        return;
    }
    rows = page;
}

void job_pids_close(void)
{
    if (rows != NULL) {
        (void)munmap(rows, ROWS_BYTES);
        rows = NULL;
    }
}

void job_pids_monitor(int row)
{
    mine = rows == NULL ? NULL : &rows[row];
}

void job_pids_job(void)
{
    if (mine != NULL) {
        mine->job = (int)getpid();
    }
}

void job_pids_set_ended(void)
{
    if (mine != NULL) {
        mine->has_ended = true;
    }
}

bool job_pids_has_ended(int row)
{
    return rows != NULL && rows[row].has_ended;
}

pid_t job_pids_take(int row)
{
    if (rows == NULL) {
        return 0;
    }
    pid_t job = rows[row].job;
    rows[row].job = 0;
    rows[row].has_ended = false;
    return job;
}
