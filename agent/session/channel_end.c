/* SPDX-License-Identifier: MIT */
/*
 * channel_end.c - how one session channel ends, and signals by their names in SSH.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/session/session_private.h"
#include "common/cleanup.h"
#include "common/log.h"

/* RFC 4254, section 6.10: names without "SIG". */
static const struct {
    const char *name;
    int number;
} signal_names[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},   {"ILL", SIGILL},
    {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
    {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
};
#define SIGNAL_NAMES (sizeof(signal_names) / sizeof(signal_names[0]))

const char *channel_signal_name(int number)
{
    for (size_t i = 0; i < SIGNAL_NAMES; i++) {
        if (signal_names[i].number == number) {
            return signal_names[i].name;
        }
    }
    return NULL;
}

int channel_signal_number(const char *name, size_t length)
{
    for (size_t i = 0; i < SIGNAL_NAMES; i++) {
        if (strlen(signal_names[i].name) == length &&
            memcmp(signal_names[i].name, name, length) == 0) {
            return signal_names[i].number;
        }
    }
    return 0;
}

static void send_exit(struct channel *channel)
{
    int status = channel->wait_status;
    if (!WIFSIGNALED(status)) {
        (void)ssh_channel_request_send_exit_status(channel->ssh, WEXITSTATUS(status));
        return;
    }
    const char *name = channel_signal_name(WTERMSIG(status));
    if (name != NULL) {
        (void)ssh_channel_request_send_exit_signal(channel->ssh, name, WCOREDUMP(status), "", "");
        return;
    }
    /* A signal that SSH has no name for: as a shell tells it. */
    (void)ssh_channel_request_send_exit_status(channel->ssh, 128 + WTERMSIG(status));
}

/* Told when the last byte of output is counted. */
static void log_end(struct channel *channel)
{
    struct job_usage *usage = &channel->exited.usage;
    int status = channel->exited.number;
    bool signalled = WIFSIGNALED(status);
    char text[USAGE_TEXT_BYTES];
    if (channel->exited.type == 0) {
        return; /* no job, or its monitor tells */
    }
    usage->out_bytes = channel->out_bytes;
    usage_describe(usage, text);
    log_line(usage->oom_kills > 0 ? LOG_WARN : LOG_INFO,
             "%s: channel %d: job ended with %s %d after %.3f s, %s", channel->session->setup->peer,
             channel->number, signalled ? "signal" : "status",
             signalled ? WTERMSIG(status) : WEXITSTATUS(status),
             (double)channel->exited.ran_ms / 1000.0, text);
}

void channel_release(struct channel *channel)
{
    log_end(channel);
    durable_channel_free(channel);
    cleanup_fd_fn(&channel->job);
    cleanup_fd_fn(&channel->stdin_fd);
    cleanup_fd_fn(&channel->stdout_fd);
    cleanup_fd_fn(&channel->stderr_fd);
    free(channel->input);
    free(channel->unsent);
    buffer_done(&channel->variables);
    (void)ssh_remove_channel_callbacks(channel->ssh, &channel->callbacks);
    ssh_channel_free(channel->ssh); /* sends close unless that was done */
    memset(channel, 0, sizeof(*channel));
}

void channel_finish(struct channel *channel)
{
    send_exit(channel);
    (void)ssh_channel_send_eof(channel->ssh);
    (void)ssh_channel_close(channel->ssh);
    channel_release(channel);
}
