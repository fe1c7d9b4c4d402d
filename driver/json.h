/* SPDX-License-Identifier: MIT */
/*
 * json.h - JSON trees put together without asking after every step.
 *
 * Each function adds to 'to', which may be NULL after an earlier failure, and sets '*ok' to false
 * when it cannot; the caller asks once at the end. What is added belongs to 'to'.
 */
#ifndef BERTH_DRIVER_JSON_H
#define BERTH_DRIVER_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

cJSON *json_object(cJSON *to, const char *name, bool *ok);
cJSON *json_array(cJSON *to, const char *name, bool *ok);
void json_text(cJSON *to, const char *name, const char *value, bool *ok);
void json_number(cJSON *to, const char *name, int64_t value, bool *ok);
void json_bool(cJSON *to, const char *name, bool value, bool *ok);
/* One more entry of an array. */
void json_append(cJSON *to, const char *value, bool *ok);
void json_append_format(cJSON *to, bool *ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reading: a path of names such as "State.Health.Status"; NULL or 0 when it is not there. */
const cJSON *json_at(const cJSON *from, const char *path);
const char *json_text_at(const cJSON *from, const char *path);
int64_t json_number_at(const cJSON *from, const char *path);
bool json_true_at(const cJSON *from, const char *path);

#endif
