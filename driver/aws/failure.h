/* SPDX-License-Identifier: MIT */
/*
 * failure.h - how to continue after an error answer of AWS.
 *
 * Throttling is recognised by code, not by status: ECS throttles with HTTP 400. The codes are those
 * of the SDKs' standard retry mode. aws_error_body_read_json() parses an error body of AWS
 * JSON 1.1; for the query protocol see xml.h. Neither can fail: an unknown body leaves 'code'
 * empty.
 */
#ifndef BERTH_DRIVER_AWS_FAILURE_H
#define BERTH_DRIVER_AWS_FAILURE_H

#include <stddef.h>

enum aws_meaning {
    AWS_FINAL,       /* do not retry */
    AWS_THROTTLED,   /* retry later */
    AWS_TRANSIENT,   /* retry */
    AWS_EXPIRED,     /* retry with fresh credentials */
    AWS_CLOCK,       /* retry with another time, if the clock is off */
    AWS_NOT_ALLOWED, /* do not retry: a permission is missing */
};

/* The contents of an error answer. */
struct aws_error_body {
    char code[96];
    char text[600];
    char request_id[64];
};

enum aws_meaning aws_meaning(int status, const char *code);

void aws_error_body_read_json(const char *body, size_t length, struct aws_error_body *out);

/* Extracts the code from "com.amazonaws.ecs#ClientException:http://...". */
void aws_error_body_set_code(struct aws_error_body *out, const char *raw);

#endif
