/* SPDX-License-Identifier: MIT */
/*
 * sftp_server.h - where the image's sftp-server is.
 *
 * A session looks before its confinement, to refuse the subsystem where there is none; a job's
 * monitor looks again when it starts one. Allocates nothing.
 */
#ifndef BERTH_AGENT_JOB_SFTP_SERVER_H
#define BERTH_AGENT_JOB_SFTP_SERVER_H

/* The operator's choice, or without one (NULL) where the distributions put it. NULL: the image has
 * none that can be executed. */
const char *sftp_server_find(const char *chosen);

#endif
