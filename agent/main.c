/* SPDX-License-Identifier: MIT */
/*
 * main.c - berth-agent from its start to the loop: options, secrets, signals, subreaper, listen.
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

#include "agent/health.h"
#include "agent/init/init.h"
#include "agent/init/loop.h"
#include "agent/init/main_command.h"
#include "agent/job/register.h"
#include "agent/limits.h"
#include "agent/options.h"
#include "agent/secrets.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"

#define PROGRAM "berth-agent"

enum { EXIT_CANNOT_SERVE = 1, EXIT_USAGE = 2 };

static struct init init_state = {.listener = -1,
                                 .accept_again_ms = CLOCK_NEVER,
                                 .reap_again_ms = CLOCK_NEVER,
                                 .deadline_ms = CLOCK_NEVER};

#ifdef __SANITIZE_ADDRESS__
/* The leak checker traces its own process, which one that is not dumpable refuses to all but root;
 * tests ask for it (leaks.h). */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

static int fail(const struct error *err)
{
    log_fatal("%s", err->message);
    return err->kind == ERROR_USAGE ? EXIT_USAGE : EXIT_CANNOT_SERVE;
}

static void print_version(void)
{
    (void)printf("berth-agent " BERTH_VERSION " (libssh %s, %s, libsodium %s)\n", ssh_version(0),
                 OpenSSL_version(OPENSSL_VERSION), sodium_version_string());
}

/* All signals but the kernel's own fault signals wait for the loop, from the very start. */
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
    /* Whatever was inherited: an ignored SIGCHLD would make children vanish unseen. */
    (void)signal(SIGCHLD, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    init->signals = signalfd(-1, &waiting, SFD_CLOEXEC | SFD_NONBLOCK);
    return init->signals < 0 ? -1 : 0;
}

/* Keys and seed out of the environment, for this process and all it starts. */
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

/* Nobody else may trace this process or read its memory, which holds the host key. Orphans come
 * to us also when we are not PID 1. */
static void take_place(void)
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

static int prepare(struct init *init, const struct agent_options *options, struct error *err)
{
    int port = 0;
    init->options = options;
    if (options->parent_death_signal != 0) {
        (void)prctl(PR_SET_PDEATHSIG, options->parent_death_signal);
    }
    if (sodium_init() < 0 || ssh_init() != SSH_OK) {
        return error_set(err, ERROR_SYSTEM, 0, "cannot start the cryptographic libraries");
    }
    if (take_signals(init) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot watch signals");
    }
    if (access("/proc/self/stat", R_OK) < 0) {
        log_warn("no /proc: what a job detaches will outlive it until this agent ends");
    }
    register_open();
    if (!options->init_only && (take_secrets(init, err) < 0 ||
                                listen_open(options->listen, &init->listener, &port, err) < 0)) {
        return -1;
    }
    free(secrets_take("SSH_PUBLIC_KEY")); /* --init-only has no use for it, its command neither */
    secrets_remove_prefix("BERTH_"); /* the options' twins; their texts are not needed any more */
    if (!options->init_only && announce(init, port, options->ready_fd, err) < 0) {
        return -1;
    }
    return main_command_start(init, err);
}

static bool answer_question(const struct agent_options *options)
{
    if (options->help) {
        agent_options_print_help();
    } else if (options->version) {
        print_version();
    }
    return options->help || options->version;
}

/* Options may follow the word; the agent's variables are read as by the agent. */
static int run_health(int argc, char *argv[])
{
    static struct agent_options options;
    struct error err = {0};
    if (agent_options_parse(argc - 1, argv + 1, &options, &err) < 0) {
        return fail(&err);
    }
    if (answer_question(&options)) {
        return 0;
    }
    return health_check(options.listen, &err) < 0 ? fail(&err) : 0;
}

int main(int argc, char *argv[])
{
    static struct agent_options options;
    struct error err = {0};
    (void)fd_open_standard(); /* an image without /dev/null is no reason not to serve */
    log_open(PROGRAM, LOG_INFO, LOG_TEXT, STDERR_FILENO);
    log_wait_at_most(LIMIT_LOG_WAIT_MS);
    if (argc > 1 && strcmp(argv[1], "health") == 0) {
        return run_health(argc, argv);
    }
    take_place();
    if (agent_options_parse(argc, argv, &options, &err) < 0) {
        return fail(&err);
    }
    if (answer_question(&options)) {
        return 0;
    }
    log_open(PROGRAM, options.log_level, options.log_format, STDERR_FILENO);
    if (prepare(&init_state, &options, &err) < 0) {
        return err.kind == ERROR_NONE ? EXIT_CANNOT_SERVE : fail(&err);
    }
    loop_run(&init_state);
    log_info("done");
    return init_state.exit_code;
}
