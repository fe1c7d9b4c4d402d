/* SPDX-License-Identifier: MIT */
/*
 * task_definition.h - reads a task definition as DescribeTaskDefinition returns it.
 */
#ifndef BERTH_DRIVER_COMMANDS_DOCTOR_TASK_DEFINITION_H
#define BERTH_DRIVER_COMMANDS_DOCTOR_TASK_DEFINITION_H

#include <cjson/cJSON.h>

/* The container of that name; NULL: there is none. */
const cJSON *task_definition_container(const cJSON *definition, const char *name);

#endif
