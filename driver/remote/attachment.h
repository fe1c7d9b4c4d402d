/* SPDX-License-Identifier: MIT */
/*
 * attachment.h - runs a resumable job (common/jobwire.h) over one connection.
 *
 * attachment_run() starts the job, or attaches to it at the first byte of output that was not
 * written yet, and returns when the job has ended or the connection is lost; then it can be called
 * again with another connection. Output goes to our descriptors 1 and 2 as it arrives and is
 * acknowledged to the agent once it was written; the result is released after the last byte was.
 */
#ifndef BERTH_DRIVER_REMOTE_ATTACHMENT_H
#define BERTH_DRIVER_REMOTE_ATTACHMENT_H

#include "common/error.h"
#include "driver/remote/connection.h"
#include "driver/remote/job_state.h"

enum attachment_result {
    ATTACHMENT_ENDED,       /* the job has ended, its output is written and 'outcome' is filled */
    ATTACHMENT_LOST,        /* the connection was lost; 'err' says why */
    ATTACHMENT_UNSUPPORTED, /* the server has no resumable jobs; nothing was started */
    ATTACHMENT_FAILED,
};

enum attachment_result attachment_run(struct job_state *job, struct ssh_connection *connection,
                                      struct error *err) __attribute__((warn_unused_result));

#endif
