/* SPDX-License-Identifier: MIT */
#include "driver/task/legacy_sshd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/remote/exec.h"
#include "driver/remote/shell_quote.h"
#include "driver/runner/result.h"

#define CONNECT_MS 10000
#define KILL_SPARE_S                                                            \
    15 /* from KILL to giving up: on a busy machine reading /proc takes seconds \
        */
#define STATUS_LEFT 1
#define INPUT_BYTES 128

/* The marker comes on standard input: in the command line it would match this shell itself.
 *
 * f FILE TEXT [*] prints the PIDs with a line TEXT, or with * one that contains it, in
 * /proc/PID/FILE. It starts three programs for all processes together, because on a busy machine
 * three for each take longer than there is time. 'head' names each file before its content. The
 * files are listed first, so that none of those three programs is among them. */
static const char program[] =
    "; exec >/dev/null 2>&1; LC_ALL=C; export LC_ALL; IFS= read -r m || exit 1; w=; "
    "f() { t=$2; a=$3; set -- /proc/[0-9]*/$1; head -n 99999 /dev/null \"$@\" | tr '\\0' '\\n' | "
    "grep -F -e '==> /proc/' -e \"$t\" | while IFS= read -r l; do case $l in "
    "'==> /proc/'*' <==') d=${l#*/proc/}; d=${d%%%%/*};; $a\"$t\"$a) echo \"$d\";; "
    "esac; done; }; "
    "for p in $(f cmdline \"$m\" '*'); do "
    "w=$(tr '\\0' '\\n' </proc/$p/environ | grep '^SSH_CONNECTION='); "
    "[ -z \"$w\" ] || break; done; "
    "[ -n \"$w\" ] || exit 0; "
    "e=$(($(date +%%s) + %lld)); kill -TERM $(f environ \"$w\"); "
    "while p=$(f environ \"$w\"); [ -n \"$p\" ]; do n=$(date +%%s); "
    "[ $n -lt $e ] || kill -KILL $p; "
    "[ $n -lt $((e + %d)) ] || exit %d; "
    "sleep 0.1 || sleep 1; done; exit 0";

static int run_program(struct task *task, struct ssh_connection *connection, const char *marker,
                       int64_t deadline_ms, struct error *err)
{
    struct begin_sign sign;
    cleanup_buffer struct buffer text, command;
    buffer_init(&text, sizeof(program) + 256);
    buffer_init(&command, SHELL_QUOTE_LOGIN_BYTES);
    begin_sign_init(&sign, BEGIN_SIGN_BEGUN);
    char input[INPUT_BYTES];
    struct ssh_request request;
    struct job_outcome outcome = {0};
    const struct config *config = task->backend_task.config;
    (void)snprintf(input, sizeof(input), "%s\n", marker);
    task_request(task, &request);
    if (begin_sign_append(&sign, BEGIN_SIGN_BEGUN, &text) < 0 ||
        buffer_printf(&text, program, (long long)(config->cancel_grace_ms / 1000), KILL_SPARE_S,
                      STATUS_LEFT) < 0 ||
        shell_quote_for_login(&command, text.bytes, false) < 0) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the command");
    }
    request.command = command.bytes;
    request.sign = &sign;
    request.input = input;
    request.input_length = strlen(input);
    request.signals = NULL; /* this is what the request to stop started */
    request.deadline_ms = deadline_ms;
    request.output_unread = true;
    if (ssh_exec(connection, &request, &outcome, err) < 0) {
        return -1;
    }
    if (result_check_begun(&outcome, "", err) < 0) {
        return -1;
    }
    return outcome.status == 0 && outcome.signal[0] == '\0'
               ? 0
               : error_set(err, ERROR_SYSTEM, 0, "some of its processes are still running");
}

int legacy_sshd_kill(struct task *task, const char *marker, int64_t deadline_ms, struct error *err)
{
    struct ssh_connection *connection = NULL;
    int64_t connect_ms = clock_earlier_ms(clock_deadline_ms(CONNECT_MS), deadline_ms);
    int result = task_connect_again(task, connect_ms, &connection, err);
    if (result == 0) {
        result = run_program(task, connection, marker, deadline_ms, err);
    }
    ssh_connection_free(connection);
    return result < 0 ? error_wrap(err, "cannot end the job in the task") : 0;
}
