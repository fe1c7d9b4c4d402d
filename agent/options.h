/* SPDX-License-Identifier: MIT */
/*
 * options.h - the agent's command line and environment as one constant struct.
 *
 * Texts point into argv, the environment or static storage and live as long as the process.
 */
#ifndef BERTH_AGENT_OPTIONS_H
#define BERTH_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"

/* What becomes of the processes that a job leaves running; in the order of --leftovers. */
enum leftovers { LEFTOVERS_KEEP, LEFTOVERS_KILL };

struct agent_options {
    const char *listen; /* "ADDRESS:PORT", ":PORT" or "PORT" */
    int64_t ready_fd;   /* -1: none */
    int64_t grace_ms;   /* between SIGTERM and SIGKILL */

    /* Limits of a login and of a connection. */
    int64_t login_grace_ms;
    int64_t max_unauthenticated;
    int64_t max_unauthenticated_per_address;
    int64_t login_tries;
    int64_t max_sessions; /* channels of one connection */
    int64_t keepalive_ms; /* 0: none */
    int64_t keepalive_count;
    int64_t rekey_bytes;
    int64_t rekey_ms; /* 0: by volume alone */
    int64_t drain_ms; /* for output after the end of a job's shell */

    /* Durable jobs. */
    int64_t spool_limit_bytes;   /* unread output of one job */
    const char *spool_directory; /* NULL: in memory */
    int64_t detach_timeout_ms;   /* then a job that nobody attaches to is ended */
    const char *accept_env;      /* patterns of the variables that clients may set */
    const char *sftp_server;     /* NULL: wherever distributions put it */

    /* When the agent ends by itself; 0: never. */
    int64_t connect_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t max_lifetime_ms;

    /* As under tini and dumb-init. */
    char *const *command; /* NULL-terminated, in argv; NULL: none */
    bool init_only;       /* no SSH */
    bool group;           /* signals go to the main command's process group */
    bool single_child;    /* and with this, after all, not */
    bool subreaper;       /* always done; accepted */
    bool verbose;
    bool warn_on_reap;
    const char *rewrite;       /* rewrite.h */
    const char *success_codes; /* exit codes that count as 0 */
    int parent_death_signal;   /* 0: none */
    int leftovers;             /* enum leftovers */

    enum log_level log_level;
    enum log_format log_format;
    bool help;
    bool version;
};

/* Reads argv and the environment. Fails with ERROR_USAGE. */
int agent_options_parse(int argc, char *const argv[], struct agent_options *out_options,
                        struct error *err) __attribute__((warn_unused_result));

void agent_options_print_help(void);

#endif
