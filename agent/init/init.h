/* SPDX-License-Identifier: MIT */
/*
 * init.h - state of the agent's first process: listener, connections, jobs, deadlines.
 *
 * init handles signals, the listener, child processes and deadlines. It reads nothing from the
 * network and allocates nothing after startup, so that it cannot fail for lack of memory. The files
 * of this folder work on this struct:
 *
 *   loop.c        wait, dispatch
 *   connection.c  accept, fork a session process for each connection
 *   admission.c   which connections are served, and which wait
 *   jobs.c        the table of jobs, one forked monitor process each
 *   main_command.c  the command that runs beside the SSH server
 *   reap.c        waitpid until nothing is left
 *   idle_timers.c   --connect-timeout, --idle-timeout, --max-lifetime
 *   shutdown.c    SIGTERM, grace period, SIGKILL
 *   child_setup.c   what a forked session or monitor does first
 */
#ifndef BERTH_AGENT_INIT_INIT_H
#define BERTH_AGENT_INIT_INIT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/init/admission.h"
#include "agent/ipc/wire.h"
#include "agent/limits.h"
#include "agent/listen.h"
#include "agent/options.h"
#include "agent/session/authorized_keys.h"
#include "agent/session/server.h"

struct connection {
    pid_t pid; /* of the session process; 0: free slot */
    int control;
    bool logged_in;
    bool displaced; /* killed to make room: counts no more */
    bool reported;  /* the log has a line about that */
    bool asked;     /* its client has asked to log in */
    int64_t accepted_ms;
    struct source *source;
};

/* An accepted connection without a session. */
struct waiting {
    int fd;
    struct source *source;
    struct sockaddr_storage peer;
    int64_t since_ms;
    const char *reason; /* why */
};

/* Events that were not logged since the last summary. */
struct unreported {
    bool refused_reported, displaced_reported; /* the first of each was logged */
    int refused, no_login;
    int64_t summary_ms; /* when the next one is due; CLOCK_NEVER: no events */
};

enum shutdown_phase { SHUTDOWN_NONE, SHUTDOWN_TERM, SHUTDOWN_KILL, SHUTDOWN_DONE };

enum job_state {
    JOB_FREE,    /* no job in this row */
    JOB_RUNNING, /* it has a monitor */
    JOB_LOST,    /* resumable, its monitor was killed: remembered, so that it never starts again */
};

/* A row of the table of jobs. */
struct job_entry {
    enum job_state state;
    pid_t monitor;
    int control; /* brings a resumable job's monitor its new sessions; else -1 */
    /* A resumable job has here a session that asked after the monitor closed 'control', and before
     * it was reaped. It is answered then, when it is known how the monitor ended. -1: none. */
    int asked;
    char id[JOBWIRE_ID_BYTES + 1]; /* of a resumable job; "": a plain job */
};

/* Absolute; CLOCK_NEVER: off or not running. */
struct timers {
    int64_t connect_ms;
    int64_t idle_ms;
    int64_t lifetime_ms;
};

struct init {
    int listener;            /* -1: --init-only, or shutting down */
    bool accept_failed;      /* and was logged */
    int64_t accept_again_ms; /* end of a pause after a failure; CLOCK_NEVER: no pause */
    int signals;             /* signalfd */
    int64_t reaped_ms;       /* when children were last reaped */
    int reaped;              /* how many in that millisecond */
    int64_t reap_again_ms;   /* signals wait until then; CLOCK_NEVER: they do not */
    sigset_t inherited_mask;
    const struct agent_options *options;
    struct server server;
    struct authorized *authorized;
    struct connection connections[LIMIT_CONNECTIONS];
    struct admission admission;
    struct waiting waiting[LIMIT_WAITING]; /* in the order in which they came */
    int waiting_count;
    int64_t admit_again_ms; /* when to look at them again; CLOCK_NEVER */
    struct unreported unreported;
    struct job_entry jobs[LIMIT_JOBS];
    /* No connection and no running job from these rows on: with many orphans to reap and few
     * sessions, searching every row is most of the work. */
    int connections_top, jobs_top;
    pid_t main_pid; /* of the main command; 0: none */
    int exit_code;  /* of the agent */
    bool ever_logged_in;
    bool claimed; /* a client has claimed the task for its job */
    struct timers timers;
    enum shutdown_phase phase;
    int64_t deadline_ms; /* of the phase */
};

/* connection.c */
void connection_accept(struct init *init);
/* Serves waiting connections as far as permitted, and refuses those that have waited too long. */
void connection_admit(struct init *init);
/* A waiting client has disconnected. */
void connection_left(struct init *init, int index);
/* A session process has exited; 'status' is that of waitpid(). */
void connection_ended(struct init *init, struct connection *connection, int status, int64_t cpu_us);
/* Logs a summary of refused connections, when it is due or 'now'. */
void connection_summarise(struct init *init, bool now);
void connection_message(struct init *init, struct connection *connection);
/* Sends SHUTDOWN to every session. */
void connection_shutdown_all(struct init *init);
int connection_count(const struct init *init);
int connection_count_logged_in(const struct init *init);

/* jobs.c: starts a job's monitor, with the descriptors of WIRE_JOB_START (id NULL: a plain job) or
 * WIRE_RESUMABLE_START, which stay the caller's. A failure is logged and reported to the session.
 */
void jobs_start(struct init *init, const char *id, const int fds[WIRE_FDS]);
/* Gives a resumable job's monitor a new session, whose socket stays the caller's. */
void jobs_attach(struct init *init, const char *id, int session_socket);
/* The row of the job that a monitor supervises; -1: not a monitor. */
int jobs_find(const struct init *init, pid_t monitor);
/* Its monitor exited or was killed. */
void jobs_ended(struct init *init, int row, bool killed);
/* Sends a signal to every monitor. */
void jobs_signal_all(const struct init *init, int number);
int jobs_count(const struct init *init);
/* Monitors whose job has not exited yet; the others supervise leftover processes. */
int jobs_count_running(const struct init *init);

/* reap.c: reaps every child that has exited, orphans included. When there are many it sets
 * reap_again_ms. */
void reap_all(struct init *init);

/* idle_timers.c */
void timers_start(struct init *init);
/* Starts and stops timers; begins the shutdown when one has expired. */
void timers_update(struct init *init);
int64_t timers_next_ms(const struct init *init);

/* shutdown.c */
void shutdown_begin(struct init *init, const char *reason);
void shutdown_deadline(struct init *init);
/* Whether the agent may exit. */
bool shutdown_is_done(struct init *init);

#endif
