/* SPDX-License-Identifier: MIT */
/*
 * limits.h - every ceiling and deadline of the agent that is no option, with unit and reason.
 */
#ifndef BERTH_AGENT_LIMITS_H
#define BERTH_AGENT_LIMITS_H

/* SSH_PUBLIC_KEY: lines and bytes a line. A line of an RSA-16384 key has 2,800 bytes. */
#define LIMIT_AUTHORIZED_KEYS      64
#define LIMIT_AUTHORIZED_KEY_BYTES 16384

/* RSA below this is refused: NIST SP 800-131A. */
#define LIMIT_RSA_BITS 2048

/* Connections of all kinds. */
#define LIMIT_CONNECTIONS 256

/* For so long a connection may log in undisturbed; then it gives way to a new one when there are as
 * many as may be. A login over a slow link takes a tenth of it. */
#define LIMIT_LOGIN_UNDISTURBED_MS 2000

/* When a connection cannot be accepted for want of descriptors or memory: until the next try. */
#define LIMIT_ACCEPT_PAUSE_MS 100

/* libssh leaves some failed logins without a reply: after this silence the connection ends. */
#define LIMIT_LOGIN_SILENCE_MS 2000

/* Address space of a session process: ten channels whose windows are full need a tenth of it. */
#define LIMIT_SESSION_MEMORY_BYTES (256L * 1024 * 1024)
/* Descriptors of a session process: four for each channel, a few more, and what was inherited. */
#define LIMIT_SESSION_FILES 512

/* Session channels of one connection: the most that --max-sessions may allow. */
#define LIMIT_CHANNELS 64

/* A command that SSH can carry: its packet limit of 256 KiB less headers. */
#define LIMIT_COMMAND_BYTES 262144
#define LIMIT_USER_BYTES    256
/* Linux's MAX_ARG_STRLEN with the NUL: a longer command goes to the shell by file. */
#define LIMIT_ARGUMENT_BYTES 131072

/* After so many children reaped in one millisecond, init looks again in the next one: in a storm of
 * orphans, being woken for each costs more than reaping it. */
#define LIMIT_REAPED_AT_ONCE 4

/* What a client may set for one job: all variables together, and the terminal's type. */
#define LIMIT_ENVIRONMENT_BYTES (32 * 1024)
#define LIMIT_TERM_BYTES        128

/* Jobs at once, over all connections. */
#define LIMIT_JOBS 512

/* One read of a job's output; also the most that is encrypted in one go, and what libssh keeps the
 * memory for. Twice as much was no faster. */
#define LIMIT_OUTPUT_CHUNK_BYTES (128 * 1024)
/* A durable job's monitor stops reading when its session is this far behind. As much as a job's
 * pipe holds: it then reads from a full pipe, whose writer sleeps, and both processes are woken
 * once for a large piece. */
#define LIMIT_AHEAD_BYTES LIMIT_PIPE_BYTES
/* But for no longer: a slow link must not hold up a job whose spool has room. */
#define LIMIT_PATIENCE_MS 20
/* A job that wrote so much in that time, to a session that keeps up, is lent to it (lease.h), until
 * it writes less: 50 MiB/s. */
#define LIMIT_LEASE_BYTES (1024 * 1024)
/* For a session to leave the moment in which it moves a lent job's bytes, and for its end when it
 * is killed because it did not. */
#define LIMIT_LEASE_WAIT_MS 1000
/* A session that moved no output for so long gives that memory back. */
#define LIMIT_QUIET_MS 100
/* What a job can write before the agent reads. More means fewer wake-ups, but a pipe's pages, and
 * what they are copied to, must stay in the processor's cache: a MiB was a sixth slower. */
#define LIMIT_PIPE_BYTES (256 * 1024)
/* One write to a job's standard input. */
#define LIMIT_INPUT_CHUNK_BYTES (64 * 1024)

/* A durable job's standard input, kept in memory until it ends: a driver's script has at most half
 * of this. */
#define LIMIT_DURABLE_INPUT_BYTES (128UL << 20)

/* Of a durable job's client, between two rounds of the loop: twice the window that libssh grants.
 */
#define LIMIT_ARRIVED_BYTES (4 * 1024 * 1024)

/* How long a closing connection may take to hand its last bytes to the client. */
#define LIMIT_FLUSH_MS 10000

/* For a log line to be taken: a log service that does not answer must stop neither jobs nor PID 1.
 */
#define LIMIT_LOG_WAIT_MS 500

/* After the grace period, for clients to hear how their jobs ended; less than LIMIT_KILL_MS. */
#define LIMIT_LAST_WORDS_MS 1000

/* After SIGKILL, how long until everything must be gone; it only takes longer when the kernel
 * cannot end a process (uninterruptible sleep). */
#define LIMIT_KILL_MS 2000

/* For a job's first program to be executed, from an image that is fetched as it is read too. */
#define LIMIT_EXEC_MS 30000

/* /etc/passwd is read up to this size. */
#define LIMIT_PASSWD_BYTES (1024 * 1024)

#endif
