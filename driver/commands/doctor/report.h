/* SPDX-License-Identifier: MIT */
/*
 * report.h - the report of 'berth-driver doctor': one line per finding, and what to do about it.
 *
 * A finding is OK, a warning, a failure, or a check that was skipped. Checks share one struct
 * doctor: a check stores there what later checks need; a check whose input is missing is skipped.
 * The deadline is absolute (clock.h).
 */
#ifndef BERTH_DRIVER_COMMANDS_DOCTOR_REPORT_H
#define BERTH_DRIVER_COMMANDS_DOCTOR_REPORT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/aws/aws.h"
#include "driver/backend/ecs/capacity.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"

#define DOCTOR_ARN_BYTES 512

enum doctor_finding { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_UNKNOWN, DOCTOR_FINDINGS };

struct doctor {
    const struct config *config;
    struct signals *signals;
    int64_t deadline_ms;
    bool colour;
    int width;           /* of the terminal, for lines that fit; 0: as long as they are */
    bool json;           /* one object per finding */
    const char *section; /* the heading */
    int counts[DOCTOR_FINDINGS];
    /* About AWS; NULL and empty: not known. */
    struct aws_client *client;
    char caller[DOCTOR_ARN_BYTES]; /* ARN of the credentials */
    char account[16];
    cJSON *definition;   /* from DescribeTaskDefinition */
    bool knows_capacity; /* 'capacity' is that of [Fargate] CapacityProviders */
    enum ecs_capacity capacity;
    char vpc[64]; /* of the subnets */
};

void doctor_print_heading(struct doctor *doctor, const char *name);
/* One finding. 'remedy', what to do, may be NULL. */
void doctor_report(struct doctor *doctor, enum doctor_finding finding, const char *remedy,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A failure; 'remedy' NULL: the error's own hint. */
void doctor_report_error(struct doctor *doctor, const struct error *err, const char *remedy);
/* The last line: how many findings of each kind. */
void doctor_print_summary(const struct doctor *doctor);

#endif
