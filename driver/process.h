/* SPDX-License-Identifier: MIT */
/*
 * process.h - processes that outlive the one that started them, named so that a recycled pid
 * cannot be mistaken for them.
 *
 * An identity is a pid, its start time and the boot it belongs to, all as /proc tells them; it
 * can be stored. Signals go through a pidfd that was compared with the identity first. Needs
 * /proc. Deadlines are absolute (clock.h).
 */
#ifndef BERTH_DRIVER_PROCESS_H
#define BERTH_DRIVER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct process_identity {
    pid_t pid;
    uint64_t start_ticks; /* field 22 of /proc/PID/stat */
    char boot[40];        /* /proc/sys/kernel/random/boot_id */
};

int process_identify(pid_t pid, struct process_identity *out_identity, struct error *err)
    __attribute__((warn_unused_result));

/* Whether it still runs; a zombie does not. Reaps it when it is a child of ours. */
bool process_runs(const struct process_identity *identity);

/* Sends a signal if it still runs. */
void process_signal(const struct process_identity *identity, int number);

/* Returns whether it has ended by the deadline. */
bool process_wait_end(const struct process_identity *identity, int64_t deadline_ms);

/* SIGKILL for it and everything below it: it is stopped first, so that it cannot start more. */
void process_kill_tree(const struct process_identity *identity);

/* SIGKILL for every process whose initial environment has exactly this "NAME=value", until none
 * is left or the deadline passes. Returns how many are left. */
int process_kill_marked(const char *marker, int64_t deadline_ms);

#endif
