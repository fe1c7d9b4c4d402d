/* SPDX-License-Identifier: MIT */
/*
 * origin.h - who started a job, when, and how long it may run: how 'gc' recognises orphans.
 *
 * 'prepare' records the nearest ancestor whose program file is a gitlab-runner, 'exec' records
 * itself. The program file counts, not the name of the process: the name of a wrapper script is the
 * script's, and a script around the stages ends with each of them. Processes are identified by pid,
 * start time, boot and pid namespace, and looked up only where these can be compared. All memory is
 * the struct's; unknown values are 0 or empty, and nothing fails.
 */
#ifndef BERTH_DRIVER_RECORD_ORIGIN_H
#define BERTH_DRIVER_RECORD_ORIGIN_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/base/process_id.h"
#include "driver/record/runner_id.h"
#include "driver/runner/runner.h"

#define ORIGIN_URL_BYTES 512
#define ORIGIN_SPARE_S \
    3600 /* a job so long after its timeout is an orphan; until then it may be in its cleanup */

struct origin {
    int64_t started_at_s;          /* Unix time; 0: not known */
    int64_t timeout_s;             /* of the job; 0: not known */
    char machine[RUNNER_ID_BYTES]; /* runner_id.h */
    uint64_t pid_namespace;        /* of 'process' */
    struct process_id process;     /* pid 0: none was found; its boot is known */
    char url[ORIGIN_URL_BYTES];    /* of the job; set by the pipeline, so only to be printed */
};

/* The origin of this stage's job, and of this process itself. */
void origin_of_job(const struct config *config, const struct runner *runner,
                   struct origin *out_origin);
void origin_of_exec(const struct config *config, struct origin *out_origin);

/* The member "origin" of the metadata file. Without it, everything is unknown. */
bool origin_add(cJSON *root, const struct origin *origin);
void origin_read(const cJSON *root, struct origin *out_origin);

/* Whether the process that would end the job has exited for certain. 'machine' is this one. */
bool origin_is_gone(const struct origin *origin, const char *machine);

/* Whether no process will end the job. 'gone' as above; 'held': one of its drivers runs. */
bool origin_is_orphan(const struct origin *origin, bool gone, bool held, int64_t now_s);

#endif
