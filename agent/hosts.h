/* SPDX-License-Identifier: MIT */
/*
 * hosts.h - /etc/hosts: looks names up, and adds names of services for 127.0.0.1.
 *
 * Containers of one ECS task share their network and often this file. Runs in init during startup
 * and in 'await'; no look-up leaves the file. The file is part of the image or of the task, so its
 * text is not trusted: lines that are not valid are skipped. A file over LIMIT_HOSTS_BYTES is an
 * error. Names are compared without case, as everywhere in DNS.
 */
#ifndef BERTH_AGENT_HOSTS_H
#define BERTH_AGENT_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "common/error.h"

#define HOSTS_PATH "/etc/hosts"

/* The addresses of 'name', in the order of the file, at most 'room', with port 0; 'localhost' that
 * no line has is 127.0.0.1 and ::1. Returns how many. Exported for fuzzing. */
size_t hosts_find(const char *text, size_t length, const char *name, struct sockaddr_storage *out,
                  size_t room);

/* hosts_find() in a file; a missing file is an empty one. */
int hosts_find_in(const char *path, const char *name, struct sockaddr_storage *out, size_t room,
                  size_t *out_count, struct error *err) __attribute__((warn_unused_result));

enum hosts_state {
    HOSTS_LOOPBACK,  /* the file had the name, for a loopback address */
    HOSTS_ELSEWHERE, /* the file has it for another address, which is kept */
    HOSTS_MISSING,   /* the file has no such name */
};

/* What the file has for a name. Exported for fuzzing. */
enum hosts_state hosts_state(const char *text, size_t length, const char *name);

/* Appends one line with those of the 'count' valid names that are missing, in one write. The state
 * of each name before that goes to 'out_states'. On failure none was added. */
int hosts_add(const char *path, const char *const names[], size_t count,
              enum hosts_state *out_states, struct error *err) __attribute__((warn_unused_result));

#endif
