/* SPDX-License-Identifier: MIT */
/*
 * channel.h - what the files of this folder do with a session and its channels (session_state.h).
 * From the ground up:
 *
 *   channel_job.c       a channel's job: its request to init, signals, the report of its exit
 *   channel_exec.c      the subsystem "berth-exec", until its command is complete
 *   resumable/          the subsystem "berth-job"
 *   channel.c           one round of a channel: a plain job's bytes and its end
 *   subsystem.c         the table of subsystems
 *   channel_requests.c  a client's requests on a channel
 *   auth.c              logins
 *   session.c           the loop
 *
 * Nothing outside this folder includes it.
 */
#ifndef BERTH_AGENT_SESSION_CHANNEL_H
#define BERTH_AGENT_SESSION_CHANNEL_H

#include <poll.h>

#include "agent/session/session_state.h"

/* channel_job.c: requests a job from init; without command and subsystem, the user's shell. Returns
 * 0 if granted. */
int channel_start(struct channel *channel, const char *command, const char *subsystem);
/* channel_job.c: the same with RUN's payload (jobwire.h). */
int channel_run(struct channel *channel, const char *words, size_t length);
/* channel_job.c: passes a client's signal to the job. Names other than those of RFC 4254, section
 * 6.10, are ignored, so that a client cannot stop a job (STOP, TSTP). */
void channel_signal(struct channel *channel, const char *name, size_t length);
/* channel_job.c: exit-status or exit-signal, EOF, close, in this order. The channel can be released
 * then. */
void channel_finish(struct channel *channel);

/* channel_exec.c: starts the subsystem "berth-exec". Returns 0 if granted. */
int exec_channel_start(struct channel *channel);
/* channel_exec.c: reads the command; bytes after it stay in the channel's input. */
void exec_channel_read(struct channel *channel);
void exec_channel_free(struct channel *channel);

/* resumable/channel.c: starts the subsystem "berth-job". Returns 0 if granted. */
int resumable_channel_start(struct channel *channel);
/* resumable/channel.c: channel_service() for that subsystem. True: the channel can be released. */
bool resumable_channel_service(struct channel *channel);
void resumable_channel_free(struct channel *channel);
/* resumable/channel.c: whether an acknowledgement for the monitor is due. */
bool resumable_channel_ack_is_due(const struct channel *channel);

/* channel.c: descriptors to wait for; returns how many of at most 4 entries it filled. */
int channel_prepare(struct channel *channel, struct pollfd *entries);
/* channel.c: reads and writes what it can, without blocking, and releases the channel at its end.
 */
void channel_service(struct channel *channel);
/* channel.c: closes and releases. A job that still runs is ended by its monitor. */
void channel_release(struct channel *channel);

/* channel_requests.c: sees requests before libssh does; call before the session starts. */
void channel_watch_requests(struct session *session);
/* channel_requests.c: the callback that accepts a new session channel. */
ssh_channel channel_accept(ssh_session ssh, void *userdata);

/* auth.c */
void auth_install(struct session *session);
/* auth.c: sees login requests before libssh does; call before the session starts. */
void auth_watch_requests(struct session *session);

#endif
