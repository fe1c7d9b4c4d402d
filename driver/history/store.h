/* SPDX-License-Identifier: MIT */
/*
 * store.h - the files of the history of jobs: one line per job, and notes of jobs that still run.
 *
 * [History] Directory holds jobs.jsonl (one JSON object per line, appended), totals.json (counters
 * that never fall, see totals.h) and KEY.note for each job that has not ended: lines that its
 * stages append. All files have mode 0600. The directory and its files follow the rule of
 * metadata_directory.h. A process appends under a lock of the directory, with one write; a write
 * that the disk cuts short is undone. Readers take no lock and skip lines that are torn.
 *
 * A failing history must not fail a job: callers of the writing functions log the error and go on.
 * The caller closes the store. Times are Unix seconds, sizes bytes.
 */
#ifndef BERTH_DRIVER_HISTORY_STORE_H
#define BERTH_DRIVER_HISTORY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/config/config.h"

#define HISTORY_LINE_BYTES (64UL << 10) /* readers skip longer lines */
#define HISTORY_NOTE_BYTES (256UL << 10)
#define HISTORY_READ_BYTES (2UL << 30) /* twice the ceiling of MaxSize */
#define HISTORY_FILE       "jobs.jsonl"
#define HISTORY_TOTALS     "totals.json"

struct history_store {
    int fd; /* of the directory */
    const char *path;
    const struct config *config;
};

/* Opens the directory, and creates it if 'make'. Returns 1, 0 if there is none, -1 if it is not
 * trusted. 'path' gets the directory's name and must outlive the store. */
int history_open(struct history_store *store, const struct config *config, bool make, char *path,
                 size_t room, struct error *err) __attribute__((warn_unused_result));
void history_close(struct history_store *store);

/* Waits some seconds for the lock, which history_close() releases. */
int history_lock(const struct history_store *store, struct error *err)
    __attribute__((warn_unused_result));

/* Appends 'line', which has no newline, then shortens a file that is beyond MaxSize or MaxAge. With
 * the lock. '*out_kept': the line is in the file, also if that failed. */
int history_append(const struct history_store *store, const char *line, size_t length,
                   int64_t now_s, bool *out_kept, struct error *err)
    __attribute__((warn_unused_result));

/* The whole file 'name', up to the buffer's ceiling. 1; 0: there is none; -1. */
int history_read(const struct history_store *store, const char *name, struct buffer *out,
                 struct error *err) __attribute__((warn_unused_result));

/* The jobs' lines, of which the caller frees '*out_text'. 1; 0: there are none; -1. */
int history_read_jobs(const struct history_store *store, char **out_text, size_t *out_length,
                      struct error *err) __attribute__((warn_unused_result));

/* Notes of a job: lines of JSON in the order of its stages. */
int history_note(const struct history_store *store, const char *job, const char *line,
                 size_t length, struct error *err) __attribute__((warn_unused_result));
int history_noted(const struct history_store *store, const char *job, struct buffer *out,
                  struct error *err) __attribute__((warn_unused_result));
void history_forget(const struct history_store *store, const char *job);

/* Calls 'visit' for each job with a note that no stage has changed for 'age_s'. */
int history_each_note(const struct history_store *store, int64_t age_s, int64_t now_s,
                      void (*visit)(void *context, const char *job), void *context,
                      struct error *err) __attribute__((warn_unused_result));

/* The next line of 'text' that is not empty, without its newline; false at the end. 'at' begins
 * as 0. A last line without a newline was torn and is not returned. */
bool history_next_line(const char *text, size_t length, size_t *at, const char **out_line,
                       size_t *out_length);

#endif
