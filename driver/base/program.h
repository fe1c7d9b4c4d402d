/* SPDX-License-Identifier: MIT */
/*
 * program.h - the name under which this program was called, for messages that name a command of it.
 *
 * The texts are static, and set once by main(). Cannot fail.
 */
#ifndef BERTH_DRIVER_BASE_PROGRAM_H
#define BERTH_DRIVER_BASE_PROGRAM_H

#define PROGRAM_NAME "berth-driver"
/* The name of GitLab's driver, under which this one may be installed. */
#define PROGRAM_FARGATE "fargate"

/* By the program's path: PROGRAM_FARGATE if it ends so, else PROGRAM_NAME. */
void program_set_name(const char *path);
const char *program_name(void);

/* Hints that several parts give: "'berth-driver doctor --policy' prints ...". */
const char *program_policy_hint(void);
const char *program_push_hint(void);

#endif
