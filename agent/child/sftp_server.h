/* SPDX-License-Identifier: MIT */
/*
 * sftp_server.h - finds the image's sftp-server.
 *
 * A session searches before its confinement, so that it can refuse the subsystem; a job's monitor
 * searches again to start it. Allocates nothing.
 */
#ifndef BERTH_AGENT_CHILD_SFTP_SERVER_H
#define BERTH_AGENT_CHILD_SFTP_SERVER_H

/* 'chosen' is --sftp-server; NULL: the usual paths of distributions. Returns NULL if there is no
 * executable sftp-server. */
const char *sftp_server_find(const char *chosen);

#endif
