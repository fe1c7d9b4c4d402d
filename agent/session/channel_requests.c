/* SPDX-License-Identifier: MIT */
/*
 * channel_requests.c - a client's requests on a session channel.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/ipc/wire.h"
#include "agent/session/accept_env.h"
#include "agent/session/channel.h"
#include "agent/session/subsystem.h"
#include "common/log.h"

/* SSH_MSG_CHANNEL_REQUEST of RFC 4254, section 9. */
#define CHANNEL_REQUEST 98

static int on_exec(ssh_session ssh, ssh_channel ssh_channel, const char *command, void *userdata)
{
    (void)ssh;
    (void)ssh_channel;
    return channel_start(userdata, command, NULL);
}

static int on_shell(ssh_session ssh, ssh_channel ssh_channel, void *userdata)
{
    (void)ssh;
    (void)ssh_channel;
    return channel_start(userdata, NULL, NULL);
}

static int on_subsystem(ssh_session ssh, ssh_channel ssh_channel, const char *name, void *userdata)
{
    (void)ssh;
    (void)ssh_channel;
    return subsystem_start(userdata, name);
}

static int on_env(ssh_session ssh, ssh_channel ssh_channel, const char *name, const char *value,
                  void *userdata)
{
    struct channel *channel = userdata;
    const struct session_setup *setup = channel->session->setup;
    (void)ssh;
    (void)ssh_channel;
    if (channel->state != CHANNEL_OPEN ||
        !accept_env_add(setup->options->accept_env, name, value, &channel->variables)) {
        log_debug("%s: channel %d: refused variable '%s'", setup->peer, channel->number, name);
        return 1;
    }
    return 0;
}

/* SSH has 32 bits for each number, the kernel 16. */
static struct terminal_size terminal_size_of(int columns, int rows, int width, int height)
{
    const int numbers[] = {columns, rows, width, height};
    uint16_t fitting[4];
    for (int i = 0; i < 4; i++) {
        fitting[i] = numbers[i] < 0 || numbers[i] > UINT16_MAX ? 0 : (uint16_t)numbers[i];
    }
    return (struct terminal_size){fitting[0], fitting[1], fitting[2], fitting[3]};
}

static int on_terminal(ssh_session ssh, ssh_channel ssh_channel, const char *term, int columns,
                       int rows, int width, int height, void *userdata)
{
    struct channel *channel = userdata;
    (void)ssh;
    (void)ssh_channel;
    if (channel->state != CHANNEL_OPEN || strlen(term) >= sizeof(channel->term)) {
        return 1;
    }
    memcpy(channel->term, term, strlen(term) + 1);
    channel->size = terminal_size_of(columns, rows, width, height);
    channel->modes = channel->session->modes;
    channel->wants_terminal = true;
    return 0;
}

/* libssh does not pass on the modes of a terminal request. They are read from the packet, right
 * before libssh calls on_terminal(). */
static int on_request_packet(ssh_session ssh, uint8_t type, ssh_buffer packet, void *userdata)
{
    struct session *session = userdata;
    (void)ssh;
    (void)type;
    memset(&session->modes, 0, sizeof(session->modes));
    (void)terminal_modes_read(ssh_buffer_get(packet), ssh_buffer_get_len(packet), &session->modes);
    return SSH_PACKET_NOT_USED; /* libssh handles it next */
}

void channel_watch_requests(struct session *session)
{
    static ssh_packet_callback on_packet[] = {on_request_packet};
    session->packet_callbacks = (struct ssh_packet_callbacks_struct){
        .start = CHANNEL_REQUEST, .n_callbacks = 1, .callbacks = on_packet, .user = session};
    ssh_packet_set_callbacks(session->ssh, &session->packet_callbacks);
}

static int on_resize(ssh_session ssh, ssh_channel ssh_channel, int columns, int rows, int width,
                     int height, void *userdata)
{
    struct channel *channel = userdata;
    struct wire_message message = {.type = WIRE_JOB_RESIZE,
                                   .size = terminal_size_of(columns, rows, width, height)};
    (void)ssh;
    (void)ssh_channel;
    channel->size = message.size;
    if (channel->job >= 0) {
        (void)wire_send(channel->job, &message, NULL, 0); /* too late for a job that has exited */
    }
    return 0;
}

static void on_signal(ssh_session ssh, ssh_channel ssh_channel, const char *name, void *userdata)
{
    (void)ssh;
    (void)ssh_channel;
    channel_signal(userdata, name, strlen(name));
}

static void on_eof(ssh_session ssh, ssh_channel ssh_channel, void *userdata)
{
    struct channel *channel = userdata;
    (void)ssh;
    (void)ssh_channel;
    channel->input_ended = true;
}

static void on_close(ssh_session ssh, ssh_channel ssh_channel, void *userdata)
{
    struct channel *channel = userdata;
    (void)ssh;
    (void)ssh_channel;
    channel->client_gone =
        true; /* the loop releases it: a channel must not be freed in its callback */
}

/* A client may close one channel and open the next before the loop has released the first. Returns
 * a free slot; NULL: the client has --max-sessions channels. */
static struct channel *make_room(struct session *session)
{
    struct channel *room = NULL;
    int count = 0;
    for (int i = 0; i < CHANNEL_SLOTS; i++) {
        struct channel *channel = &session->channels[i];
        if (channel->client_gone && channel != session->serving) {
            channel_release(channel); /* libssh allows that in another channel's callback */
        }
        if (channel->state == CHANNEL_FREE) {
            room = channel;
        } else if (!channel->client_gone) {
            count++;
        }
    }
    return count < (int)session->setup->options->max_sessions ? room : NULL;
}

ssh_channel channel_accept(ssh_session ssh, void *userdata)
{
    struct session *session = userdata;
    struct channel *channel = make_room(session);
    if (session->state != SESSION_OPEN || session->shutting_down || channel == NULL) {
        return NULL;
    }
    *channel = (struct channel){
        .session = session,
        .number = ++session->channels_opened,
        .job = -1,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = -1,
        .input = malloc(LIMIT_INPUT_CHUNK_BYTES),
        .ssh = ssh_channel_new(ssh),
    };
    if (channel->ssh == NULL || channel->input == NULL) {
        ssh_channel_free(channel->ssh);
        free(channel->input);
        memset(channel, 0, sizeof(*channel));
        return NULL;
    }
    buffer_init(&channel->variables, LIMIT_ENVIRONMENT_BYTES);
    channel->callbacks.userdata = channel;
    channel->callbacks.channel_exec_request_function = on_exec;
    channel->callbacks.channel_shell_request_function = on_shell;
    channel->callbacks.channel_subsystem_request_function = on_subsystem;
    channel->callbacks.channel_env_request_function = on_env;
    channel->callbacks.channel_pty_request_function = on_terminal;
    channel->callbacks.channel_pty_window_change_function = on_resize;
    channel->callbacks.channel_signal_function = on_signal;
    channel->callbacks.channel_eof_function = on_eof;
    channel->callbacks.channel_close_function = on_close;
    ssh_callbacks_init(&channel->callbacks);
    (void)ssh_set_channel_callbacks(channel->ssh, &channel->callbacks);
    channel->state = CHANNEL_OPEN;
    return channel->ssh;
}
