/* SPDX-License-Identifier: MIT */
/*
 * backend.h - what can run a task: a struct of functions per kind of place.
 *
 * Life of a task: check (nothing is touched), plan (name what will be made, in 'state'), the
 * caller saves the state, launch (which calls persist() again before anything that a cleanup
 * could not find by the state saved so far), alive any number of times, stop. Every function but
 * launch may be called twice and after a crash at any point; stop of something never launched or
 * already gone is success. All of a backend's memory is in 'state', JSON that survives in the
 * metadata file between the stages' processes.
 */
#ifndef BERTH_DRIVER_BACKEND_H
#define BERTH_DRIVER_BACKEND_H

#include <cjson/cJSON.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/config.h"
#include "driver/metadata.h"
#include "driver/signals.h"

struct backend_task {
    const struct config *config;
    struct metadata *metadata; /* job, keys, state; launch fills host and port */
    bool tied;                 /* the task shall not outlive this process */
    struct signals *signals;   /* may be NULL */
    int (*persist)(struct backend_task *task, struct error *err);
    void (*tell)(const char *text); /* one line of progress for the job's log; may be NULL */
    void *session;                  /* the backend's own, of this process; done() frees it */
};

struct backend_directories {
    char builds[PATH_MAX];
    char cache[PATH_MAX];
};

/* A task of ours as the place itself knows it, whoever launched it: for 'ps' and 'gc'. */
struct backend_listed {
    char id[256];                 /* what stop_listed() takes: an ARN, a container's id */
    char job[METADATA_JOB_BYTES]; /* empty: not known */
    char url[512];                /* of the job, empty: not known */
    char state[32];               /* the place's own word */
    char size[48];                /* "1 vCPU, 2 GiB", empty: not known */
    int64_t started_at_s;         /* Unix time; 0: not yet */
    double vcpus, memory_gib;     /* 0: not known */
    bool spot;
};

typedef int backend_visit(void *context, const struct backend_listed *listed, struct error *err);

struct backend {
    const char *name;
    const char *summary;
    bool any_image; /* a task may have an SSH server with a host key of its own, not our agent */
    int (*check)(const struct config *config, struct error *err);
    int (*directories)(const struct config *config, const char *job,
                       struct backend_directories *out_directories, struct error *err);
    int (*plan)(struct backend_task *task, struct error *err);
    int (*launch)(struct backend_task *task, int64_t deadline_ms, struct error *err);
    /* From launch to login; NULL: [SSH] ConnectTimeout. */
    int64_t (*patience_ms)(const struct config *config);
    /* -1 with the reason when the task has ended. */
    int (*alive)(struct backend_task *task, struct error *err);
    int (*stop)(struct backend_task *task, int64_t deadline_ms, struct error *err);
    /* Every task of ours, oldest first; 'visit' returning -1 ends it. NULL: nothing outlives this
     * machine's processes, so there is nothing to list. */
    int (*list)(const struct config *config, backend_visit *visit, void *context,
                int64_t deadline_ms, struct error *err);
    int (*stop_listed)(const struct config *config, const char *id, const char *reason,
                       int64_t deadline_ms, struct error *err);
    /* Short name of the task for people, e.g. "local-1234". */
    void (*describe)(const struct backend_task *task, char *out, size_t room);
    void (*done)(struct backend_task *task); /* frees 'session'; NULL: there never is one */
};

extern const struct backend backend_local, backend_ecs;

/* The backend that the configuration asks for; an error of kind ERROR_USAGE for one that this
 * version does not have. */
const struct backend *backend_choose(const struct config *config, struct error *err);
/* By the name in a metadata file; NULL when unknown. */
const struct backend *backend_find(const char *name);

#endif
