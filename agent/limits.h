/* SPDX-License-Identifier: MIT */
/*
 * limits.h - ceilings and deadlines of the agent that are not options, with unit and reason.
 */
#ifndef BERTH_AGENT_LIMITS_H
#define BERTH_AGENT_LIMITS_H

/* SSH_PUBLIC_KEY: lines, and bytes per line. An RSA-16384 key takes 2,800 bytes. */
#define LIMIT_AUTHORIZED_KEYS      64
#define LIMIT_AUTHORIZED_KEY_BYTES 16384

/* RSA keys with fewer bits are refused: NIST SP 800-131A. */
#define LIMIT_RSA_BITS 2048

/* Connections of all kinds. */
#define LIMIT_CONNECTIONS 256

/* For so long a connection may log in undisturbed; then it gives way to a new one when there are as
 * many as may be. A login over a slow link takes a tenth of it. When many wait it has less: all who
 * wait are to have their turn within LIMIT_TURN_MS, half of the 5 s that a login may take, but no
 * turn is shorter than LIMIT_LOGIN_CROWDED_MS, five times what a login takes. */
#define LIMIT_LOGIN_UNDISTURBED_MS 2000
#define LIMIT_LOGIN_CROWDED_MS     500
#define LIMIT_TURN_MS              2500
#define LIMIT_CROWD                2
/* In a crowd some connections still keep their places the whole time: logins on their way and, if
 * the new connection is a suspect's, all that are not. So many at most, or the others' turns would
 * come too late: 10 places that last 2 s serve 5 connections a second, and 60 loops need 20. */
#define LIMIT_PROTECTED_ONE_IN 4

/* How many connections wait for a place, and how long each: less than a place lasts, so that one
 * that gets none is refused soon. In a crowd, or for a suspect, it is until its turn can have come:
 * the last of 60 loops has it after 3 s, and one that is refused before comes back as the last. Not
 * longer, since a login that cannot even wait needs one of these to end. */
#define LIMIT_WAITING         128
#define LIMIT_WAIT_MS         1000
#define LIMIT_CROWDED_WAIT_MS 4000
/* Accepted before anything else is looked at. */
#define LIMIT_ACCEPTED_AT_ONCE 64

/* Addresses that are remembered: as many as can be connected or waiting, and as many again. */
#define LIMIT_SOURCES 512
/* Points for a connection that did not log in, and for one that was displaced besides. Up to so
 * many an address is no suspect; it has at most LIMIT_PENALTY and loses one in
 * LIMIT_PENALTY_FORGET_MS. One that was displaced makes its address a suspect until the next one
 * from there had its turn: 6 s. With less, a flood's addresses were suspects and others by turns,
 * and kept suspects out as others for seconds. */
#define LIMIT_PENALTY_NO_LOGIN  1
#define LIMIT_PENALTY_DISPLACED 5
#define LIMIT_PENALTY_UNNOTICED 3
#define LIMIT_PENALTY           12
#define LIMIT_PENALTY_FORGET_MS 2000
/* After a login an address is no suspect for so long. */
#define LIMIT_TRUST_MS 3600000

/* CPU that connections which never log in may cost, in us for each ms: 0.15 of a processor, and
 * what may be owed when one from a suspect, or from another address, is served. AddressSanitizer
 * makes a key exchange ten times as expensive. */
#ifdef __SANITIZE_ADDRESS__
#define LIMIT_STRANGERS_CPU_US 1500
#else
#define LIMIT_STRANGERS_CPU_US 150
#endif
#define LIMIT_SUSPECTS_CREDIT_US  100000
#define LIMIT_STRANGERS_CREDIT_US 300000

/* Refused connections are summed up in one line for so long. */
#define LIMIT_SUMMARY_MS 10000

/* Pause after accept() failed for lack of descriptors or memory. */
#define LIMIT_ACCEPT_PAUSE_MS 100

/* libssh sends no reply to some failed logins: the connection is closed after this time. */
#define LIMIT_LOGIN_SILENCE_MS 2000

/* Messages and bytes from one client before its login. A login takes six messages and 6 KiB; with
 * every attempt used, keys of 16384 bits and the longest lists of algorithms, 30 and 60 KiB. */
#define LIMIT_LOGIN_MESSAGES 128
#define LIMIT_LOGIN_BYTES    (256 * 1024)
/* So many of these may be messages without effect. Some clients send a few against traffic
 * analysis. */
#define LIMIT_LOGIN_CHATTER 32
/* Messages of unknown types, over a connection's life; libssh answers each. */
#define LIMIT_UNKNOWN_MESSAGES 16
/* While more output than this is queued, a session reads nothing from its client after the login.
 * It reads a job's output only when nothing is queued, LIMIT_OUTPUT_CHUNK_BYTES at a time. */
#define LIMIT_QUEUED_BYTES (256 * 1024)

/* Address space of a session process. Ten channels with full windows need a tenth of it. */
#define LIMIT_SESSION_MEMORY_BYTES (256L * 1024 * 1024)
/* Descriptors of a session process: four per channel, a few more, and inherited ones. */
#define LIMIT_SESSION_FILES 512

/* Session channels of one connection: the highest --max-sessions. */
#define LIMIT_CHANNELS 64

/* The longest command that fits an SSH packet (256 KiB with headers). */
#define LIMIT_COMMAND_BYTES 262144
#define LIMIT_USER_BYTES    256
/* Linux's MAX_ARG_STRLEN, with the NUL: the shell reads a longer command from a file. */
#define LIMIT_ARGUMENT_BYTES 131072

/* After this many children reaped in one millisecond, init pauses until the next one: when many
 * orphans exit at once, waking up for each costs more than reaping it. */
#define LIMIT_REAPED_AT_ONCE 4

/* Variables of one job that a client may set, all together, and its terminal's type. */
#define LIMIT_ENVIRONMENT_BYTES (32 * 1024)
#define LIMIT_TERM_BYTES        128

/* Concurrent jobs, over all connections. */
#define LIMIT_JOBS 512

/* One read of a job's output. It is encrypted in one step, for which libssh keeps memory. Twice
 * this size was not faster. */
#define LIMIT_OUTPUT_CHUNK_BYTES (128 * 1024)
/* A resumable job's monitor stops reading while its session is this far behind. This is the size of
 * a job's pipe: the monitor then reads from a full pipe whose writer sleeps, so that both processes
 * wake up once for a large piece. */
#define LIMIT_AHEAD_BYTES LIMIT_PIPE_BYTES
/* For at most this time: a slow link must not block a job whose spool has room. */
#define LIMIT_BEHIND_MS 20
/* After the shell has exited, output ends after this many times --drain even if a process keeps
 * writing: a daemon that logs every second must not hold a job forever. */
#define LIMIT_DRAIN_TIMES 10
/* A session that has sent no output for this time frees its output buffer. */
#define LIMIT_QUIET_MS 100
/* The smallest --spool-limit: one slot for each stream. */
#define LIMIT_SPOOL_LEAST_BYTES (256 * 1024)
/* Size of a job's output pipe. A larger one saves wake-ups, but the pages and their copies must
 * stay in the CPU cache: 1 MiB was a sixth slower. */
#define LIMIT_PIPE_BYTES (256 * 1024)
/* One write to a job's standard input. */
#define LIMIT_INPUT_CHUNK_BYTES (64 * 1024)

/* A resumable job's standard input, which is kept in memory. The driver's scripts are at most half
 * this long. */
#define LIMIT_RESUMABLE_INPUT_BYTES (128UL << 20)

/* Bytes from a resumable job's client in one round of the loop: twice the window of libssh. */
#define LIMIT_ARRIVED_BYTES (4 * 1024 * 1024)

/* Time for a closing connection to send its last bytes. */
#define LIMIT_FLUSH_MS 10000

/* Time to write a log line: a blocked log pipe must stop neither jobs nor PID 1. */
#define LIMIT_LOG_WAIT_MS 500

/* Time after the grace period to report how jobs ended; less than LIMIT_KILL_MS. */
#define LIMIT_FINAL_REPORT_MS 1000

/* Time for orphans to exit after SIGTERM when the jobs used up the grace period. */
#define LIMIT_ORPHAN_MS 300

/* Time for processes to exit after SIGKILL. A process needs longer only in uninterruptible sleep.
 */
#define LIMIT_KILL_MS 2000

/* Time for a job's shell to be executed, from an image that is downloaded on demand too. */
#define LIMIT_EXEC_MS 30000

/* The largest /etc/passwd. */
#define LIMIT_PASSWD_BYTES (1024 * 1024)

/* The largest /etc/hosts. */
#define LIMIT_HOSTS_BYTES (1024 * 1024)

/* The variables of a service (variables.h), and bytes of a name. */
#define LIMIT_VARIABLES_BYTES (1024 * 1024)
#define LIMIT_VARIABLES       4096
#define LIMIT_VARIABLE_NAME   256

/* 'busybox --list' takes a millisecond and prints 2 KiB. */
#define LIMIT_APPLETS_MS    5000
#define LIMIT_APPLETS_BYTES 65536
#define LIMIT_APPLETS       1024

/* What 'own' remembers: the names of directories that it has yet to enter. With 200 bytes for each,
 * 300,000 in one directory. */
#define LIMIT_OWN_BYTES (64 * 1024 * 1024)
/* Failures that are printed one by one. */
#define LIMIT_OWN_REPORTS 10

/* Ports that 'await' watches at once, addresses of one name, and the pause between two rounds of
 * connections, which doubles. */
#define LIMIT_AWAITED           64
#define LIMIT_AWAITED_ADDRESSES 4
#define LIMIT_AWAIT_ROUND_MS    1000
#define LIMIT_AWAIT_PAUSE_MS    20
#define LIMIT_AWAIT_PAUSES_MS   500

/* The answer of the task metadata endpoint: a task of ten containers takes 30 KiB. */
#define LIMIT_TASK_METADATA_BYTES (128 * 1024)

#endif
