/* SPDX-License-Identifier: MIT */
/*
 * search.h - finds the credentials of a client: the sources of sources.h in the SDKs' order.
 *
 * Without credentials the error names what was searched. Keys are wiped: aws_credentials_done().
 */
#ifndef BERTH_DRIVER_AWS_SEARCH_H
#define BERTH_DRIVER_AWS_SEARCH_H

#include "driver/aws/client.h"

/* Environment, profile (role, key, credential_process), web identity, container endpoint, instance
 * metadata. The caller frees what is in 'out'. */
int aws_credentials_find(struct aws_client *client, int64_t deadline_ms,
                         struct aws_credentials *out, struct error *err)
    __attribute__((warn_unused_result));

#endif
