/* SPDX-License-Identifier: MIT */
#include "agent/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hosts.h"
#include "agent/limits.h"
#include "agent/signal_map.h"
#include "common/host_name.h"
#include "common/options.h"
#include "common/parse.h"

struct parsed {
    struct agent_options options;
    const char *log_level;
    const char *log_format;
    const char *parent_death_signal;
    const char *umask;
    struct option_list host_names; /* each one name, or several with commas */
    struct option_list rewrite;
    struct option_list success_codes;
};

/* All values of --rewrite or --remap-exit, separated by commas. */
#define LIST_BYTES 2048
/* All values of --host-name: as many names as there may be, of the greatest length. */
#define HOST_NAME_BYTES (OPTION_LIST_CEILING * 254)

#define SECOND 1000LL
#define DAY    (86400 * SECOND)

#define DEFAULT_ACCEPT_ENV "LANG,LANGUAGE,LC_*,TERM,COLORTERM,NO_COLOR,TZ"

#define FIELD(name) offsetof(struct parsed, options.name)

static const struct option_row rows[] = {
    {.help = "Options"},
    {"listen", 'l', OPTION_TEXT, "ADDRESS:PORT", "BERTH_LISTEN", ":22",
     "listen here; without an address on all of them; port 0: any free port", FIELD(listen), 0, 0},
    {"ready-fd", 0, OPTION_INTEGER, "N", NULL, NULL,
     "write the port and a newline to file descriptor N once listening", FIELD(ready_fd), 3, 65535},
    {"grace", 0, OPTION_DURATION, "DURATION", "BERTH_GRACE", "10s",
     "time between SIGTERM and SIGKILL when a job is stopped", FIELD(grace_ms), 0, 3600000},
    {.help = "Connections"},
    {"login-grace", 0, OPTION_DURATION, "DURATION", "BERTH_LOGIN_GRACE", "30s",
     "disconnect clients that have not logged in after this time", FIELD(login_grace_ms), 1000,
     3600 * SECOND},
    {"max-unauthenticated", 0, OPTION_INTEGER, "N", "BERTH_MAX_UNAUTHENTICATED", "10",
     "concurrent connections that have not logged in", FIELD(max_unauthenticated), 1,
     LIMIT_CONNECTIONS},
    {"max-unauthenticated-per-address", 0, OPTION_INTEGER, "N",
     "BERTH_MAX_UNAUTHENTICATED_PER_ADDRESS", "5",
     "concurrent connections from one address that have not logged in",
     FIELD(max_unauthenticated_per_address), 1, LIMIT_CONNECTIONS},
    {"login-tries", 0, OPTION_INTEGER, "N", "BERTH_LOGIN_TRIES", "6",
     "authentication attempts per connection, including key probes", FIELD(login_tries), 1, 1000},
    {"max-sessions", 0, OPTION_INTEGER, "N", "BERTH_MAX_SESSIONS", "10",
     "concurrent session channels per connection", FIELD(max_sessions), 1, LIMIT_CHANNELS},
    {"keepalive", 0, OPTION_DURATION, "DURATION", "BERTH_KEEPALIVE", "15s",
     "send a keepalive to a silent client this often; 0: never", FIELD(keepalive_ms), 0, DAY},
    {"keepalive-count", 0, OPTION_INTEGER, "N", "BERTH_KEEPALIVE_COUNT", "3",
     "disconnect a client after this many unanswered keepalives", FIELD(keepalive_count), 1, 1000},
    {"rekey-bytes", 0, OPTION_SIZE, "SIZE", "BERTH_REKEY_BYTES", "1GiB",
     "renegotiate session keys after this much data in one direction", FIELD(rekey_bytes), 16384,
     1LL << 40},
    {"rekey-time", 0, OPTION_DURATION, "DURATION", "BERTH_REKEY_TIME", "1h",
     "renegotiate session keys after this time; 0: by volume alone", FIELD(rekey_ms), 0, DAY},
    {"drain", 0, OPTION_DURATION, "DURATION", "BERTH_DRAIN", "1s",
     "after the shell exits, treat output as finished after this much silence, or after ten times "
     "this time",
     FIELD(drain_ms), 0, 3600 * SECOND},
    {.help = "Resumable jobs, which outlive their connections"},
    {"spool-limit", 0, OPTION_SIZE, "SIZE", "BERTH_SPOOL_LIMIT", "64MiB",
     "unread output kept per job; a job that writes more blocks", FIELD(spool_limit_bytes),
     LIMIT_SPOOL_LEAST_BYTES, 1LL << 40},
    {"spool-dir", 0, OPTION_TEXT, "DIRECTORY", "BERTH_SPOOL_DIR", "memory",
     "keep that output in an unlinked file in this directory", FIELD(spool_directory), 0, 0},
    {"detach-timeout", 0, OPTION_DURATION, "DURATION", "BERTH_DETACH_TIMEOUT", "10m",
     "stop a job that has had no client for this time", FIELD(detach_timeout_ms), 100, DAY},
    {.help = "Client requests"},
    {"accept-env", 0, OPTION_TEXT, "PATTERNS", "BERTH_ACCEPT_ENV", DEFAULT_ACCEPT_ENV,
     "variables that clients may set, separated by commas", FIELD(accept_env), 0, 0},
    {"sftp-server", 0, OPTION_TEXT, "PATH", "BERTH_SFTP_SERVER", NULL,
     "sftp-server program; default: the one of the image's distribution", FIELD(sftp_server), 0, 0},
    {.help = "Jobs in any image"},
    {"umask", 0, OPTION_TEXT, "OCTAL", "BERTH_UMASK", "the agent's", "umask of jobs",
     offsetof(struct parsed, umask), 0, 0},
    {"path-before", 0, OPTION_TEXT, "DIRECTORY", "BERTH_PATH_BEFORE", NULL,
     "put this directory before the PATH of jobs; several are separated by colons",
     FIELD(path_before), 0, 0},
    {"path-after", 0, OPTION_TEXT, "DIRECTORY", "BERTH_PATH_AFTER", NULL,
     "put this directory after the PATH of jobs", FIELD(path_after), 0, 0},
    {"home-fallback", 0, OPTION_TEXT, "DIRECTORY", "BERTH_HOME_FALLBACK", NULL,
     "give a job whose user cannot write to its HOME a directory of this user below this one",
     FIELD(home_fallback), 0, 0},
    {"entrypoint", 0, OPTION_LIST, "WORD", NULL, NULL,
     "start the shell of job scripts through this program; repeat it for arguments",
     FIELD(entrypoint), 0, 0},
    {"host-name", 0, OPTION_LIST, "NAME", "BERTH_HOST_NAME", NULL,
     "add this name for 127.0.0.1 to /etc/hosts, unless it is there; repeatable, or separated by "
     "commas",
     offsetof(struct parsed, host_names), 0, 0},
    {"busybox", 0, OPTION_TEXT, "DIRECTORY", "BERTH_BUSYBOX", NULL,
     "use the static busybox in this directory if the image has no shell", FIELD(busybox), 0, 0},
    {"helper", 0, OPTION_FLAG, NULL, "BERTH_HELPER", NULL,
     "the image is GitLab Runner's helper: jobs find gitlab-runner-helper as gitlab-runner",
     FIELD(helper), 0, 0},
    {.help = "Automatic exit"},
    {"connect-timeout", 0, OPTION_DURATION, "DURATION", "BERTH_CONNECT_TIMEOUT", "10m",
     "exit if no client has logged in by then; 0: never", FIELD(connect_timeout_ms), 0, 0},
    {"idle-timeout", 0, OPTION_DURATION, "DURATION", "BERTH_IDLE_TIMEOUT", "1h",
     "exit after this time without a job and a logged-in client; 0: never", FIELD(idle_timeout_ms),
     0, 0},
    {"claim-timeout", 0, OPTION_DURATION, "DURATION", "BERTH_CLAIM_TIMEOUT", "0",
     "use this instead of --idle-timeout until a client has claimed the task for a job; 0: no "
     "claim "
     "is awaited",
     FIELD(claim_timeout_ms), 0, 0},
    {"max-lifetime", 0, OPTION_DURATION, "DURATION", "BERTH_MAX_LIFETIME", "0",
     "exit after this time, even if jobs run; 0: never", FIELD(max_lifetime_ms), 0, 0},
    {.help = "Init process, with 'berth-agent [OPTION...] -- COMMAND...'"},
    {"init-only", 0, OPTION_FLAG, NULL, "BERTH_INIT_ONLY", NULL,
     "no SSH server and no key: only reap processes and forward signals", FIELD(init_only), 0, 0},
    {"leftovers", 0, OPTION_CHOICE, "keep|kill", "BERTH_LEFTOVERS", "keep",
     "keep or kill processes that a job leaves running", FIELD(leftovers), 0, 0},
    {"group", 'g', OPTION_FLAG, NULL, NULL, NULL, "forward signals to the command's process group",
     FIELD(group), 0, 0},
    {"single-child", 'c', OPTION_FLAG, NULL, NULL, NULL,
     "forward signals to the command alone (the default)", FIELD(single_child), 0, 0},
    {"rewrite", 'r', OPTION_LIST, "FROM:TO", "BERTH_REWRITE", NULL,
     "forward signal TO for signal FROM; TO 0: drop it; repeatable, or separated by commas",
     offsetof(struct parsed, rewrite), 0, 0},
    {"remap-exit", 'e', OPTION_LIST, "CODE", "BERTH_REMAP_EXIT", NULL,
     "exit with 0 if the command exits with CODE; repeatable, or separated by commas",
     offsetof(struct parsed, success_codes), 0, 0},
    {"parent-death-signal", 'p', OPTION_TEXT, "SIGNAL", NULL, NULL,
     "get this signal when the parent process exits", offsetof(struct parsed, parent_death_signal),
     0, 0},
    {"subreaper", 's', OPTION_FLAG, NULL, NULL, NULL, NULL, FIELD(subreaper), 0, 0},
    {"warn-on-reap", 'w', OPTION_FLAG, NULL, NULL, NULL, "log each orphan that is reaped",
     FIELD(warn_on_reap), 0, 0},
    {.help = "Logging and help"},
    {"verbose", 'v', OPTION_FLAG, NULL, NULL, NULL, "same as --log-level debug", FIELD(verbose), 0,
     0},
    {"log-level", 0, OPTION_TEXT, "LEVEL", "BERTH_LOG_LEVEL", "info",
     "debug, info, warn, error or fatal", offsetof(struct parsed, log_level), 0, 0},
    {"log-format", 0, OPTION_TEXT, "FORMAT", "BERTH_LOG_FORMAT", "text", "text or json",
     offsetof(struct parsed, log_format), 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, NULL, NULL, "print this and exit", FIELD(help), 0, 0},
    {"version", 'V', OPTION_FLAG, NULL, NULL, NULL, "print the version and exit", FIELD(version), 0,
     0},
};

/* The only list of exit codes; main.c, main_command.c and the commands choose them. */
static const struct option_status exit_rows[] = {
    {"0", "stopped by SIGTERM or an automatic exit; or a command succeeded"},
    {"1", "it cannot serve; or a command failed, such as 'health' without an answer"},
    {"2", "wrong option or argument"},
    {"126, 127", "with '-- COMMAND...': it cannot be executed (126) or does not exist (127)"},
    {"N", "with '-- COMMAND...': its exit status, or 0 with --remap-exit N"},
    {"128 + N", "with '-- COMMAND...': signal N killed it"},
};

/* Variables of tini and dumb-init, which an image may still set. Options and variables of Berth
 * take precedence. tini ignores the value of TINI_KILL_PROCESS_GROUP. */
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

/* Joins the values with commas, the last one first, since the first match wins. The text stays
 * valid for the life of the process; NULL: there are none. */
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

/* Copies a text that is needed after secrets.h has wiped the environment. */
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
    if (!signal_map_is_valid(options->rewrite)) {
        return error_set(err, ERROR_USAGE, 0, "--rewrite: '%s' is not a list of FROM:TO signals",
                         options->rewrite);
    }
    if (!signal_map_codes_are_valid(options->success_codes)) {
        return error_set(err, ERROR_USAGE, 0,
                         "--remap-exit: '%s' is not a list of exit codes from 0 to 255",
                         options->success_codes);
    }
    if (parsed->parent_death_signal != NULL &&
        !signal_map_parse_signal(parsed->parent_death_signal,
                                 &parsed->options.parent_death_signal)) {
        return error_set(err, ERROR_USAGE, 0, "--parent-death-signal: unknown signal '%s'",
                         parsed->parent_death_signal);
    }
    return 0;
}

static int check_umask(struct parsed *parsed, struct error *err)
{
    const char *text = parsed->umask;
    size_t digits = text == NULL ? 0 : strspn(text, "01234567");
    if (text == NULL) {
        return 0;
    }
    if (digits == 0 || digits > 4 || text[digits] != '\0' || strtol(text, NULL, 8) > 0777) {
        return error_set(err, ERROR_USAGE, 0,
                         "--umask: '%s' is not an octal number from 0000 to 0777", text);
    }
    parsed->options.umask = (int)strtol(text, NULL, 8);
    return 0;
}

/* Splits the values of --host-name into names, in copies that last as long as the process. */
static int take_host_names(const struct option_list *values, struct option_list *out,
                           struct error *err)
{
    static char copies[HOST_NAME_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < values->count; i++) {
        size_t bytes = strlen(values->entries[i]) + 1;
        if (bytes > sizeof(copies) - used) {
            return error_set(err, ERROR_USAGE, 0, "--host-name: more than %d bytes in all",
                             HOST_NAME_BYTES);
        }
        char *rest = memcpy(copies + used, values->entries[i], bytes);
        used += bytes;
        for (char *name = strsep(&rest, ","); name != NULL; name = strsep(&rest, ",")) {
            if (!host_name_is_valid(name)) {
                return error_set(err, ERROR_USAGE, 0, "--host-name: '%s' is not a host name", name);
            }
            if (out->count == OPTION_LIST_CEILING) {
                return error_set(err, ERROR_USAGE, 0, "--host-name: more than %d names",
                                 OPTION_LIST_CEILING);
            }
            out->entries[out->count++] = name;
        }
    }
    return 0;
}

/* A single empty word means no entrypoint, as in Docker. */
static int check_entrypoint(struct option_list *words, struct error *err)
{
    if (words->count == 1 && words->entries[0][0] == '\0') {
        words->count = 0;
    }
    if (words->count > 0 && words->entries[0][0] == '\0') {
        return error_set(err, ERROR_USAGE, 0, "--entrypoint: the program's name is empty");
    }
    return 0;
}

static int check_job_options(struct parsed *parsed, struct error *err)
{
    struct agent_options *options = &parsed->options;
    const struct {
        const char *option, *text;
    } directories[] = {{"--path-before", options->path_before},
                       {"--path-after", options->path_after},
                       {"--home-fallback", options->home_fallback},
                       {"--busybox", options->busybox}};
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        if (directories[i].text != NULL && directories[i].text[0] != '/') {
            return error_set(err, ERROR_USAGE, 0, "%s: '%s' is not an absolute path",
                             directories[i].option, directories[i].text);
        }
    }
    if (take_host_names(&parsed->host_names, &options->host_names, err) < 0 ||
        check_umask(parsed, err) < 0) {
        return -1;
    }
    return check_entrypoint(&options->entrypoint, err);
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
                    .umask = -1,
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
    if (check_init_options(&parsed, err) < 0 || check_job_options(&parsed, err) < 0) {
        return -1;
    }
    if (!log_level_parse(parsed.log_level, &parsed.options.log_level)) {
        const struct nearest nearest = log_level_nearest(parsed.log_level);
        (void)error_set(err, ERROR_USAGE, 0,
                        "--log-level: '%s' is not one of debug, info, warn, error, fatal",
                        parsed.log_level);
        return nearest_hint(&nearest, err);
    }
    if (!log_format_parse(parsed.log_format, &parsed.options.log_format)) {
        return error_set(err, ERROR_USAGE, 0, "--log-format: '%s' is not text or json",
                         parsed.log_format);
    }
    if (parsed.options.verbose) {
        parsed.options.log_level = LOG_DEBUG;
    }
    struct agent_options *options = &parsed.options;
    if (keep(&options->accept_env) < 0 || keep(&options->sftp_server) < 0 ||
        keep(&options->spool_directory) < 0 || keep(&options->path_before) < 0 ||
        keep(&options->path_after) < 0 || keep(&options->home_fallback) < 0 ||
        keep(&options->busybox) < 0) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the process exits */
        return error_set(err, ERROR_SYSTEM, errno, "cannot keep the options");
    }
    *out_options = parsed.options;
    return 0;
}

void agent_options_print_help(void (*print_commands)(void))
{
    (void)fputs("Usage: berth-agent [OPTION...] [-- COMMAND...]\n"
                "       berth-agent COMMAND [OPTION...]\n"
                "\n"
                "Entrypoint of a job's container: runs as PID 1, reaps processes, and serves\n"
                "SSH to berth-driver, which runs job scripts through it.\n"
                "\n"
                "SSH_PUBLIC_KEY holds the public keys that may log in, one per line.\n"
                "BERTH_HOST_KEY_SEED (base64 of 32 bytes) sets the host key; without it the\n"
                "agent generates one and logs its fingerprint.\n"
                "\n"
                "Examples:\n"
                "  SSH_PUBLIC_KEY=\"$(cat id_ed25519.pub)\" berth-agent --listen :2222\n"
                "  berth-agent --init-only -- nginx -g 'daemon off;'\n"
                "  berth-agent health --listen :2222\n"
                "\n",
                stdout);
    print_commands();
    (void)fputc('\n', stdout);
    options_print(stdout, rows, OPTION_COUNT(rows));
    options_print_statuses(stdout, exit_rows, OPTION_COUNT(exit_rows));
}
