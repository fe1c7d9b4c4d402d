/* SPDX-License-Identifier: MIT */
/*
 * channel_job.c - a channel's job: its request to init, signals to it, and the report of its exit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/ipc/request.h"
#include "agent/session/channel.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/signal_names.h"

/* Sends the request to init, with one end of a new job socket. */
static int ask_init(struct channel *channel, const struct job_request *request, struct error *err)
{
    struct wire_message message = {.type = WIRE_JOB_START};
    int ends[2] = {-1, -1};
    int result = -1;
    cleanup_fd int file = job_request_write(request, err);
    if (file < 0) {
        return -1;
    }
    if (wire_pair(ends) == 0) {
        int fds[] = {file, ends[1]};
        result = wire_send(channel->session->control, &message, fds, 2);
    }
    if (result < 0) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot send the request to init");
    }
    cleanup_fd_fn(&ends[1]);
    channel->job = ends[0];
    return result;
}

/* A copy; NULL stays NULL. Out of memory sets *failed. */
static char *copy(const char *text, bool *failed)
{
    char *result = text == NULL ? NULL : strdup(text);
    *failed = *failed || (text != NULL && result == NULL);
    return result;
}

static int start(struct channel *channel, const char *command, const char *subsystem,
                 const char *words, size_t words_bytes)
{
    struct session *session = channel->session;
    if (channel->state != CHANNEL_OPEN || channel->command != NULL || session->shutting_down) {
        return 1; /* a second exec on one channel, or during shutdown */
    }
    bool failed = false;
    struct error err = {.message = "out of memory"};
    struct job_request request = {
        .user = copy(session->user, &failed),
        .command = copy(command, &failed),
        .subsystem = copy(subsystem, &failed),
        .variables = copy(channel->variables.bytes, &failed),
        .term = copy(channel->wants_terminal ? channel->term : NULL, &failed),
        .size = channel->size,
        .modes = channel->modes,
        .client = copy(session->setup->client, &failed),
        .words = words == NULL ? NULL : malloc(words_bytes),
        .words_bytes = (uint32_t)words_bytes,
    };
    if (request.words != NULL) {
        memcpy(request.words, words, words_bytes);
    }
    failed = failed || (words != NULL && request.words == NULL);
    failed = failed || ask_init(channel, &request, &err) < 0;
    job_request_done(&request);
    if (failed) {
        log_error("%s: cannot request a job: %s, refusing", session->setup->peer, err.message);
        cleanup_fd_fn(&channel->job);
        return 1;
    }
    log_debug("%s: channel %d: job requested", session->setup->peer, channel->number);
    channel->state = CHANNEL_STARTING;
    return 0;
}

int channel_start(struct channel *channel, const char *command, const char *subsystem)
{
    return start(channel, command, subsystem, NULL, 0);
}

int channel_run(struct channel *channel, const char *words, size_t length)
{
    return start(channel, NULL, NULL, words, length);
}

void channel_signal(struct channel *channel, const char *name, size_t length)
{
    struct wire_message message = {.type = WIRE_JOB_SIGNAL, .number = signal_number(name, length)};
    if (signal_is_in_ssh(message.number) && channel->job >= 0) {
        log_info("%s: channel %d: signal %s", channel->session->setup->peer, channel->number,
                 signal_name(message.number));
        (void)wire_send(channel->job, &message, NULL, 0); /* too late for a job that has exited */
    }
}

static void send_exit(struct channel *channel)
{
    int status = channel->wait_status;
    if (!WIFSIGNALED(status)) {
        (void)ssh_channel_request_send_exit_status(channel->ssh, WEXITSTATUS(status));
        return;
    }
    int number = WTERMSIG(status);
    if (signal_is_in_ssh(number)) {
        (void)ssh_channel_request_send_exit_signal(channel->ssh, signal_name(number),
                                                   WCOREDUMP(status), "", "");
    } else { /* SSH has no name for it: the status that a shell reports */
        (void)ssh_channel_request_send_exit_status(channel->ssh, 128 + number);
    }
}

void channel_finish(struct channel *channel)
{
    send_exit(channel);
    (void)ssh_channel_send_eof(channel->ssh);
    (void)ssh_channel_close(channel->ssh);
}
