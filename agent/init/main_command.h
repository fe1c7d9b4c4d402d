/* SPDX-License-Identifier: MIT */
/*
 * main_command.h - the command that the agent may run beside the SSH server; see the .c file.
 *
 * Runs in init. The process belongs to init, which reaps it.
 */
#ifndef BERTH_AGENT_INIT_MAIN_COMMAND_H
#define BERTH_AGENT_INIT_MAIN_COMMAND_H

#include "agent/init/init.h"

/* Starts it, when there is one. A command that cannot be executed ends with status 126 or 127. */
int main_command_start(struct init *init, struct error *err) __attribute__((warn_unused_result));

/* Passes a signal on, rewritten as the options say. False when no main command runs. */
bool main_command_signal(const struct init *init, int number);

/* init reaped it: keeps the exit code, begins the shutdown. */
void main_command_ended(struct init *init, int status);

#endif
