/* SPDX-License-Identifier: MIT */
/*
 * main_command.h - the command that the agent may run beside the SSH server; see the .c file.
 */
#ifndef BERTH_AGENT_INIT_MAIN_COMMAND_H
#define BERTH_AGENT_INIT_MAIN_COMMAND_H

#include "agent/init/init.h"

/* Starts it, if there is one. If it cannot be executed, it exits with status 126 or 127. */
int main_command_start(struct init *init, struct error *err) __attribute__((warn_unused_result));

/* Forwards a signal, according to --rewrite. False: no main command runs. */
bool main_command_signal(const struct init *init, int number);

/* After init has reaped it: keeps the exit code. The caller begins the shutdown. */
void main_command_ended(struct init *init, int status);

#endif
