/* SPDX-License-Identifier: MIT */
/*
 * listed.h - what 'ps' and 'gc' say of a task: age, cost, whether a job of this runner knows it.
 *
 * Nothing here can fail. Texts are written into the caller's memory, "-" for what is not known.
 */
#ifndef BERTH_DRIVER_LISTED_H
#define BERTH_DRIVER_LISTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/backend.h"

#define LISTED_EXEC_AGE_S (24 * 3600)

/* "42s", "17m", "3h05m", "2d04h" since it started. */
void listed_age(const struct backend_listed *listed, int64_t now_s, char *out, size_t room);

/* By [Price], in its currency, with four decimals. */
void listed_cost(const struct backend_listed *listed, const struct config_price *price,
                 int64_t now_s, char *out, size_t room);

/* Whether somebody will end it: a job whose metadata is still there and whose cleanup has not been
 * tried yet, or an 'exec', which keeps none, that is younger than a day. */
bool listed_known(const struct backend_listed *listed, const struct config *config, int64_t now_s);

#endif
