/* SPDX-License-Identifier: MIT */
#include "agent/session/subsystem.h"

#include <string.h>

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
    const struct wire_message message = {.type = WIRE_CLAIMED};
    return wire_send(channel->session->control, &message, NULL, 0) < 0 ? 1 : 0;
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
