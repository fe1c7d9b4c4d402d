/* SPDX-License-Identifier: MIT */
#include "driver/plain_end.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define CONNECT_MS   10000
#define KILL_SPARE_S 5 /* from KILL to giving up */
#define STATUS_LEFT  1
#define INPUT_BYTES  128

/* The marker comes over standard input: in the command it would find this shell itself. */
static const char program[] =
    "exec >/dev/null 2>&1; IFS= read -r m || exit 1; w=; "
    "for d in /proc/[0-9]*; do "
    "if tr '\\0' ' ' <$d/cmdline | grep -qF \"$m\"; then "
    "w=$(tr '\\0' '\\n' <$d/environ | grep '^SSH_CONNECTION='); "
    "[ -z \"$w\" ] || break; fi; done; "
    "[ -n \"$w\" ] || exit 0; "
    "f() { for d in /proc/[0-9]*; do "
    "tr '\\0' '\\n' <$d/environ | grep -qxF \"$w\" && echo \"${d#/proc/}\"; done; }; "
    "e=$(($(date +%%s) + %lld)); kill -TERM $(f); "
    "while p=$(f); [ -n \"$p\" ]; do n=$(date +%%s); "
    "[ $n -lt $e ] || kill -KILL $p; "
    "[ $n -lt $((e + %d)) ] || exit %d; "
    "sleep 0.1 || sleep 1; done; exit 0";

static int run_program(struct task *task, struct ssh_link *link, const char *marker,
                       struct error *err)
{
    char command[sizeof(program) + 64];
    char input[INPUT_BYTES];
    struct ssh_request request;
    struct ssh_outcome outcome = {0};
    const struct config *config = task->at_backend.config;
    (void)snprintf(command, sizeof(command), program, (long long)(config->cancel_grace_ms / 1000),
                   KILL_SPARE_S, STATUS_LEFT);
    (void)snprintf(input, sizeof(input), "%s\n", marker);
    task_request(task, &request);
    request.command = command;
    request.input = input;
    request.input_length = strlen(input);
    request.signals = NULL; /* it is the request to stop that led here */
    if (ssh_link_run(link, &request, &outcome, err) < 0) {
        return -1;
    }
    return outcome.status == 0 && outcome.signal[0] == '\0'
               ? 0
               : error_set(err, ERROR_SYSTEM, 0, "some of its processes do not end");
}

int plain_end(struct task *task, const char *marker, struct error *err)
{
    struct ssh_link *link = NULL;
    int result = task_second_link(task, clock_deadline_ms(CONNECT_MS), &link, err);
    if (result == 0) {
        result = run_program(task, link, marker, err);
    }
    ssh_link_free(link);
    return result < 0 ? error_wrap(err, "cannot end the job in the task") : 0;
}
