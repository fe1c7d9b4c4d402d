/* SPDX-License-Identifier: MIT */
/*
 * metadata.h - what 'prepare' saves for 'run' and 'cleanup': one JSON file for each job.
 *
 * It is written before anything is launched, so that cleanup finds a task whose prepare was killed
 * half-way, and again when more is known. Mode 0600, replaced atomically, in a directory that is
 * created with mode 0700 and trusted as metadata_directory.h says. It holds the job's key seeds;
 * struct metadata keeps them in locked memory, and the text of the file is wiped.
 *
 * A struct metadata is made by metadata_new() or metadata_load() and freed by metadata_free(),
 * which accepts NULL. 'state' belongs to the backend, which alone interprets it.
 */
#ifndef BERTH_DRIVER_RECORD_METADATA_H
#define BERTH_DRIVER_RECORD_METADATA_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/error.h"
#include "driver/record/keys.h"
#include "driver/record/metadata_directory.h"
#include "driver/record/origin.h"

#define METADATA_VERSION        2 /* files of version 1, of a job in one container, are read too */
#define METADATA_CEILING_BYTES  (64UL << 10)
#define METADATA_ADDRESS_BYTES  64
#define METADATA_HOST_KEY_BYTES 1024
#define METADATA_WARM_PREFIX    "warm-" /* of the keys of warm tasks */
#define METADATA_WISH_BYTES     65      /* a hash in hexadecimal digits, with the NUL */
#define METADATA_RUN_BYTES      33      /* 32 hexadecimal digits and the NUL */

/* The containers of a task that have an agent. Stages that GitLab Runner's own executors run in its
 * helper image run in the helper, if the task has one (driver/runner/stage.h). */
enum metadata_container { METADATA_JOB, METADATA_HELPER, METADATA_CONTAINERS };

struct metadata_agent {
    char host[METADATA_ADDRESS_BYTES]; /* empty until the task has an address */
    int port;
    char host_key[METADATA_HOST_KEY_BYTES]; /* the pinned "TYPE BASE64"; empty: the seed's key */
};

/* What is recorded of a task that was launched ahead of its job (pool.h). */
struct metadata_warm {
    char wish[METADATA_WISH_BYTES]; /* what a job must ask for to get it; empty: not such a task */
    int64_t ready_at_s;             /* Unix time; 0: it may not be claimed yet */
    int64_t max_age_s;
    char owner[METADATA_WISH_BYTES]; /* whose [[Warm]] it is: a hash; empty: not known */
};

struct metadata {
    char job[METADATA_JOB_BYTES];    /* the key in the names and labels of the task's objects */
    char record[METADATA_JOB_BYTES]; /* the key of the file; another one if the job has claimed a
                                        warm task */
    char backend[16];
    struct metadata_agent agents[METADATA_CONTAINERS];
    bool has_helper;
    bool owned; /* the job's user owns the files that the helper has made */
    struct metadata_warm warm;
    struct origin origin; /* unknown in files of older versions */
    struct keys *keys;
    cJSON *state;
};

struct metadata *metadata_new(const char *job, const char *backend, struct error *err);
void metadata_free(struct metadata *metadata);

int metadata_save(const struct metadata *metadata, const char *directory, struct error *err)
    __attribute__((warn_unused_result));
/* Returns 1 and 'out_metadata', 0 when there is no file, -1 when it cannot be used. */
int metadata_load(const char *directory, const char *job, struct metadata **out_metadata,
                  struct error *err) __attribute__((warn_unused_result));
/* Gives the file another key, which no file has, in one rename. Returns 1; 0: there is no such
 * file; -1 on failure. Notes of the job do not move along. */
int metadata_rename(const char *directory, const char *from, const char *to, struct error *err)
    __attribute__((warn_unused_result));
/* Also removes leftovers of an interrupted metadata_save(). A missing file is success. */
int metadata_remove(const char *directory, const char *job, struct error *err)
    __attribute__((warn_unused_result));

/* The host key of a container. */
const unsigned char *metadata_host_seed(const struct metadata *metadata,
                                        enum metadata_container container);

/* The id of the resumable job that a stage is running in a container, in a file beside the
 * metadata, without its guarantees: it matters only when that stage's process is killed, not when
 * the machine is. metadata_remove() removes it too. */
int metadata_note_run(const char *directory, const char *job, enum metadata_container container,
                      const char *id, struct error *err) __attribute__((warn_unused_result));
/* 1: 'out_id'; 0: none; -1: the file is not trusted. */
int metadata_noted_run(const char *directory, const char *job, enum metadata_container container,
                       char out_id[METADATA_RUN_BYTES], struct error *err)
    __attribute__((warn_unused_result));
void metadata_forget_run(const char *directory, const char *job, enum metadata_container container);

/* Marks that the job's cleanup has begun: if it fails, leftovers of the job are orphans. Does
 * nothing without a metadata file; metadata_remove() removes the mark too. */
int metadata_note_end(const char *directory, const char *job, struct error *err)
    __attribute__((warn_unused_result));
bool metadata_noted_end(const char *directory, const char *job);

#endif
