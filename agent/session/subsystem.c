/* SPDX-License-Identifier: MIT */
#include "agent/session/subsystem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/ipc/wire.h"
#include "agent/session/channel.h"
#include "common/jobwire.h"
#include "common/log.h"

/* Runs the image's sftp-server, as the job's user. */
static int start_sftp(struct channel *channel)
{
    if (!channel->session->has_sftp_server) {
        log_info("%s: channel %d: no sftp-server in this image, refusing",
                 channel->session->setup->peer, channel->number);
        return 1;
    }
    return channel_start(channel, NULL, "sftp");
}

/* The channel has no further use. */
static int start_claim(struct channel *channel)
{
    struct session *session = channel->session;
    const struct wire_message message = {.type = WIRE_CLAIMED};
    if (wire_send(session->control, &message, NULL, 0) == 0) {
        return 0;
    }
    /* A refusal is the reply of an agent that does not wait for claims, so the client gets none: it
     * must not rely on this task. */
    log_error("%s: cannot report the claim of this task to init: %s, disconnecting",
              session->setup->peer, strerror(errno));
    (void)shutdown(ssh_get_fd(session->ssh), SHUT_RDWR);
    session_set_state(session, SESSION_CLOSED);
    return 1;
}

static const struct {
    const char *name;
    int (*start)(struct channel *channel);
} subsystems[] = {
    {"sftp", start_sftp},
    {JOBWIRE_SUBSYSTEM, resumable_channel_start},
    {JOBWIRE_EXEC, exec_channel_start},
    {JOBWIRE_CLAIM, start_claim},
};

int subsystem_start(struct channel *channel, const char *name)
{
    if (channel->command != NULL) {
        return 1; /* a second subsystem on one channel */
    }
    for (size_t i = 0; i < sizeof(subsystems) / sizeof(subsystems[0]); i++) {
        if (strcmp(subsystems[i].name, name) == 0) {
            return subsystems[i].start(channel);
        }
    }
    log_info("%s: channel %d: no subsystem '%s', refusing", channel->session->setup->peer,
             channel->number, name);
    return 1;
}
