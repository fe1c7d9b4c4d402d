/* SPDX-License-Identifier: MIT */
/*
 * metadata.h - what 'prepare' leaves for 'run' and 'cleanup': one JSON file per job.
 *
 * It is written before anything is launched, so that a cleanup finds a task whose prepare died
 * half-way, and again when more is known. Mode 0600, replaced atomically, in a directory that is
 * created with 0700 when missing. It holds the job's key seeds; struct metadata keeps them in
 * locked memory, and texts of the file are wiped.
 *
 * A struct metadata is made by metadata_new() or metadata_load() and freed by metadata_free(),
 * which accepts NULL. 'state' belongs to the backend, which alone knows what is in it.
 */
#ifndef BERTH_DRIVER_METADATA_H
#define BERTH_DRIVER_METADATA_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/error.h"
#include "driver/keys.h"

#define METADATA_VERSION        1
#define METADATA_CEILING_BYTES  (64UL << 10)
#define METADATA_JOB_BYTES      64
#define METADATA_ADDRESS_BYTES  64
#define METADATA_HOST_KEY_BYTES 1024
#define METADATA_RUN_BYTES      33 /* 32 hexadecimal digits and the NUL */

struct metadata {
    char job[METADATA_JOB_BYTES];
    char backend[16];
    char host[METADATA_ADDRESS_BYTES]; /* empty until the task has an address */
    int port;
    char host_key[METADATA_HOST_KEY_BYTES]; /* "TYPE BASE64" that was pinned; empty: the seed's */
    struct keys *keys;
    cJSON *state;
};

struct metadata *metadata_new(const char *job, const char *backend, struct error *err);
void metadata_free(struct metadata *metadata);

int metadata_save(const struct metadata *metadata, const char *directory, struct error *err)
    __attribute__((warn_unused_result));
/* Returns 1 and 'out_metadata', 0 when there is no file, -1 when there is one that cannot be used.
 */
int metadata_load(const char *directory, const char *job, struct metadata **out_metadata,
                  struct error *err) __attribute__((warn_unused_result));
/* Whether there is a file of that job; one that cannot be looked for counts as there. */
bool metadata_exists(const char *directory, const char *job);
/* Also removes what an interrupted metadata_save() left. A missing file is success. */
int metadata_remove(const char *directory, const char *job, struct error *err)
    __attribute__((warn_unused_result));

/* The id of the durable job that a stage is running, beside the file and without its guarantees:
 * it matters only when that stage's process is killed, not when the machine is. 'noted' tells
 * whether there is one; 'forget' also runs as a part of metadata_remove(). */
int metadata_note_run(const char *directory, const char *job, const char *id, struct error *err)
    __attribute__((warn_unused_result));
bool metadata_noted_run(const char *directory, const char *job, char out_id[METADATA_RUN_BYTES]);
void metadata_forget_run(const char *directory, const char *job);

/* That the job's cleanup has begun, beside the file as well: whatever is left of the job after it
 * failed is nobody's. Without a file there is nothing to note; metadata_remove() forgets it too. */
int metadata_note_end(const char *directory, const char *job, struct error *err)
    __attribute__((warn_unused_result));
bool metadata_noted_end(const char *directory, const char *job);

#endif
