/* SPDX-License-Identifier: MIT */
/*
 * options.h - the agent's options, from its command line and environment.
 *
 * Texts stay valid for the life of the process.
 */
#ifndef BERTH_AGENT_OPTIONS_H
#define BERTH_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "common/options.h"

#define LOG_PROGRAM "berth-agent"

/* Processes that a job leaves running; in the order of --leftovers. */
enum leftovers { LEFTOVERS_KEEP, LEFTOVERS_KILL };

struct agent_options {
    const char *listen; /* "ADDRESS:PORT", ":PORT" or "PORT" */
    int64_t ready_fd;   /* -1: none */
    int64_t grace_ms;   /* between SIGTERM and SIGKILL */

    /* Connections. */
    int64_t login_grace_ms;
    int64_t max_unauthenticated;
    int64_t max_unauthenticated_per_address;
    int64_t login_tries;
    int64_t max_sessions; /* channels of one connection */
    int64_t keepalive_ms; /* 0: none */
    int64_t keepalive_count;
    int64_t rekey_bytes;
    int64_t rekey_ms; /* 0: by volume alone */
    int64_t drain_ms; /* of silence, for output after a job's shell has exited */

    /* Resumable jobs. */
    int64_t spool_limit_bytes;   /* unread output of one job */
    const char *spool_directory; /* NULL: in memory */
    int64_t detach_timeout_ms;   /* a job without a client is then stopped */
    const char *accept_env;      /* patterns of the variables that clients may set */
    const char *sftp_server;     /* NULL: the usual places */

    /* Jobs in images that know nothing of Berth. */
    int umask;                     /* of jobs; -1: the agent's */
    const char *path_before;       /* directory before the PATH of jobs; NULL: none */
    const char *path_after;        /* the same behind it */
    const char *home_fallback;     /* directory for homes that can be written; NULL: none */
    const char *busybox;           /* directory with a busybox; NULL: none */
    struct option_list entrypoint; /* words before the shell of a job's scripts */
    struct option_list host_names; /* to resolve to 127.0.0.1, valid (hosts.h) */
    bool helper;                   /* jobs find gitlab-runner-helper as gitlab-runner */

    /* Found at startup (child/links.h); NULL: none. */
    const char *program_directory;
    const char *helper_directory;
    const char *applet_directory;

    /* Automatic exit; 0: never. */
    int64_t connect_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t claim_timeout_ms; /* instead of the former until a client claims the task; 0: never */
    int64_t max_lifetime_ms;

    /* Init process, compatible with tini and dumb-init. */
    char *const *command; /* NULL-terminated, in argv; NULL: none */
    int64_t variables_timeout_ms;
    const char *variables; /* file with more variables for it (variables.h); NULL: none */
    bool init_only;        /* no SSH */
    bool group;            /* forward signals to the main command's process group */
    bool single_child;     /* overrides group */
    bool subreaper;        /* no effect: the agent is always a subreaper */
    bool verbose;
    bool warn_on_reap;
    const char *rewrite;       /* FROM:TO,... (signal_map.h); NULL: none */
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

/* 'print_commands' prints the list of commands, with its heading. */
void agent_options_print_help(void (*print_commands)(void));

#endif
