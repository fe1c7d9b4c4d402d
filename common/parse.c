/* SPDX-License-Identifier: MIT */
#include "common/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* Parses the digits at the start of 'text'; 'out_rest' is what follows. */
static bool leading_number(const char *text, int64_t *out_value, const char **out_rest)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    *out_value = value;
    *out_rest = end;
    return true;
}

int parse_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *out_value)
{
    bool negative = text[0] == '-';
    int64_t value = 0;
    const char *rest = NULL;
    if (!leading_number(text + (negative ? 1 : 0), &value, &rest) || *rest != '\0') {
        return -1;
    }
    value = negative ? -value : value;
    if (value < minimum || value > maximum) {
        return -1;
    }
    *out_value = value;
    return 0;
}

static int number_with_unit(const char *text, const struct unit *units, size_t count,
                            int64_t *out_value)
{
    int64_t value = 0;
    const char *rest = NULL;
    if (!leading_number(text, &value, &rest)) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(rest, units[i].name) != 0) {
            continue;
        }
        if (value > INT64_MAX / 2 / units[i].factor) {
            return -1;
        }
        *out_value = value * units[i].factor;
        return 0;
    }
    return -1;
}

int parse_duration_ms(const char *text, int64_t *out_ms)
{
    static const struct unit units[] = {
        {"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    return number_with_unit(text, units, sizeof(units) / sizeof(units[0]), out_ms);
}

int parse_size_bytes(const char *text, int64_t *out_bytes)
{
    static const struct unit units[] = {
        {"", 1},           {"b", 1},         {"k", 1L << 10},   {"kb", 1L << 10},
        {"kib", 1L << 10}, {"m", 1L << 20},  {"mb", 1L << 20},  {"mib", 1L << 20},
        {"g", 1L << 30},   {"gb", 1L << 30}, {"gib", 1L << 30},
    };
    return number_with_unit(text, units, sizeof(units) / sizeof(units[0]), out_bytes);
}

void duration_text(int64_t ms, char out[PARSE_TEXT_BYTES])
{
    int64_t unit = ms != 0 && ms % 3600000 == 0 ? 3600000 : ms % 1000 == 0 ? 1000 : 1;
    (void)snprintf(out, PARSE_TEXT_BYTES, "%lld%s", (long long)(ms / unit),
                   unit == 3600000 ? "h"
                   : unit == 1000  ? "s"
                                   : "ms");
}

void size_text(int64_t bytes, char out[PARSE_TEXT_BYTES])
{
    bool mebibytes = bytes != 0 && bytes % (1L << 20) == 0;
    (void)snprintf(out, PARSE_TEXT_BYTES, "%lld%s", (long long)(mebibytes ? bytes >> 20 : bytes),
                   mebibytes ? "MiB" : " bytes");
}
