/* SPDX-License-Identifier: MIT */
#include "agent/job/register.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/log.h"

struct row {
    atomic_int monitor; /* 0: free */
    atomic_int job;     /* 0: not started */
};

static struct row *rows;
static struct row *mine; /* the monitor's own */

#define ROWS_BYTES (LIMIT_JOBS * sizeof(struct row))

void register_open(void)
{
    void *page = mmap(NULL, ROWS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        log_warn("cannot share a page with monitors: %m, a killed one's job will be left running");
        return;
    }
    rows = page;
}

void register_close(void)
{
    if (rows != NULL) {
        (void)munmap(rows, ROWS_BYTES);
        rows = NULL;
    }
}

void register_monitor(void)
{
    for (size_t i = 0; rows != NULL && i < LIMIT_JOBS; i++) {
        int unused = 0;
        if (atomic_compare_exchange_strong(&rows[i].monitor, &unused, (int)getpid())) {
            mine = &rows[i];
            return;
        }
    }
}

void register_job(void)
{
    if (mine != NULL) {
        mine->job = (int)getpid();
    }
}

pid_t register_take(pid_t monitor)
{
    for (size_t i = 0; rows != NULL && i < LIMIT_JOBS; i++) {
        if (rows[i].monitor == (int)monitor) {
            pid_t job = rows[i].job;
            rows[i].job = 0; /* first: the row may have a new owner as soon as it is free */
            rows[i].monitor = 0;
            return job;
        }
    }
    return 0;
}
