/* SPDX-License-Identifier: MIT */
#include "driver/aws/ini.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

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
    size_t indent;  /* of the last line that began a section or a key, in characters */
    bool continues; /* a line that is indented more belongs to the last key */
};

/* Bytes of the blank character at 'text', as Python's str.strip() has them; 0: it is none. */
static size_t blank_length(const char *text)
{
    static const char *const wide[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };
    unsigned char byte = (unsigned char)text[0];
    if (byte < 0x80) {
        return byte == ' ' || (byte >= 0x09 && byte <= 0x0d) || (byte >= 0x1c && byte <= 0x1f);
    }
    if (byte == 0xe2 && strncmp(text, "\xe2\x80", 2) == 0 && (unsigned char)text[2] >= 0x80 &&
        (unsigned char)text[2] <= 0x8a) {
        return 3;
    }
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        if (strncmp(text, wide[i], strlen(wide[i])) == 0) {
            return strlen(wide[i]);
        }
    }
    return 0;
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
    size_t length;
    while ((length = blank_length(text)) > 0) {
        text += length;
    }
    char *end = text;
    for (char *at = text; *at != '\0'; at += length > 0 ? length : 1) {
        length = blank_length(at);
        end = length > 0 ? end : at + 1;
    }
    *end = '\0';
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

static bool is_defaults(const char *section)
{
    return strcmp(section, "DEFAULT") == 0;
}

/* Text after the last bracket is ignored; blanks inside are kept. */
static int take_section(struct ini *ini, char *line, char *end, struct error *err)
{
    *end = '\0';
    ini->section = line + 1;
    ini->continues = false;
    if (is_defaults(ini->section)) {
        return 0;
    }
    return ini_has_section(ini, ini->section)
               ? complain(ini, "a section that the file has already", err)
               : add_entry(ini, NULL, NULL, err);
}

/* The lines lie one behind the other in the text, so that joining them means to move the second. */
static void continue_value(struct ini *ini, const char *added)
{
    char *value = ini->entries[ini->count - 1].value;
    char *end = value + strlen(value);
    *end++ = '\n';
    memmove(end, added, strlen(added) + 1);
}

static bool has_key(const struct ini *ini, const char *section, const char *key)
{
    for (size_t i = 0; i < ini->count; i++) {
        const struct entry *entry = &ini->entries[i];
        if (entry->key != NULL && strcmp(entry->key, key) == 0 &&
            strcmp(entry->section, section) == 0) {
            return true;
        }
    }
    return false;
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
    if (has_key(ini, ini->section, key)) {
        return complain(ini, "a key that this section has already", err);
    }
    ini->continues = true;
    return add_entry(ini, key, trim(delimiter + 1), err);
}

static int take_line(struct ini *ini, char *line, struct error *err)
{
    size_t indent = 0;
    for (size_t length; (length = blank_length(line)) > 0; line += length) {
        indent++;
    }
    char *text = trim(line);
    if (text[0] == '#' || text[0] == ';') {
        return 0;
    }
    if (text[0] == '\0' || (ini->continues && indent > ini->indent)) {
        if (ini->continues) {
            continue_value(ini, text);
        }
        return 0;
    }
    ini->indent = indent;
    char *end = text[0] == '[' ? strrchr(text, ']') : NULL;
    return end != NULL && end > text + 1 ? take_section(ini, text, end, err)
                                         : take_key(ini, text, err);
}

/* A value that begins with a line break is settings of its own: each of its lines is one. */
static int check_nested(const struct ini *ini, struct error *err)
{
    for (size_t i = 0; i < ini->count; i++) {
        const char *line = ini->entries[i].value;
        if (line == NULL || line[0] != '\n') {
            continue;
        }
        for (line += strspn(line, "\n"); *line != '\0'; line += strspn(line, "\n")) {
            size_t length = strcspn(line, "\n");
            if (memchr(line, '=', length) == NULL) {
                return error_set(err, ERROR_USAGE, 0,
                                 "%s: '%s' of [%s] has an indented line that is not 'key = value'",
                                 ini->name, ini->entries[i].key, ini->entries[i].section);
            }
            line += length;
        }
    }
    return 0;
}

static bool is_utf8(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0, run = 0; i < length; i += run) {
        run = utf8_length(bytes + i, length - i);
        if (run == 0) {
            return false;
        }
    }
    return true;
}

static int take_lines(struct ini *ini, struct error *err)
{
    char *line = ini->text;
    char *end = ini->text + ini->length;
    if (memchr(ini->text, '\0', ini->length) != NULL || !is_utf8(ini->text, ini->length)) {
        return error_set(err, ERROR_USAGE, 0, "%s: not a text file in UTF-8", ini->name);
    }
    while (line < end) {
        char *next = line + strcspn(line, "\r\n");
        char *after = next + (next[0] == '\r' && next[1] == '\n' ? 2 : 1);
        *next = '\0';
        ini->line++;
        if (take_line(ini, line, err) < 0) {
            return -1;
        }
        line = after;
    }
    for (size_t i = 0; i < ini->count; i++) {
        char *value = ini->entries[i].value;
        size_t length = value == NULL ? 0 : strlen(value);
        while (length > 0 && value[length - 1] == '\n') {
            value[--length] = '\0';
        }
    }
    return check_nested(ini, err);
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
    const char *found = NULL;
    if (!ini_has_section(ini, section)) {
        return NULL;
    }
    for (size_t i = 0; i < ini->count; i++) {
        const struct entry *entry = &ini->entries[i];
        if (entry->key == NULL || strcmp(entry->key, key) != 0) {
            continue;
        }
        if (strcmp(entry->section, section) == 0) {
            return entry->value;
        }
        found = is_defaults(entry->section) ? entry->value : found;
    }
    return found;
}

bool ini_has_section(const struct ini *ini, const char *section)
{
    const char *found;
    for (size_t i = 0; (found = ini_section(ini, i)) != NULL; i++) {
        if (strcmp(found, section) == 0) {
            return true;
        }
    }
    return false;
}

const char *ini_section(const struct ini *ini, size_t index)
{
    for (size_t i = 0; ini != NULL && i < ini->count; i++) {
        if (ini->entries[i].key == NULL && index-- == 0) {
            return ini->entries[i].section;
        }
    }
    return NULL;
}

bool ini_nested(const char *value, const char *key, char *out, size_t size)
{
    bool found = false;
    size_t key_length = strlen(key);
    if (value == NULL || value[0] != '\n') {
        return false;
    }
    for (value += strspn(value, "\n"); *value != '\0'; value += strspn(value, "\n")) {
        size_t length = strcspn(value, "\n");
        size_t name = strcspn(value, "=");
        size_t start = name + 1;
        while (name > 0 && blank_length(value + name - 1) == 1) {
            name--;
        }
        while (start < length && blank_length(value + start) > 0) {
            start += blank_length(value + start);
        }
        if (name == key_length && strncmp(value, key, name) == 0) {
            found =
                (size_t)snprintf(out, size, "%.*s", (int)(length - start), value + start) < size;
        }
        value += length;
    }
    return found;
}
