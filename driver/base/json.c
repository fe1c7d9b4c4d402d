/* SPDX-License-Identifier: MIT */
#include "driver/base/json.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/utf8.h"

#define NAME_BYTES 64

static cJSON *keep(cJSON *added, bool *ok)
{
    *ok = *ok && added != NULL;
    return added;
}

cJSON *json_object(cJSON *to, const char *name, bool *ok)
{
    return keep(cJSON_AddObjectToObject(to, name), ok);
}

cJSON *json_array(cJSON *to, const char *name, bool *ok)
{
    return keep(cJSON_AddArrayToObject(to, name), ok);
}

void json_text(cJSON *to, const char *name, const char *value, bool *ok)
{
    (void)keep(cJSON_AddStringToObject(to, name, value), ok);
}

void json_number(cJSON *to, const char *name, int64_t value, bool *ok)
{
    (void)keep(cJSON_AddNumberToObject(to, name, (double)value), ok);
}

void json_bool(cJSON *to, const char *name, bool value, bool *ok)
{
    (void)keep(cJSON_AddBoolToObject(to, name, value), ok);
}

void json_append(cJSON *to, const char *value, bool *ok)
{
    cJSON *item = cJSON_CreateString(value);
    if (item == NULL || !cJSON_AddItemToArray(to, item)) {
        cJSON_Delete(item);
        *ok = false;
    }
}

void json_append_format(cJSON *to, bool *ok, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        *ok = false;
        return;
    }
    json_append(to, text, ok);
    free(text);
}

static void wipe(cJSON *item)
{
    for (; item != NULL; item = item->next) {
        if (cJSON_IsString(item)) {
            sodium_memzero(item->valuestring, strlen(item->valuestring));
        }
        wipe(item->child);
    }
}

void json_delete_wiped(cJSON *root)
{
    wipe(root);
    cJSON_Delete(root);
}

/* Takes the first of the items with the smallest key out of the object. */
static cJSON *take_first(cJSON *object)
{
    cJSON *first = object->child;
    for (cJSON *item = object->child; item != NULL; item = item->next) {
        if (strcmp(item->string, first->string) < 0) {
            first = item;
        }
    }
    return cJSON_DetachItemViaPointer(object, first);
}

static void sort_keys(cJSON *object)
{
    cJSON sorted = {.type = cJSON_Object};
    while (object->child != NULL) {
        (void)cJSON_AddItemToArray(&sorted, take_first(object)); /* which keeps its key */
    }
    object->child = sorted.child;
}

void json_sort(cJSON *root)
{
    if (cJSON_IsObject(root)) {
        sort_keys(root);
    }
    cJSON *item = NULL;
    cJSON_ArrayForEach(item, root)
    {
        json_sort(item);
    }
}

/* Most of JSON. Newlines and tabs are between its members. */
static bool is_plain(char byte)
{
    return (byte >= ' ' && byte <= '~') || byte == '\n' || byte == '\t';
}

void json_print(FILE *out, const char *text, size_t length)
{
    char piece[2 * ESCAPE_WORST + 1]; /* two surrogates, at most */
    for (size_t i = 0; i < length;) {
        size_t plain = 0;
        while (i + plain < length && is_plain(text[i + plain])) {
            plain++;
        }
        (void)fwrite(text + i, 1, plain, out);
        i += plain;
        if (i < length) {
            size_t run = utf8_length((const unsigned char *)text + i, length - i);
            run = run == 0 ? 1 : run;
            (void)escape(piece, sizeof(piece), text + i, run, ESCAPE_JSON);
            (void)fputs(piece, out);
            i += run;
        }
    }
    (void)fputc('\n', out);
}

int json_print_object(FILE *out, cJSON *root, bool ok)
{
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    const char *line = text != NULL ? text : "{}";
    cJSON_Delete(root);
    json_print(out, line, strlen(line));
    cJSON_free(text);
    return text == NULL ? -1 : 0;
}

const cJSON *json_at(const cJSON *from, const char *path)
{
    while (from != NULL && *path != '\0') {
        char name[NAME_BYTES];
        size_t length = strcspn(path, ".");
        if (length >= sizeof(name)) {
            return NULL;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        from = cJSON_GetObjectItemCaseSensitive(from, name);
        path += length + (path[length] == '.' ? 1 : 0);
    }
    return from;
}

const char *json_text_at(const cJSON *from, const char *path)
{
    const cJSON *item = json_at(from, path);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

const char *json_text_or_empty(const cJSON *from, const char *path)
{
    const char *text = json_text_at(from, path);
    return text != NULL ? text : "";
}

void json_copy_text(char *out, size_t room, const cJSON *from, const char *path)
{
    (void)snprintf(out, room, "%s", json_text_or_empty(from, path));
}

int64_t json_number_at(const cJSON *from, const char *path)
{
    const cJSON *item = json_at(from, path);
    return cJSON_IsNumber(item) && item->valuedouble > -9e15 && item->valuedouble < 9e15
               ? (int64_t)item->valuedouble
               : 0;
}

bool json_true_at(const cJSON *from, const char *path)
{
    return cJSON_IsTrue(json_at(from, path));
}
