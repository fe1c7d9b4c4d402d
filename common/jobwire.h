/* SPDX-License-Identifier: MIT */
/*
 * jobwire.h - the frames of the SSH subsystem "berth-job", which runs resumable jobs.
 *
 * A frame is one byte of type, the payload's length (32 bits), the payload; all numbers are big
 * endian. The client sends first, START, RUN or ATTACH:
 *
 *   START       id[32], command          the job's name, chosen by the client: 32 hex characters;
 *                                        the command is for the user's login shell
 *   RUN         id[32], directory, words   the same, without a login shell: each text ends with a
 *                                        NUL. One word is shell text, for bash, else sh, in the
 *                                        job's PATH, which the agent starts through --entrypoint if
 *                                        it has one; several are a program and its arguments. An
 *                                        empty directory is the user's home. Standard input is
 *                                        /dev/null; the input, if there is any, is descriptor 3
 *   INPUT       bytes                    a piece of its standard input
 *   INPUT_END   total(64)                only now is the job started, and only if all came in
 *   ATTACH      id[32], stdout(64), stderr(64)   offsets of the first byte to send;
 *                                        JOBWIRE_OLDEST: the oldest that is kept
 *   ACK         stdout(64), stderr(64)   the client has everything before these offsets
 *   SIGNAL      name                     of RFC 4254, section 6.10: "TERM"
 *   RELEASE     (nothing)                the client has the exit report: the job can be forgotten
 *
 *   STARTED     stdout(64), stderr(64)   offsets of the next byte of output
 *   ATTACHED    the same                 for an id that exists: nothing is started twice
 *   OUTPUT      stream(8), offset(64), bytes
 *   EXIT        status(32), usage (five of 64: struct jobwire_usage), stdout(64),
 *               stderr(64), signal name; sent after the last byte of output; with an empty
 *               name it exited with the status
 *   NOTICE      code(8), text for people
 *   REFUSED     code(32), text for people; the last frame
 *
 * On the subsystem "berth-exec" RUN is the only frame, and its id is ignored: what follows is the
 * standard input of a plain command, whose output and exit are reported as after an exec request.
 * An agent without RUN replies REFUSED_PROTOCOL, and does not have that subsystem.
 *
 * The subsystem "berth-claim" has no frames: that it starts means that a job has claimed the task,
 * whose agent was waiting for one (--claim-timeout).
 *
 * Both programs use this module. The decoder takes pieces of any size, holds at most one frame, and
 * refuses unknown types and lengths above the type's ceiling before it allocates. With 'pieces' it
 * returns an OUTPUT frame's bytes without copying them, as one frame for each piece of input.
 */
#ifndef BERTH_COMMON_JOBWIRE_H
#define BERTH_COMMON_JOBWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define JOBWIRE_SUBSYSTEM     "berth-job"
#define JOBWIRE_EXEC          "berth-exec"
#define JOBWIRE_CLAIM         "berth-claim"
#define JOBWIRE_ID_BYTES      32
#define JOBWIRE_HEADER_BYTES  5
#define JOBWIRE_COMMAND_BYTES 262144
#define JOBWIRE_INPUT_BYTES   65536
#define JOBWIRE_OUTPUT_BYTES  262144
#define JOBWIRE_TEXT_BYTES    1024
/* In front of an OUTPUT frame's bytes: its header, the stream and the offset. */
#define JOBWIRE_OUTPUT_HEADER_BYTES (JOBWIRE_HEADER_BYTES + 9)

enum jobwire_type {
    JOBWIRE_START = 1,
    JOBWIRE_INPUT,
    JOBWIRE_INPUT_END,
    JOBWIRE_ATTACH,
    JOBWIRE_ACK,
    JOBWIRE_SIGNAL,
    JOBWIRE_RELEASE,
    JOBWIRE_RUN,
    JOBWIRE_STARTED = 65,
    JOBWIRE_ATTACHED,
    JOBWIRE_OUTPUT,
    JOBWIRE_EXIT,
    JOBWIRE_NOTICE,
    JOBWIRE_REFUSED,
};

/* This offset of ATTACH asks for the oldest byte that is kept. */
#define JOBWIRE_OLDEST UINT64_MAX

enum jobwire_stream { JOBWIRE_STDOUT, JOBWIRE_STDERR, JOBWIRE_STREAMS };

/* The values of NOTICE. */
enum jobwire_notice { JOBWIRE_NOTICE_TEXT, JOBWIRE_NOTICE_SHUTDOWN };

/* The values of REFUSED. */
enum jobwire_refusal {
    JOBWIRE_REFUSED_PROTOCOL = 1, /* a malformed or unexpected frame */
    JOBWIRE_REFUSED_UNKNOWN_JOB,
    JOBWIRE_REFUSED_BYTES_GONE, /* the offset was acknowledged, or was not reached yet */
    JOBWIRE_REFUSED_REPLACED,   /* a newer ATTACH took over the job */
    JOBWIRE_REFUSED_START,      /* the command could not be started now */
    JOBWIRE_REFUSED_LOST,       /* the job's monitor was killed */
    JOBWIRE_REFUSED_PERMANENT,  /* it can never be started: the image or the script is the cause */
};

#define JOBWIRE_UNKNOWN UINT64_MAX

/* A job's resource usage. Memory is in bytes; the peak and the limit are the container's. */
struct jobwire_usage {
    uint64_t cpu_ms;
    uint64_t peak_bytes, limit_bytes;
    uint64_t process_peak_bytes; /* of the job's largest process */
    uint64_t oom_kills;          /* in the container while the job ran */
};

/* One frame; the type says which fields are used. 'bytes' points into the decoder or to the
 * caller's memory and is not owned. */
struct jobwire_frame {
    enum jobwire_type type;
    char id[JOBWIRE_ID_BYTES + 1];
    uint64_t offsets[JOBWIRE_STREAMS]; /* also EXIT's totals; INPUT_END's total is the first */
    uint32_t number;                   /* stream, status or code */
    struct jobwire_usage usage;
    const char *bytes; /* command, words, input, output, name or text; no NUL at its end */
    size_t length;
};

/* Appends the frame to 'out'. -1: no memory, or above a ceiling. */
int jobwire_encode(const struct jobwire_frame *frame, struct buffer *out)
    __attribute__((warn_unused_result));

/* Writes what comes before the 'length' bytes of an OUTPUT frame, so that they need not be copied.
 */
void jobwire_output_header(char out[JOBWIRE_OUTPUT_HEADER_BYTES], enum jobwire_stream stream,
                           uint64_t offset, size_t length);

struct jobwire_decoder {
    struct buffer pending; /* the frame that is coming in, header included */
    bool whole;            /* 'pending' holds a frame that was returned to the caller */
    bool broken;
    bool pieces;                /* set by the caller, after the init */
    enum jobwire_stream stream; /* of the OUTPUT frame that comes in pieces */
    uint64_t offset;            /* of its next byte */
    size_t left;                /* how many of its bytes are missing */
};

enum jobwire_result { JOBWIRE_FRAME, JOBWIRE_MORE, JOBWIRE_BROKEN };

void jobwire_decoder_init(struct jobwire_decoder *decoder);
void jobwire_decoder_done(struct jobwire_decoder *decoder);

/* Takes bytes from *bytes, advancing it, up to the end of one frame. The frame's bytes are valid
 * until the next call. After JOBWIRE_BROKEN it always returns that. */
enum jobwire_result jobwire_decode(struct jobwire_decoder *decoder, const char **bytes,
                                   size_t *length, struct jobwire_frame *out_frame);

/* Takes back the last 'count' bytes of the piece that was returned; they are returned again. */
void jobwire_take_back(struct jobwire_decoder *decoder, size_t count, const char **bytes,
                       size_t *length);

#endif
