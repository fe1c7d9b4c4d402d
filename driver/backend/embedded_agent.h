/* SPDX-License-Identifier: MIT */
/*
 * embedded_agent.h - the berth-agent program that the driver contains.
 *
 * It is executed from a memory file. If the system refuses that (vm.memfd_noexec, a security
 * module), a copy in the job's directory is executed instead.
 */
#ifndef BERTH_DRIVER_BACKEND_EMBEDDED_AGENT_H
#define BERTH_DRIVER_BACKEND_EMBEDDED_AGENT_H

#include <stddef.h>

/* The bytes of the program file. */
size_t embedded_agent_bytes(const void **out_bytes);

/* A close-on-exec descriptor of the memory file, or -1 if the system has none. */
int embedded_agent_open(void);

/* In a child: executes the agent, from 'fd' or else from a copy at 'copy_path'. Returns only on
 * failure, with errno. */
void embedded_agent_exec(int fd, const char *copy_path, char *const argv[], char *const envp[]);

#endif
