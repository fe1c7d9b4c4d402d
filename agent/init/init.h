/* SPDX-License-Identifier: MIT */
/*
 * init.h - PID 1's own state: what listens, which sessions and job monitors are its children.
 *
 * init owns signals, the listener, children and deadlines; it never reads a byte that came from
 * the network and allocates nothing after it is ready, so memory running out cannot end it. The
 * other files of this folder work on this one struct:
 *
 *   loop.c        wait, dispatch
 *   connection.c  accept, limits, one forked session process each
 *   jobs.c        one forked monitor process per job that a session asks for
 *   main_command.c  a command beside the SSH server
 *   durable_jobs.c the names of durable jobs, and new sessions for them
 *   reap.c        waitpid until nothing is left; tells the owner
 *   timers.c      ends by itself when nobody comes, nobody is left, or the time is up
 *   shutdown.c    TERM, grace period, KILL
 */
#ifndef BERTH_AGENT_INIT_INIT_H
#define BERTH_AGENT_INIT_INIT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/init/listen.h"
#include "agent/limits.h"
#include "agent/options.h"
#include "agent/session/authorized.h"
#include "agent/session/server.h"
#include "agent/wire.h"

struct connection {
    pid_t pid; /* of the session process; 0: free slot */
    int control;
    bool logged_in;
    bool displaced; /* killed to make room: counts no more */
    int64_t accepted_ms;
    char address[LISTEN_NAME_BYTES];
};

enum shutdown_phase { SHUTDOWN_NONE, SHUTDOWN_TERM, SHUTDOWN_KILL, SHUTDOWN_DONE };

/* A durable job's name and the way to its monitor. */
struct durable_job {
    pid_t pid; /* of the monitor; 0: free slot */
    bool lost; /* its monitor was killed: kept in a free slot, so that it is not started again */
    int control;
    char id[JOBWIRE_ID_BYTES + 1];
};

/* Absolute; CLOCK_NEVER: off or not running. */
struct timers {
    int64_t connect_ms;
    int64_t idle_ms;
    int64_t lifetime_ms;
};

struct init {
    int listener;            /* -1 once shutting down */
    bool accept_failed;      /* and was told */
    int64_t accept_again_ms; /* nothing is accepted before; CLOCK_NEVER: no such wait */
    int signals;             /* signalfd */
    int64_t reaped_ms;       /* when children were last reaped, */
    int reaped;              /* how many in that millisecond, */
    int64_t reap_again_ms;   /* and until when signals wait; CLOCK_NEVER: they do not */
    sigset_t inherited_mask;
    const struct agent_options *options;
    struct server server;
    struct authorized *authorized;
    struct connection connections[LIMIT_CONNECTIONS];
    pid_t jobs[LIMIT_JOBS]; /* of the monitors; 0: free slot */
    /* From these on all slots are free: with many orphans to reap and few sessions, walking over
     * every slot is most of the work. */
    int connections_top, jobs_top;
    pid_t main_pid; /* of the main command; 0: none */
    int exit_code;  /* init's own */
    struct durable_job durable[LIMIT_JOBS];
    bool ever_logged_in;
    struct timers timers;
    enum shutdown_phase phase;
    int64_t deadline_ms; /* of the phase */
};

/* connection.c */
void connection_accept(struct init *init);
void connection_message(struct init *init, struct connection *connection);
/* Tells every session to end when its last channel is closed. */
void connection_shutdown_all(struct init *init);
int connection_count(const struct init *init);
int connection_count_logged_in(const struct init *init);
void connection_free_slot(struct init *init, struct connection *connection);

/* jobs.c: 'input_fd' and 'control_fd' are a durable job's, otherwise -1. Returns the monitor, or -1
 * when the session was told why there is none. All descriptors stay the caller's. */
pid_t jobs_start(struct init *init, int request_fd, int session_socket, int input_fd,
                 int control_fd);
void jobs_free_slot(struct init *init, int slot);
/* Sends a signal to every monitor. */
void jobs_signal_all(const struct init *init, int number);
int jobs_count(const struct init *init);
/* Monitors whose job has not ended yet; the others stand over leftovers. */
int jobs_count_running(const struct init *init);

/* durable_jobs.c: descriptors as they came with the messages. */
void durable_job_start(struct init *init, const char *id, const int fds[WIRE_FDS]);
void durable_job_attach(struct init *init, const char *id, int session_socket);
void durable_job_forget(struct init *init, pid_t pid, bool killed);

/* reap.c: waits for every child that ended, ours and orphans of the container. In a storm of them
 * it sets reap_again_ms. */
void reap_all(struct init *init);

/* timers.c */
void timers_start(struct init *init);
/* Looks at what changed; begins the shutdown when a deadline has passed. */
void timers_update(struct init *init);
int64_t timers_next_ms(const struct init *init);

/* shutdown.c */
void shutdown_begin(struct init *init, const char *reason);
void shutdown_deadline(struct init *init);
/* Whether nothing is left to wait for. */
bool shutdown_is_done(const struct init *init);

/* In a forked child: drops everything that only init may hold, but the given descriptors (-1:
 * none), and asks for SIGTERM when init dies. */
void init_forget(struct init *init, int kept_a, int kept_b, pid_t parent);

#endif
