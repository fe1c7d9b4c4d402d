/* SPDX-License-Identifier: MIT */
/*
 * failure.h - what an error answer of AWS means for the next attempt.
 *
 * Throttling is told by code, not by status: ECS throttles with HTTP 400. The codes are those of
 * the SDKs' standard retry mode. aws_told_read_json() takes an error body of AWS JSON 1.1; the one
 * of the query protocol is xml.h's. Neither can fail: a body that says nothing leaves 'code' empty.
 */
#ifndef BERTH_DRIVER_AWS_FAILURE_H
#define BERTH_DRIVER_AWS_FAILURE_H

#include <stddef.h>

enum aws_meaning {
    AWS_FINAL,       /* no attempt can do better */
    AWS_THROTTLED,   /* later */
    AWS_TRANSIENT,   /* again */
    AWS_EXPIRED,     /* with fresh credentials */
    AWS_CLOCK,       /* with another time, if the clock is off */
    AWS_NOT_ALLOWED, /* final: a permission is missing */
};

/* What an error answer says. */
struct aws_told {
    char code[96];
    char text[600];
    char request_id[64];
};

enum aws_meaning aws_meaning(int status, const char *code);

void aws_told_read_json(const char *body, size_t length, struct aws_told *out);

/* "com.amazonaws.ecs#ClientException:http://...": the code inside of it. */
void aws_told_set_code(struct aws_told *told, const char *raw);

#endif
