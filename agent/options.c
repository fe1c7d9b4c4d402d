/* SPDX-License-Identifier: MIT */
#include "agent/options.h"

#include <stddef.h>
#include <stdio.h>

#include "common/options.h"

struct parsed {
    struct agent_options options;
    const char *log_level;
    const char *log_format;
};

#define FIELD(name) offsetof(struct parsed, options.name)

static const struct option_row rows[] = {
    {.help = "Options"},
    {"listen", 'l', OPTION_TEXT, "ADDRESS:PORT", "BERTH_LISTEN", ":22",
     "where to listen; no address: all of them; port 0: a free one", FIELD(listen), 0, 0},
    {"ready-fd", 0, OPTION_INTEGER, "N", NULL, NULL,
     "write the port and a newline to descriptor N once listening", FIELD(ready_fd), 3, 65535},
    {"grace", 0, OPTION_DURATION, "DURATION", "BERTH_GRACE", "10s",
     "between SIGTERM and SIGKILL when jobs are ended", FIELD(grace_ms), 0, 3600000},
    {"log-level", 0, OPTION_TEXT, "LEVEL", "BERTH_LOG_LEVEL", "info",
     "debug, info, warn, error or fatal", offsetof(struct parsed, log_level), 0, 0},
    {"log-format", 0, OPTION_TEXT, "FORMAT", "BERTH_LOG_FORMAT", "text", "text or json",
     offsetof(struct parsed, log_format), 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, NULL, NULL, "print this and exit", FIELD(help), 0, 0},
    {"version", 'V', OPTION_FLAG, NULL, NULL, NULL, "print the version and exit", FIELD(version), 0,
     0},
};

int agent_options_parse(int argc, char *const argv[], struct agent_options *out_options,
                        struct error *err)
{
    struct parsed parsed = {
        .options = {.listen = ":22", .ready_fd = -1, .grace_ms = 10000},
        .log_level = "info",
        .log_format = "text",
    };
    int next = 0;
    if (options_parse(rows, OPTION_COUNT(rows), &parsed, argc, argv, &next, err) < 0) {
        return -1;
    }
    if (next < argc) {
        return error_set(err, ERROR_USAGE, 0, "unexpected argument '%s'; try --help", argv[next]);
    }
    if (!log_level_parse(parsed.log_level, &parsed.options.log_level)) {
        return error_set(err, ERROR_USAGE, 0, "--log-level: '%s' is not a level; try --help",
                         parsed.log_level);
    }
    if (!log_format_parse(parsed.log_format, &parsed.options.log_format)) {
        return error_set(err, ERROR_USAGE, 0, "--log-format: '%s' is not text or json",
                         parsed.log_format);
    }
    *out_options = parsed.options;
    return 0;
}

void agent_options_print_help(void)
{
    (void)fputs("Usage: berth-agent [OPTION...]\n"
                "\n"
                "Entrypoint of a job's container: reaps processes as PID 1, serves SSH to the\n"
                "driver and runs its job scripts. Needs one or more public keys, one a line, in\n"
                "SSH_PUBLIC_KEY. BERTH_HOST_KEY_SEED (base64 of 32 bytes) fixes the host key;\n"
                "without it a random one is made and its fingerprint logged.\n"
                "\n",
                stdout);
    options_print(stdout, rows, OPTION_COUNT(rows));
    (void)fputs("\nExit status: 0 after SIGTERM, 1 when it cannot serve, 2 for a wrong option.\n",
                stdout);
}
