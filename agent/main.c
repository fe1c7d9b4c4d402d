/* SPDX-License-Identifier: MIT */
/*
 * main.c - startup of berth-agent: options, secrets, signals, subreaper, listening socket.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/child/links.h"
#include "agent/commands/commands.h"
#include "agent/health.h"
#include "agent/hosts.h"
#include "agent/init/init.h"
#include "agent/init/loop.h"
#include "agent/init/main_command.h"
#include "agent/ipc/job_pids.h"
#include "agent/limits.h"
#include "agent/options.h"
#include "agent/secrets.h"
#include "agent/variables.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/revision.h"

enum { EXIT_CANNOT_SERVE = 1, EXIT_USAGE = 2, EXIT_SIGNAL_BASE = 128 };

static struct init init_state = {.listener = -1,
                                 .accept_again_ms = CLOCK_NEVER,
                                 .reap_again_ms = CLOCK_NEVER,
                                 .admit_again_ms = CLOCK_NEVER,
                                 .unreported = {.summary_ms = CLOCK_NEVER},
                                 .deadline_ms = CLOCK_NEVER};

#ifdef __SANITIZE_ADDRESS__
/* The leak checker traces its own process, which only root may do to a process that is not
 * dumpable. Tests enable it (leaks.h). */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

static int fail(const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    log_fatal("%s", error_text(err, text));
    return err->kind == ERROR_USAGE ? EXIT_USAGE : EXIT_CANNOT_SERVE;
}

static void print_version(void)
{
    (void)printf("berth-agent " BERTH_VERSION " (%s)\nlibssh %s\n%s\nlibsodium %s\n", revision_text,
                 ssh_version(0), OpenSSL_version(OPENSSL_VERSION), sodium_version_string());
}

/* Blocks all signals except the fault signals; the loop reads them from a signalfd. */
static int take_signals(struct init *init)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t waiting;
    (void)sigfillset(&waiting);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        (void)sigdelset(&waiting, faults[i]);
    }
    if (sigprocmask(SIG_SETMASK, &waiting, &init->inherited_mask) < 0) {
        return -1;
    }
    /* With an inherited SIG_IGN, children would exit without a status to wait for. */
    (void)signal(SIGCHLD, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    init->signals = signalfd(-1, &waiting, SFD_CLOEXEC | SFD_NONBLOCK);
    return init->signals < 0 ? -1 : 0;
}

/* Takes keys and seed out of the environment, so that no child process sees them. */
static int take_secrets(struct init *init, struct error *err)
{
    char *keys = secrets_take("SSH_PUBLIC_KEY");
    char *seed = secrets_take("BERTH_HOST_KEY_SEED");
    int result = -1;
    if (keys == NULL || keys[0] == '\0') {
        (void)fputs("Need your SSH public key as the SSH_PUBLIC_KEY env variable.\n", stderr);
        (void)error_set(err, ERROR_NONE, 0, "no key");
    } else if (authorized_parse(keys, &init->authorized, err) == 0) {
        result = server_open(seed != NULL && seed[0] != '\0' ? seed : NULL, &init->server, err);
    }
    if (seed != NULL) {
        sodium_memzero(seed, strlen(seed));
    }
    free(seed);
    free(keys);
    return result;
}

/* No other process may trace this one or read its memory, which holds the host key. As a subreaper
 * it gets orphans even when it is not PID 1. */
static void harden_process(void)
{
    (void)prctl(PR_SET_DUMPABLE, 0);
    if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        log_warn("cannot become a subreaper: %m, orphans will go to PID 1");
    }
}

static int announce(const struct init *init, int port, int64_t ready_fd, struct error *err)
{
    log_info("host key ssh-ed25519 %s (%s)", init->server.fingerprint, init->server.origin);
    log_info("%zu authorized keys, listening on port %d", authorized_count(init->authorized), port);
    if (ready_fd < 0) {
        return 0;
    }
    char line[16];
    int length = snprintf(line, sizeof(line), "%d\n", port);
    if (write((int)ready_fd, line, (size_t)length) != length) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot write to --ready-fd %d", (int)ready_fd);
    }
    (void)close((int)ready_fd);
    return 0;
}

/* What jobs cannot have without root, or with a read-only file, is logged: they run as well. */
static void add_host_names(const struct option_list *names)
{
    enum hosts_state states[OPTION_LIST_CEILING];
    struct error err = {0};
    for (size_t i = 0; i < names->count; i++) {
        states[i] = HOSTS_MISSING;
    }
    int result = hosts_add(HOSTS_PATH, names->entries, names->count, states, &err);
    if (result < 0) {
        log_warn("cannot add host names: %s", err.message);
    }
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->entries[i];
        if (states[i] == HOSTS_ELSEWHERE) {
            log_warn("host name '%s' has another address in " HOSTS_PATH ", keeping it", name);
        } else if (states[i] == HOSTS_MISSING && result < 0) {
            log_warn("host name '%s' does not resolve; use 127.0.0.1:PORT instead of %s:PORT", name,
                     name);
        } else {
            log_debug("host name '%s' resolves to loopback", name);
        }
    }
}

/* Returns a copy that lasts as long as the process. */
static const char *program_directory(const char *argv0)
{
    char path[4096];
    return links_program_directory(argv0, path, sizeof(path)) < 0 ? NULL : strdup(path);
}

/* What jobs in images need that know nothing of Berth. */
static void prepare_for_jobs(struct agent_options *options, const char *argv0, struct links *links)
{
    if (options->host_names.count > 0) {
        add_host_names(&options->host_names);
    }
    options->program_directory = program_directory(argv0);
    links_open(options, links);
    options->helper_directory = links->helper;
    options->applet_directory = links->applets;
}

/* Waits for the variables of a service. Returns -1 without an error in 'err' if a signal ended the
 * wait. */
static int await_variables(struct init *init, const struct agent_options *options,
                           struct error *err)
{
    int number = 0;
    int64_t deadline_ms = clock_deadline_ms(options->variables_timeout_ms);
    if (variables_await(options->variables, deadline_ms, init->signals, &number, err) < 0) {
        return -1;
    }
    if (number != 0) {
        log_info("signal %d, not starting '%s'", number, options->command[0]);
        init->exit_code = EXIT_SIGNAL_BASE + number;
        return -1;
    }
    return 0;
}

static int prepare(struct init *init, const struct agent_options *options, struct error *err)
{
    int port = 0;
    init->options = options;
    if (options->parent_death_signal != 0) {
        (void)prctl(PR_SET_PDEATHSIG, options->parent_death_signal);
    }
    if (sodium_init() < 0 || ssh_init() != SSH_OK) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot initialize the cryptographic libraries");
    }
    if (take_signals(init) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot watch signals");
    }
    if (access("/proc/self/stat", R_OK) < 0) {
        log_warn("no /proc: processes that a job detaches keep running until the agent exits");
    }
    job_pids_open();
    if (!options->init_only && (take_secrets(init, err) < 0 ||
                                listen_open(options->listen, &init->listener, &port, err) < 0)) {
        return -1;
    }
    free(secrets_take("SSH_PUBLIC_KEY")); /* with --init-only it is still there */
    secrets_remove_prefix("BERTH_");      /* the options have been read */
    if (!options->init_only && announce(init, port, options->ready_fd, err) < 0) {
        return -1;
    }
    if (options->variables != NULL && await_variables(init, options, err) < 0) {
        return -1;
    }
    return main_command_start(init, err);
}

static bool print_information(const struct agent_options *options)
{
    if (options->help) {
        agent_options_print_help(commands_print);
    } else if (options->version) {
        print_version();
    }
    return options->help || options->version;
}

/* "berth-agent health [OPTION...]", with the same variables as the agent. */
static int run_health(int argc, char *argv[])
{
    static struct agent_options options;
    struct error err = {0};
    if (agent_options_parse(argc - 1, argv + 1, &options, &err) < 0) {
        return fail(&err);
    }
    if (print_information(&options)) {
        return 0;
    }
    return health_check(options.listen, &err) < 0 ? fail(&err) : 0;
}

/* A command of commands.c. 'service' fills the options of the init that runs it, which goes on;
 * for all others the program exits with 'out_status'. Returns whether it goes on. */
static bool run_command(const struct agent_command *command, int argc, char *argv[],
                        struct agent_options *options, int *out_status)
{
    struct command_line line;
    struct error err = {0};
    if (command_parse(command, argc, argv, &line, &err) < 0) {
        *out_status = fail(&err);
        return false;
    }
    if (line.help) {
        command_print_help(command);
        *out_status = 0;
        return false;
    }
    if (command->run != NULL) {
        int status = command->run(&line, &err);
        *out_status = status < 0 ? fail(&err) : status;
        return false;
    }
    if (line.variables == NULL) {
        (void)error_set(&err, ERROR_USAGE, 0, "service: missing --variables FILE");
    } else if (agent_options_parse(1, argv, options, &err) == 0) {
        options->init_only = true;
        options->variables = line.variables;
        options->variables_timeout_ms = line.timeout_ms;
        options->command = line.command;
        return true;
    }
    *out_status = fail(&err);
    return false;
}

/* Whether the first word is close to a command's name. */
static bool is_misspelt(int argc, char *argv[], struct error *err)
{
    struct nearest nearest = command_nearest(argc > 1 && argv[1][0] != '-' ? argv[1] : "");
    if (nearest.best != NULL) {
        (void)error_set(err, ERROR_USAGE, 0, "unknown command '%s'", argv[1]);
        (void)nearest_hint(&nearest, err);
    }
    return nearest.best != NULL;
}

static int serve(struct agent_options *options, const char *argv0)
{
    struct error err = {0};
    struct links links = {0};
    log_open(LOG_PROGRAM, options->log_level, options->log_format, STDERR_FILENO);
    if (!options->init_only) {
        prepare_for_jobs(options, argv0, &links);
    }
    if (prepare(&init_state, options, &err) < 0) {
        links_close(&links);
        if (init_state.exit_code != 0) {
            return init_state.exit_code;
        }
        return err.kind == ERROR_NONE ? EXIT_CANNOT_SERVE : fail(&err);
    }
    loop_run(&init_state);
    links_close(&links);
    log_info("exiting with status %d", init_state.exit_code);
    return init_state.exit_code;
}

int main(int argc, char *argv[])
{
    static struct agent_options options;
    struct error err = {0};
    int status = 0;
    (void)fd_open_standard(); /* fails in an image without /dev/null, which is not needed */
    log_open(LOG_PROGRAM, LOG_INFO, LOG_TEXT, STDERR_FILENO);
    log_wait_at_most(LIMIT_LOG_WAIT_MS);
    if (argc > 1 && strcmp(argv[1], "health") == 0) {
        return run_health(argc, argv);
    }
    const struct agent_command *command = argc > 1 ? command_find(argv[1]) : NULL;
    if (command != NULL && !run_command(command, argc, argv, &options, &status)) {
        return status;
    }
    if (command == NULL && is_misspelt(argc, argv, &err)) {
        return fail(&err);
    }
    harden_process();
    if (command == NULL && agent_options_parse(argc, argv, &options, &err) < 0) {
        return fail(&err);
    }
    if (print_information(&options)) {
        return 0;
    }
    return serve(&options, argv[0]);
}
