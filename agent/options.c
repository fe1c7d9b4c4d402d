/* SPDX-License-Identifier: MIT */
#include "agent/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/init/rewrite.h"
#include "agent/job/spool.h"
#include "agent/limits.h"
#include "common/options.h"
#include "common/parse.h"

struct parsed {
    struct agent_options options;
    const char *log_level;
    const char *log_format;
    const char *parent_death_signal;
    struct option_list rewrite;
    struct option_list success_codes;
};

/* Of all signals or exit codes given, with commas between. */
#define LIST_BYTES 2048

#define SECOND 1000LL
#define DAY    (86400 * SECOND)

#define DEFAULT_ACCEPT_ENV "LANG,LANGUAGE,LC_*,TERM,COLORTERM,NO_COLOR,TZ"

#define FIELD(name) offsetof(struct parsed, options.name)

static const struct option_row rows[] = {
    {.help = "Options"},
    {"listen", 'l', OPTION_TEXT, "ADDRESS:PORT", "BERTH_LISTEN", ":22",
     "where to listen; no address: all of them; port 0: a free one", FIELD(listen), 0, 0},
    {"ready-fd", 0, OPTION_INTEGER, "N", NULL, NULL,
     "write the port and a newline to descriptor N once listening", FIELD(ready_fd), 3, 65535},
    {"grace", 0, OPTION_DURATION, "DURATION", "BERTH_GRACE", "10s",
     "between SIGTERM and SIGKILL when jobs are ended", FIELD(grace_ms), 0, 3600000},
    {.help = "Limits of connections"},
    {"login-grace", 0, OPTION_DURATION, "DURATION", "BERTH_LOGIN_GRACE", "30s",
     "from the accepted connection to the login", FIELD(login_grace_ms), 1000, 3600 * SECOND},
    {"max-unauthenticated", 0, OPTION_INTEGER, "N", "BERTH_MAX_UNAUTHENTICATED", "10",
     "connections at once that have not logged in", FIELD(max_unauthenticated), 1,
     LIMIT_CONNECTIONS},
    {"max-unauthenticated-per-address", 0, OPTION_INTEGER, "N",
     "BERTH_MAX_UNAUTHENTICATED_PER_ADDRESS", "5", "the same from one address",
     FIELD(max_unauthenticated_per_address), 1, LIMIT_CONNECTIONS},
    {"login-tries", 0, OPTION_INTEGER, "N", "BERTH_LOGIN_TRIES", "6",
     "tries of one connection, questions about a key included", FIELD(login_tries), 1, 1000},
    {"max-sessions", 0, OPTION_INTEGER, "N", "BERTH_MAX_SESSIONS", "10",
     "session channels at once in one connection", FIELD(max_sessions), 1, LIMIT_CHANNELS},
    {"keepalive", 0, OPTION_DURATION, "DURATION", "BERTH_KEEPALIVE", "15s",
     "ask a silent client for a sign of life this often; 0: never", FIELD(keepalive_ms), 0, DAY},
    {"keepalive-count", 0, OPTION_INTEGER, "N", "BERTH_KEEPALIVE_COUNT", "3",
     "unanswered questions until the link counts as dead", FIELD(keepalive_count), 1, 1000},
    {"rekey-bytes", 0, OPTION_SIZE, "SIZE", "BERTH_REKEY_BYTES", "1GiB",
     "new session keys after so much in one direction", FIELD(rekey_bytes), 16384, 1LL << 40},
    {"rekey-time", 0, OPTION_DURATION, "DURATION", "BERTH_REKEY_TIME", "1h",
     "new session keys after so long; 0: by volume alone", FIELD(rekey_ms), 0, DAY},
    {"drain", 0, OPTION_DURATION, "DURATION", "BERTH_DRAIN", "1s",
     "silence on a held output that counts as its end, after the shell's", FIELD(drain_ms), 0,
     3600 * SECOND},
    {.help = "Jobs that outlive their connections"},
    {"spool-limit", 0, OPTION_SIZE, "SIZE", "BERTH_SPOOL_LIMIT", "64MiB",
     "output of one job that nobody has read yet; then the job blocks", FIELD(spool_limit_bytes),
     SPOOL_LEAST_BYTES, 1LL << 40},
    {"spool-dir", 0, OPTION_TEXT, "DIRECTORY", "BERTH_SPOOL_DIR", "memory",
     "keep that output in an unlinked file there", FIELD(spool_directory), 0, 0},
    {"detach-timeout", 0, OPTION_DURATION, "DURATION", "BERTH_DETACH_TIMEOUT", "10m",
     "end a job that lost its connection and that nobody attaches to", FIELD(detach_timeout_ms),
     100, DAY},
    {.help = "What clients may do"},
    {"accept-env", 0, OPTION_TEXT, "PATTERNS", "BERTH_ACCEPT_ENV", DEFAULT_ACCEPT_ENV,
     "variables that clients may set, with commas between", FIELD(accept_env), 0, 0},
    {"sftp-server", 0, OPTION_TEXT, "PATH", "BERTH_SFTP_SERVER", NULL,
     "program for sftp; without it, where the image's distribution puts it", FIELD(sftp_server), 0,
     0},
    {.help = "When to end by itself"},
    {"connect-timeout", 0, OPTION_DURATION, "DURATION", "BERTH_CONNECT_TIMEOUT", "10m",
     "end when nobody has ever logged in; 0: never", FIELD(connect_timeout_ms), 0, 0},
    {"idle-timeout", 0, OPTION_DURATION, "DURATION", "BERTH_IDLE_TIMEOUT", "1h",
     "end after so long without a job and a login; 0: never", FIELD(idle_timeout_ms), 0, 0},
    {"max-lifetime", 0, OPTION_DURATION, "DURATION", "BERTH_MAX_LIFETIME", "0",
     "end after so long, whatever runs; 0: never", FIELD(max_lifetime_ms), 0, 0},
    {.help = "As init, with 'berth-agent [OPTION...] -- COMMAND...'"},
    {"init-only", 0, OPTION_FLAG, NULL, "BERTH_INIT_ONLY", NULL,
     "no SSH server, no key: only reap and pass signals on", FIELD(init_only), 0, 0},
    {"leftovers", 0, OPTION_CHOICE, "keep|kill", "BERTH_LEFTOVERS", "keep",
     "what a job left running when its shell ended: keep it, or end it", FIELD(leftovers), 0, 0},
    {"group", 'g', OPTION_FLAG, NULL, NULL, NULL, "pass signals on to the command's process group",
     FIELD(group), 0, 0},
    {"single-child", 'c', OPTION_FLAG, NULL, NULL, NULL,
     "pass signals on to the command alone, which is the default", FIELD(single_child), 0, 0},
    {"rewrite", 'r', OPTION_LIST, "FROM:TO", "BERTH_REWRITE", NULL,
     "pass another signal on, or with 0 none; again, or with commas, for several",
     offsetof(struct parsed, rewrite), 0, 0},
    {"remap-exit", 'e', OPTION_LIST, "CODE", "BERTH_REMAP_EXIT", NULL,
     "exit code of the command that counts as 0; again, or with commas, for several",
     offsetof(struct parsed, success_codes), 0, 0},
    {"parent-death-signal", 'p', OPTION_TEXT, "SIGNAL", NULL, NULL,
     "signal to get when the parent process dies", offsetof(struct parsed, parent_death_signal), 0,
     0},
    {"subreaper", 's', OPTION_FLAG, NULL, NULL, NULL, "be a subreaper, which is always done",
     FIELD(subreaper), 0, 0},
    {"warn-on-reap", 'w', OPTION_FLAG, NULL, NULL, NULL, "log each orphan that is reaped",
     FIELD(warn_on_reap), 0, 0},
    {.help = "Log and help"},
    {"verbose", 'v', OPTION_FLAG, NULL, NULL, NULL, "the same as --log-level debug", FIELD(verbose),
     0, 0},
    {"log-level", 0, OPTION_TEXT, "LEVEL", "BERTH_LOG_LEVEL", "info",
     "debug, info, warn, error or fatal", offsetof(struct parsed, log_level), 0, 0},
    {"log-format", 0, OPTION_TEXT, "FORMAT", "BERTH_LOG_FORMAT", "text", "text or json",
     offsetof(struct parsed, log_format), 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, NULL, NULL, "print this and exit", FIELD(help), 0, 0},
    {"version", 'V', OPTION_FLAG, NULL, NULL, NULL, "print the version and exit", FIELD(version), 0,
     0},
};

/* What an image that had tini or dumb-init may still set; our own options and variables count
 * more. tini looks whether a variable is there, whatever its value. */
static void read_foreign_environment(struct parsed *parsed)
{
    const char *verbosity = getenv("TINI_VERBOSITY");
    const char *group = getenv("DUMB_INIT_SETSID");
    const char *debug = getenv("DUMB_INIT_DEBUG");
    static const char *const levels[] = {"fatal", "warn", "info", "debug"};
    int64_t number = 0;
    if (verbosity != NULL && parse_integer(verbosity, 0, INT32_MAX, &number) == 0) {
        parsed->log_level = levels[number < 3 ? number : 3];
    }
    if (debug != NULL && strcmp(debug, "1") == 0) {
        parsed->log_level = "debug";
    }
    parsed->options.group =
        getenv("TINI_KILL_PROCESS_GROUP") != NULL || (group != NULL && strcmp(group, "1") == 0);
}

/* All words with commas between, the last first: of two that say different things it counts. The
 * text lives as long as the process; NULL without any. */
static int join(const struct option_list *list, const char *option, char out[LIST_BYTES],
                const char **out_text, struct error *err)
{
    size_t used = 0;
    for (size_t i = list->count; i > 0; i--) {
        size_t length = strlen(list->entries[i - 1]);
        if (used + length + 1 > LIST_BYTES) {
            return error_set(err, ERROR_USAGE, 0, "%s: more than %d bytes in all", option,
                             LIST_BYTES);
        }
        memcpy(out + used, list->entries[i - 1], length);
        used += length + 1;
        out[used - 1] = i > 1 ? ',' : '\0';
    }
    *out_text = list->count == 0 ? NULL : out;
    return 0;
}

/* Texts that are needed later outlive the environment's wiping (secrets.h). */
static int keep(const char **text)
{
    *text = *text == NULL ? NULL : strdup(*text);
    return *text == NULL && errno == ENOMEM ? -1 : 0;
}

static int check_init_options(struct parsed *parsed, struct error *err)
{
    static char rewrite[LIST_BYTES];
    static char codes[LIST_BYTES];
    struct agent_options *options = &parsed->options;
    if (join(&parsed->rewrite, "--rewrite", rewrite, &options->rewrite, err) < 0 ||
        join(&parsed->success_codes, "--remap-exit", codes, &options->success_codes, err) < 0) {
        return -1;
    }
    if (!rewrite_is_valid(options->rewrite)) {
        return error_set(err, ERROR_USAGE, 0, "--rewrite: '%s' is not FROM:TO in signals",
                         options->rewrite);
    }
    if (!rewrite_codes_are_valid(options->success_codes)) {
        return error_set(err, ERROR_USAGE, 0, "--remap-exit: '%s' is no exit code from 0 to 255",
                         options->success_codes);
    }
    if (parsed->parent_death_signal != NULL &&
        !rewrite_parse_signal(parsed->parent_death_signal, &parsed->options.parent_death_signal)) {
        return error_set(err, ERROR_USAGE, 0, "--parent-death-signal: no signal '%s'",
                         parsed->parent_death_signal);
    }
    return 0;
}

int agent_options_parse(int argc, char *const argv[], struct agent_options *out_options,
                        struct error *err)
{
    struct parsed parsed = {
        .options = {.listen = ":22",
                    .ready_fd = -1,
                    .grace_ms = 10 * SECOND,
                    .login_grace_ms = 30 * SECOND,
                    .max_unauthenticated = 10,
                    .spool_limit_bytes = 64 << 20,
                    .detach_timeout_ms = 600 * SECOND,
                    .max_unauthenticated_per_address = 5,
                    .login_tries = 6,
                    .max_sessions = 10,
                    .keepalive_ms = 15 * SECOND,
                    .keepalive_count = 3,
                    .rekey_bytes = 1LL << 30,
                    .rekey_ms = 3600 * SECOND,
                    .drain_ms = 1 * SECOND,
                    .accept_env = DEFAULT_ACCEPT_ENV,
                    .connect_timeout_ms = 600 * SECOND,
                    .idle_timeout_ms = 3600 * SECOND},
        .log_level = "info",
        .log_format = "text",
    };
    int next = 0;
    errno = 0;
    read_foreign_environment(&parsed);
    if (options_parse(rows, OPTION_COUNT(rows), &parsed, argc, argv, &next, err) < 0) {
        return -1;
    }
    if (next < argc && (next < 1 || strcmp(argv[next - 1], "--") != 0)) {
        return error_set(err, ERROR_USAGE, 0,
                         "unexpected argument '%s'; a command comes after '--'", argv[next]);
    }
    parsed.options.command = next < argc ? argv + next : NULL;
    if (check_init_options(&parsed, err) < 0) {
        return -1;
    }
    if (!log_level_parse(parsed.log_level, &parsed.options.log_level)) {
        return error_set(err, ERROR_USAGE, 0, "--log-level: '%s' is not a level; try --help",
                         parsed.log_level);
    }
    if (!log_format_parse(parsed.log_format, &parsed.options.log_format)) {
        return error_set(err, ERROR_USAGE, 0, "--log-format: '%s' is not text or json",
                         parsed.log_format);
    }
    if (parsed.options.verbose) {
        parsed.options.log_level = LOG_DEBUG;
    }
    if (keep(&parsed.options.accept_env) < 0 || keep(&parsed.options.sftp_server) < 0 ||
        keep(&parsed.options.spool_directory) < 0) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the process ends at once */
        return error_set(err, ERROR_SYSTEM, errno, "cannot keep the options");
    }
    *out_options = parsed.options;
    return 0;
}

void agent_options_print_help(void)
{
    (void)fputs("Usage: berth-agent [OPTION...] [-- COMMAND...]\n"
                "       berth-agent health [OPTION...]\n"
                "\n"
                "Entrypoint of a job's container: reaps processes as PID 1, serves SSH to the\n"
                "driver and runs its job scripts. Needs one or more public keys, one a line, in\n"
                "SSH_PUBLIC_KEY. BERTH_HOST_KEY_SEED (base64 of 32 bytes) fixes the host key;\n"
                "without it a random one is made and its fingerprint logged. 'health' exits with\n"
                "0 when the agent that listens there answers, else with 1.\n"
                "\n",
                stdout);
    options_print(stdout, rows, OPTION_COUNT(rows));
    (void)fputs("\nExit status: 0 after SIGTERM or a timeout, 1 when it cannot serve, 2 for a "
                "wrong option.\n",
                stdout);
}
