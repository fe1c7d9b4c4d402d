/* SPDX-License-Identifier: MIT */
/*
 * process_id.h - identifies processes so that a recycled pid is never mistaken for them.
 *
 * A process id here is a pid, its start time and the boot it belongs to, as /proc shows them; it
 * can be stored and outlive the process that stored it. Signals go through a pidfd that was
 * compared with it first. Needs /proc. Deadlines are absolute (clock.h).
 */
#ifndef BERTH_DRIVER_BASE_PROCESS_ID_H
#define BERTH_DRIVER_BASE_PROCESS_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define PROCESS_ID_BOOT_BYTES    40
#define PROCESS_ID_DEPTH_CEILING 64 /* how many ancestors are examined */

struct process_id {
    pid_t pid;
    uint64_t start_ticks;             /* field 22 of /proc/PID/stat */
    char boot[PROCESS_ID_BOOT_BYTES]; /* /proc/sys/kernel/random/boot_id */
};

int process_id_get(pid_t pid, struct process_id *out_identity, struct error *err)
    __attribute__((warn_unused_result));

/* Whether it is still running; a zombie is not. Reaps it when it is our child. */
bool process_id_runs(const struct process_id *identity);

/* Whether it has exited for certain, within the same boot: a process that /proc hides from us
 * counts as running. */
bool process_id_is_gone(const struct process_id *identity);

/* The last part of the path of its program file, without " (deleted)". -1: not permitted, or no
 * such process. */
int process_id_program(pid_t pid, char *out, size_t room) __attribute__((warn_unused_result));

/* 0: none, or unknown. */
pid_t process_id_parent(pid_t pid);

/* This boot's id; empty: unknown. */
void process_id_boot(char out[PROCESS_ID_BOOT_BYTES]);

/* Sends a signal if it is still running. */
void process_id_signal(const struct process_id *identity, int number);

/* Waits for its end. False: it was still running at the deadline. */
bool process_id_wait(const struct process_id *identity, int64_t deadline_ms);

/* Kills it and all its descendants. It is stopped first, so that it cannot start more. */
void process_id_kill_tree(const struct process_id *identity);

/* Kills every process whose initial environment has exactly this "NAME=value", until none is left
 * or the deadline passes. Returns how many are left. */
int process_id_kill_marked(const char *marker, int64_t deadline_ms);

#endif
