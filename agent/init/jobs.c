/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/job/monitor.h"
#include "agent/leaks.h"
#include "agent/wire.h"
#include "common/log.h"

int jobs_count(const struct init *init)
{
    int count = 0;
    for (int i = 0; i < init->jobs_top; i++) {
        count += init->jobs[i] != 0;
    }
    return count;
}

/* One flag for each slot, shared with the monitors: true once the job has ended, while what it
 * left running may keep the monitor. NULL (no memory at the start): every monitor counts. */
static atomic_bool *over_flags(void)
{
    static atomic_bool *flags;
    if (flags == NULL) {
        void *page = mmap(NULL, LIMIT_JOBS * sizeof(*flags), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        flags = page == MAP_FAILED ? NULL : page;
    }
    return flags;
}

int jobs_count_running(const struct init *init)
{
    const atomic_bool *over = over_flags();
    int count = 0;
    for (int i = 0; i < init->jobs_top; i++) {
        count += init->jobs[i] != 0 && (over == NULL || !over[i]);
    }
    return count;
}

static pid_t *free_slot(struct init *init)
{
    for (int i = 0; i < LIMIT_JOBS; i++) {
        if (init->jobs[i] == 0) {
            return &init->jobs[i];
        }
    }
    return NULL;
}

void jobs_free_slot(struct init *init, int slot)
{
    init->jobs[slot] = 0;
    while (init->jobs_top > 0 && init->jobs[init->jobs_top - 1] == 0) {
        init->jobs_top--;
    }
}

static void refuse(int session_socket, int errnum)
{
    struct wire_message message = {.type = WIRE_JOB_FAILED, .number = errnum};
    (void)wire_send(session_socket, &message, NULL, 0); /* a dead session needs no answer */
}

/* The monitor leaves init's session, so that a signal to a terminal's foreground group never
 * reaches it, and holds neither the host key nor the list of keys. */
static _Noreturn void run_monitor(struct init *init, struct monitor_setup *setup, pid_t parent)
{
    init_forget(init, setup->request_fd, setup->session_socket, parent);
    server_close(&init->server);
    authorized_free(init->authorized);
    (void)setsid();
    int status = monitor_run(setup);
    leaks_check();
    _exit(status);
}

pid_t jobs_start(struct init *init, int request_fd, int session_socket, int input_fd,
                 int control_fd)
{
    pid_t *slot = free_slot(init);
    pid_t parent = getpid();
    if (slot == NULL || init->phase != SHUTDOWN_NONE) {
        log_warn("cannot start a job: %s, refusing",
                 slot == NULL ? "too many jobs" : "shutting down");
        refuse(session_socket, slot == NULL ? EAGAIN : ESHUTDOWN);
        return -1;
    }
    atomic_bool *over = over_flags();
    if (over != NULL) {
        over += slot - init->jobs;
        *over = false;
    }
    struct monitor_setup setup = {.request_fd = request_fd,
                                  .session_socket = session_socket,
                                  .input_fd = input_fd,
                                  .control_fd = control_fd,
                                  .options = init->options,
                                  .over = over};
    pid_t pid = fork();
    if (pid == 0) {
        run_monitor(init, &setup, parent);
    }
    if (pid < 0) {
        int reason = errno;
        log_warn("cannot fork a job's monitor: %m, refusing");
        refuse(session_socket, reason);
        return -1;
    }
    *slot = pid;
    int number = (int)(slot - init->jobs);
    init->jobs_top = number < init->jobs_top ? init->jobs_top : number + 1;
    return pid;
}

void jobs_signal_all(const struct init *init, int number)
{
    for (int i = 0; i < init->jobs_top; i++) {
        if (init->jobs[i] != 0) {
            (void)kill(init->jobs[i], number);
        }
    }
}
