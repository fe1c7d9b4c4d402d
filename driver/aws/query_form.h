/* SPDX-License-Identifier: MIT */
/*
 * query_form.h - the query protocol: a form is posted to "/", XML comes back.
 *
 * The caller initialises and frees the form, which the exchange refers to.
 */
#ifndef BERTH_DRIVER_AWS_QUERY_FORM_H
#define BERTH_DRIVER_AWS_QUERY_FORM_H

#include "common/buffer.h"
#include "driver/aws/exchange.h"

#define AWS_QUERY_FORM_BYTES (1UL << 20) /* the ceiling of a form */

/* Writes operation and parameters, as in aws_query(), and the exchange that sends them. */
int aws_query_form(struct buffer *form, enum aws_service service, const char *operation,
                   const char *const *parameters, struct aws_exchange *out_exchange,
                   struct error *err) __attribute__((warn_unused_result));

#endif
