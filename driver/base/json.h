/* SPDX-License-Identifier: MIT */
/*
 * json.h - building and reading JSON trees.
 *
 * The functions that build add to 'to', which may be NULL after an earlier failure, and set '*ok'
 * to false when they fail; the caller checks it once at the end. What is added belongs to 'to'.
 */
#ifndef BERTH_DRIVER_BASE_JSON_H
#define BERTH_DRIVER_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

cJSON *json_object(cJSON *to, const char *name, bool *ok);
cJSON *json_array(cJSON *to, const char *name, bool *ok);
void json_text(cJSON *to, const char *name, const char *value, bool *ok);
void json_number(cJSON *to, const char *name, int64_t value, bool *ok);
void json_bool(cJSON *to, const char *name, bool value, bool *ok);
/* One more entry of an array. */
void json_append(cJSON *to, const char *value, bool *ok);
void json_append_format(cJSON *to, bool *ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As cJSON_Delete(), but wipes every text first. */
void json_delete_wiped(cJSON *root);

/* Sorts the keys of every object, at any depth, by their bytes; arrays keep their order. With
 * cJSON_PrintUnformatted() two trees that differ in the order of keys alone give one text. */
void json_sort(cJSON *root);

/* Prints JSON and a newline, for programs and terminals: characters that are not shown (escape.h)
 * become \uXXXX, which keeps their value; cJSON does so below U+0020 alone. */
void json_print(FILE *out, const char *text, size_t length);
/* As json_print(), on one line. Frees 'root'. Not 'ok', or no memory: the line is "{}", so that
 * there is one for each object, and -1 is returned. */
int json_print_object(FILE *out, cJSON *root, bool ok);

/* Reading: a path of names such as "State.Health.Status"; NULL, "" or 0 when it is missing or has
 * another type. */
const cJSON *json_at(const cJSON *from, const char *path);
const char *json_text_at(const cJSON *from, const char *path);
const char *json_text_or_empty(const cJSON *from, const char *path);
/* Copies the text, or "", as far as it fits. */
void json_copy_text(char *out, size_t room, const cJSON *from, const char *path);
int64_t json_number_at(const cJSON *from, const char *path);
bool json_true_at(const cJSON *from, const char *path);

#endif
