/* SPDX-License-Identifier: MIT */
/*
 * backend.h - the places where a task can run, a struct of functions for each.
 *
 * Life cycle of a task: check (changes nothing), fetch (shared and slow: an image), plan (writes
 * the names of what launch will create into 'state'), the caller saves the state, launch (which
 * calls persist() again before it creates anything that cleanup could not find by the saved state),
 * alive any number of times, stop. Every function but launch may be called twice, and after a crash
 * at any point; stop of a task that was never launched or is gone is success. A backend remembers
 * things in 'state' alone: JSON in the metadata file, which the stages' processes share.
 */
#ifndef BERTH_DRIVER_BACKEND_BACKEND_H
#define BERTH_DRIVER_BACKEND_BACKEND_H

#include <cjson/cJSON.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buffer.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"
#include "driver/record/metadata.h"

#define BACKEND_REGION_BYTES 64

/* Where the time of a start went, in milliseconds; each part is measured by itself. */
struct backend_start {
    int64_t begun_ms;    /* when it began, clock.h */
    int64_t queued_ms;   /* until the backend accepted the task: look-ups, pauses between calls,
                            refusals; 0: none */
    int64_t placed_ms;   /* until a place was found for the task; -1: not known, as the next two */
    int64_t pulled_ms;   /* the download of the images */
    int64_t started_ms;  /* from there until the job's container ran */
    int64_t created_ms;  /* the creation of the containers, where the start is without; else 0 */
    int64_t login_ms;    /* of the logins alone, without failed tries */
    int64_t services_ms; /* the start of services and the wait for them; 0: there are none */
    int64_t image_bytes; /* of the job's image, compressed; 0: not known */
    int64_t accepted_at_ms; /* when the backend accepted the task, Unix time by its own clock */
    bool by_driver;         /* measured by the driver itself: there is nothing to place */
    /* What makes the download of the job's image slower than it could be. */
    bool from_hub;         /* it is pulled from Docker Hub */
    bool lacks_soci_index; /* it could be loaded lazily, but is known to have no index for that */
    char image_region[BACKEND_REGION_BYTES]; /* of its registry, if the task is in another one */
    char task_region[BACKEND_REGION_BYTES];  /* with image_region */
};

struct backend_task {
    const struct config *config;
    struct metadata *metadata;  /* job, keys, state; plan sets has_helper, launch fills 'agents' */
    bool die_with_parent;       /* the task ends with this process */
    int64_t login_within_ms;    /* the task exits if it has no client for so long; 0: the agent's
                                   defaults */
    bool wants_git;             /* set by fetch(): without a helper the job's image needs git, and
                                   gitlab-runner */
    bool lost_helper;           /* with wants_git: a retry may get the helper's image */
    bool two_addresses;         /* set by launch(): second_address() may find another than 'host' */
    struct backend_start start; /* filled by fetch and launch as far as they know */
    struct signals *signals;    /* may be NULL */
    int (*persist)(struct backend_task *task, struct error *err);
    /* Prints a line of progress to the job's log; may be NULL. */
    void (*progress)(const char *text);
    void *session; /* private to the backend, not saved; done() frees it */
};

/* How urgently alive() is called. Backends without a rate limit treat all alike. */
enum backend_asking {
    BACKEND_IF_DUE, /* between two attempts: within the rate limit */
    BACKEND_SOON, /* the connection was just lost: ignore the pause, wait up to a second for a turn
                   */
    BACKEND_WAIT, /* wait for a turn, so that the answer is current */
};

/* A program to run in a container without a shell, and what it printed. */
struct backend_command {
    const char *const *words; /* end with NULL; at least two */
    const char *input;        /* NULL: none */
    size_t input_length;
    char *text; /* for the beginning of its output, both streams; NUL bytes become blanks */
    size_t room;
    int status; /* out: the exit status, BACKEND_SIGNALLED after a signal */
};
#define BACKEND_SIGNALLED 255

/* The helper container of a task, or the job's if it has none, for settle(). */
struct backend_helper {
    void *context;
    /* -1: the command was not run, its exit is not known, or a request to stop ended it (EINTR). */
    int (*run)(void *context, struct backend_command *command, int64_t deadline_ms,
               struct error *err);
};

struct backend_directories {
    char builds[PATH_MAX];
    char cache[PATH_MAX];
};

/* A task of this runner as the backend lists it, for 'ps' and 'gc'. */
struct backend_listed {
    char id[256];                 /* for stop_listed(): an ARN, a container's id */
    char job[METADATA_JOB_BYTES]; /* empty: not known */
    char url[512];                /* of the job, empty: not known */
    char state[32];               /* as the backend names it */
    bool ended;                   /* or is about to: it does not come back */
    char size[48];                /* "1 vCPU, 2 GiB", empty: not known */
    int64_t started_at_s;         /* Unix time; 0: not yet */
    double vcpus, memory_gib;     /* 0: not known */
    bool spot;
    bool elsewhere; /* not on Fargate: [Price] does not apply */
};

typedef int backend_visit(void *context, const struct backend_listed *listed, struct error *err);

struct backend {
    const char *name;
    const char *summary;
    bool uses_keywords;        /* a job's 'image:' and 'services:' */
    bool may_lack_agent;       /* a task may run another SSH server, with a host key of its own */
    bool has_metadata;         /* the agent can ask for the times of the start (start_report.h) */
    bool has_task_definitions; /* of which each task is made, with a size and roles */
    int64_t list_pause_ms;     /* between two calls of list() by 'ps --watch' */
    int (*check)(const struct config *config, struct error *err);
    int (*directories)(const struct config *config, const char *job,
                       struct backend_directories *out_directories, struct error *err);
    /* Called before the launch deadline starts; NULL: nothing to fetch. */
    int (*fetch)(struct backend_task *task, struct error *err);
    int (*plan)(struct backend_task *task, struct error *err);
    int (*launch)(struct backend_task *task, int64_t deadline_ms, struct error *err);
    /* After the first login to each container: what is left to do from the helper, or from the
     * job's container if there is none, such as services. Only in the process that launched the
     * task; NULL: nothing. */
    int (*settle)(struct backend_task *task, const struct backend_helper *helper,
                  int64_t deadline_ms, struct error *err);
    /* With two_addresses: the other one. 0: not known yet; if it never will be, two_addresses is
     * reset. Only in the process that launched the task. */
    int (*second_address)(struct backend_task *task, char *out, size_t room);
    /* From launch to login; NULL: [SSH] ConnectTimeout. */
    int64_t (*launch_timeout_ms)(const struct config *config);
    /* -1 with the reason if the task has ended; 0 if it runs, or if that is not known. */
    int (*alive)(struct backend_task *task, enum backend_asking asking, struct error *err);
    /* The interval of alive() while a script runs (task_watcher.h); NULL: never called. */
    int64_t (*watch_pause_ms)(const struct config *config);
    /* Appends what the services of the task have logged since the last call, as lines to print, to
     * 'out' as far as its ceiling allows; the rest is for the next call. BACKEND_SERVICE_LOGS of
     * 'state' has what was read; without it there is nothing. NULL: not supported. */
    int (*service_logs)(struct backend_task *task, struct buffer *out, int64_t deadline_ms,
                        struct error *err);
    int (*stop)(struct backend_task *task, int64_t deadline_ms, struct error *err);
    /* Visits each task of this runner, oldest first, until 'visit' returns -1. */
    int (*list)(const struct config *config, backend_visit *visit, void *context,
                int64_t deadline_ms, struct error *err);
    /* Stops a task without metadata; NULL: tasks always have metadata. */
    int (*stop_listed)(const struct config *config, const char *id, const char *reason,
                       int64_t deadline_ms, struct error *err);
    /* Prints the log of the task's agents, escaped; NULL: there is none to read. */
    int (*logs)(struct backend_task *task, FILE *out, int64_t deadline_ms, struct error *err);
    /* Writes what the present job asks of its task, settings included, so that a task that was
     * launched for the same text can serve it. Returns 1; 0: the job needs a task of its own; NULL:
     * no task can be launched ahead of its job. */
    int (*requirements)(const struct config *config, struct buffer *out_text, struct error *err);
    /* A job has claimed a task that was launched ahead of it; NULL: nothing to do. */
    int (*claimed)(struct backend_task *task, int64_t deadline_ms, struct error *err);
    /* Short name of the task for messages, e.g. "local-1234". */
    void (*describe)(const struct backend_task *task, char *out, size_t room);
    void (*done)(struct backend_task *task); /* frees 'session'; NULL: not used */
};

/* Optional texts in 'state': the directory of the task in which 'exec' runs its command; the image
 * of the helper; the directory that is a volume of this task alone, shared by its containers, which
 * then have our agent at BACKEND_AGENT_PATH. */
#define BACKEND_WORKDIR      "workdir"
#define BACKEND_HELPER_IMAGE "helper_image"
#define BACKEND_BUILDS       "builds"
/* The key in 'state' of a value of any type. */
#define BACKEND_SERVICE_LOGS "service_logs"
#define BACKEND_AGENT_PATH   "/.berth/berth-agent"

extern const struct backend backend_local, backend_docker, backend_ecs;

/* The backend of the configuration: the one named, else ECS if there is a table [Fargate], else
 * 'local' for 'exec' alone. NULL with an error of kind ERROR_USAGE if none is configured or the
 * name is unknown. */
const struct backend *backend_choose(const struct config *config, struct error *err);

/* By the name in a metadata file; NULL when unknown. */
const struct backend *backend_find(const char *name);

#endif
