/* SPDX-License-Identifier: MIT */
#include "driver/ssh_terminal.h"

#include <unistd.h>

int ssh_run_in_terminal(struct ssh_link *link, struct ssh_request *request,
                        struct ssh_outcome *out_outcome, struct error *err)
{
    struct terminal terminal = {.events_fd = -1};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !isatty(STDERR_FILENO)) {
        return ssh_link_run(link, request, out_outcome, err);
    }
    if (terminal_open(&terminal, STDIN_FILENO, err) < 0) {
        return -1;
    }
    request->terminal = &terminal;
    int result = ssh_link_run(link, request, out_outcome, err);
    request->terminal = NULL;
    terminal_close(&terminal);
    return result;
}
