/* SPDX-License-Identifier: MIT */
/*
 * frame_reader.h - reads the frames that a task's agent sends for a resumable job
 * (common/jobwire.h).
 *
 * Output is written as it arrives and counted; progress and outcome go to struct job_state.
 * Frames that are out of order or malformed are errors. The first report of the job's exit is
 * final: nothing after it is read. Each connection has its own reader: the caller sets the first
 * fields of the struct, then calls frame_reader_init() and frame_reader_done().
 */
#ifndef BERTH_DRIVER_REMOTE_FRAME_READER_H
#define BERTH_DRIVER_REMOTE_FRAME_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/jobwire.h"
#include "driver/remote/job_state.h"

struct frame_reader {
    struct job_state *job;
    const char *peer;      /* the task's address, for messages */
    struct error *failure; /* filled once, by the first bad frame or refusal */
    bool uploading;        /* the script was not sent completely, so no reply is due yet */
    struct jobwire_decoder decoder;
    uint64_t unacked_bytes; /* written, and not acknowledged to the agent */
    int64_t ack_ms;         /* when they should be at the latest */
};

void frame_reader_init(struct frame_reader *reader);
void frame_reader_done(struct frame_reader *reader);

/* Reads the next bytes. Returns how many were taken: less than all when '*out_blocked' of the job's
 * outputs takes no more. After a failure everything is taken and dropped. */
size_t frame_reader_take(struct frame_reader *reader, const char *bytes, size_t length,
                         int *out_blocked);

#endif
