/* SPDX-License-Identifier: MIT */
/*
 * text.h - how notes and lines of the history add members to an object.
 *
 * Each replaces a member of that name, leaves out what is unknown (NULL, "" or 0) and sets '*ok' to
 * false without memory.
 */
#ifndef BERTH_DRIVER_HISTORY_TEXT_H
#define BERTH_DRIVER_HISTORY_TEXT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

#define HISTORY_TEXT_ROOM 1024 /* no text is longer, escaped */

/* Escaped, cut to 'room' bytes with its NUL. */
void history_text(cJSON *to, const char *name, const char *value, size_t room, bool *ok);
void history_number(cJSON *to, const char *name, double value, bool *ok);
void history_seconds(cJSON *to, const char *name, double value, bool *ok);

/* Replaces values of variables that are masked or not public by "[masked]", and long parts of them:
 * 'text' may have been cut. */
void history_mask(char text[HISTORY_TEXT_ROOM], const cJSON *response);

/* Appends the object on one line and frees it. -1: not 'ok', or no room. */
int history_print(cJSON *root, bool ok, struct buffer *out) __attribute__((warn_unused_result));

#endif
