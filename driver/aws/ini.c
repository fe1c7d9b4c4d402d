/* SPDX-License-Identifier: MIT */
#include "driver/aws/ini.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A key, or with key NULL the head of a section. All point into the text, where the characters
 * behind them were made NUL. */
struct entry {
    const char *section, *key;
    char *value;
};

struct ini {
    char *text;
    size_t length;
    struct entry *entries;
    size_t count, allocated;
    const char *name; /* while parsing */
    const char *section;
    unsigned line;
    bool continues; /* the last line was a key's, so an indented one belongs to it */
};

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\f' || byte == '\v';
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
    while (is_blank(*text)) {
        text++;
    }
    size_t length = strlen(text);
    while (length > 0 && is_blank(text[length - 1])) {
        text[--length] = '\0';
    }
    return text;
}

static int complain(const struct ini *ini, const char *what, struct error *err)
{
    return error_set(err, ERROR_USAGE, 0, "%s:%u: %s", ini->name, ini->line, what);
}

static int add_entry(struct ini *ini, const char *key, char *value, struct error *err)
{
    if (ini->count == INI_ENTRY_CEILING) {
        return complain(ini, "too many lines", err);
    }
    if (ini->count == ini->allocated) {
        size_t more = ini->allocated == 0 ? 32 : ini->allocated * 2;
        struct entry *grown = reallocarray(ini->entries, more, sizeof(*grown));
        if (grown == NULL) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot keep '%s'", ini->name);
        }
        ini->entries = grown;
        ini->allocated = more;
    }
    ini->entries[ini->count++] = (struct entry){ini->section, key, value};
    return 0;
}

static int take_section(struct ini *ini, char *line, struct error *err)
{
    char *end = strrchr(line, ']');
    if (end == NULL || end == line + 1) {
        return complain(ini, "a section without ']' or without a name", err);
    }
    *end = '\0';
    ini->section = trim(line + 1);
    ini->continues = false;
    return add_entry(ini, NULL, NULL, err);
}

/* The lines lie one behind the other in the text, so that joining them means to move the second. */
static void continue_value(struct ini *ini, char *line)
{
    char *value = ini->entries[ini->count - 1].value;
    char *end = value + strlen(value);
    const char *added = trim(line);
    *end++ = '\n';
    memmove(end, added, strlen(added) + 1);
}

static int take_key(struct ini *ini, char *line, struct error *err)
{
    char *delimiter = strpbrk(line, "=:");
    if (ini->section == NULL || delimiter == NULL || delimiter == line) {
        return complain(ini,
                        ini->section == NULL ? "a line before the first section"
                                             : "neither '[section]' nor 'key = value'",
                        err);
    }
    *delimiter = '\0';
    char *key = trim(line);
    for (char *at = key; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    if (ini_get(ini, ini->section, key) != NULL) {
        return complain(ini, "a key that this section has already", err);
    }
    ini->continues = true;
    return add_entry(ini, key, trim(delimiter + 1), err);
}

static int take_line(struct ini *ini, char *line, struct error *err)
{
    bool indented = is_blank(line[0]);
    char *text = trim(line);
    if (text[0] == '\0' || text[0] == '#' || text[0] == ';') {
        return 0;
    }
    if (indented && ini->continues) {
        continue_value(ini, text);
        return 0;
    }
    return text[0] == '[' ? take_section(ini, text, err) : take_key(ini, text, err);
}

static int take_lines(struct ini *ini, struct error *err)
{
    char *line = ini->text;
    char *end = ini->text + ini->length;
    if (memchr(ini->text, '\0', ini->length) != NULL) {
        return error_set(err, ERROR_USAGE, 0, "%s: not a text file", ini->name);
    }
    while (line < end) {
        char *next = memchr(line, '\n', (size_t)(end - line));
        next = next == NULL ? end : next;
        *next = '\0';
        ini->line++;
        if (take_line(ini, line, err) < 0) {
            return -1;
        }
        line = next + 1;
    }
    return 0;
}

struct ini *ini_parse(const char *name, const char *text, size_t length, struct error *err)
{
    if (length > INI_TEXT_CEILING_BYTES) {
        (void)error_set(err, ERROR_LIMIT, 0, "%s: longer than %lu bytes", name,
                        INI_TEXT_CEILING_BYTES);
        return NULL;
    }
    struct ini *ini = calloc(1, sizeof(*ini));
    char *copy = malloc(length + 1);
    if (ini == NULL || copy == NULL) {
        free(ini);
        free(copy);
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read '%s'", name);
        return NULL;
    }
    memcpy(copy, length == 0 ? "" : text, length);
    copy[length] = '\0';
    *ini = (struct ini){.text = copy, .length = length, .name = name};
    if (take_lines(ini, err) < 0) {
        ini_free(ini);
        return NULL;
    }
    ini->name = NULL; /* the caller's */
    return ini;
}

void ini_free(struct ini *ini)
{
    if (ini == NULL) {
        return;
    }
    explicit_bzero(ini->text, ini->length);
    free(ini->text);
    free(ini->entries);
    free(ini);
}

const char *ini_get(const struct ini *ini, const char *section, const char *key)
{
    for (size_t i = 0; ini != NULL && i < ini->count; i++) {
        const struct entry *entry = &ini->entries[i];
        if (entry->key != NULL && strcmp(entry->key, key) == 0 &&
            strcmp(entry->section, section) == 0) {
            return entry->value;
        }
    }
    return NULL;
}

bool ini_has_section(const struct ini *ini, const char *section)
{
    for (size_t i = 0; ini != NULL && i < ini->count; i++) {
        if (strcmp(ini->entries[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

bool ini_nested(const char *value, const char *key, char *out, size_t size)
{
    size_t key_length = strlen(key);
    while (value != NULL && *value != '\0') {
        size_t length = strcspn(value, "\n");
        const char *equals = memchr(value, '=', length);
        size_t name = equals == NULL ? 0 : (size_t)(equals - value);
        while (name > 0 && is_blank(value[name - 1])) {
            name--;
        }
        if (equals != NULL && name == key_length && strncasecmp(value, key, name) == 0) {
            const char *start = equals + 1;
            while (is_blank(*start)) {
                start++;
            }
            size_t left = length - (size_t)(start - value);
            return (size_t)snprintf(out, size, "%.*s", (int)left, start) < size;
        }
        value += length + (value[length] == '\n');
    }
    return false;
}
