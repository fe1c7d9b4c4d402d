/* SPDX-License-Identifier: MIT */
#include "driver/config/toml/datetime.h"

#include <string.h>

#define NANOSECOND_DIGITS 9

struct moment {
    const char *at, *end;
};

/* A field of fixed width, and what has to follow it. */
struct field {
    int digits;
    int minimum, maximum;
    const char *after; /* any one of these bytes, or NULL for nothing */
    const char *mistake;
    size_t offset; /* in struct toml_datetime */
};

#define FIELD(name) offsetof(struct toml_datetime, name)

static const struct field date_fields[] = {
    {4, 0, 9999, "-", "the year must be 0000 to 9999", FIELD(year)},
    {2, 1, 12, "-", "the month must be 01 to 12", FIELD(month)},
    {2, 1, 31, NULL, "the day must be 01 to 31", FIELD(day)},
};
/* 60 is a leap second (RFC 3339 section 5.7). */
static const struct field time_fields[] = {
    {2, 0, 23, ":", "the hour must be 00 to 23", FIELD(hour)},
    {2, 0, 59, ":", "the minute must be 00 to 59, then seconds", FIELD(minute)},
    {2, 0, 60, NULL, "the second must be 00 to 60", FIELD(second)},
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool starts_with_digits(const char *bytes, size_t length, size_t count, char then)
{
    for (size_t i = 0; i < count; i++) {
        if (i >= length || !is_digit(bytes[i])) {
            return false;
        }
    }
    return length > count && bytes[count] == then;
}

bool toml_looks_like_date(const char *bytes, size_t length)
{
    return starts_with_digits(bytes, length, 4, '-');
}

bool toml_looks_like_time(const char *bytes, size_t length)
{
    return starts_with_digits(bytes, length, 2, ':');
}

static bool take_any(struct moment *moment, const char *bytes)
{
    if (moment->at == moment->end || strchr(bytes, *moment->at) == NULL) {
        return false;
    }
    moment->at++;
    return true;
}

static bool take_number(struct moment *moment, int digits, int *out_number)
{
    int number = 0;
    for (int i = 0; i < digits; i++) {
        if (moment->at == moment->end || !is_digit(*moment->at)) {
            return false;
        }
        number = number * 10 + (*moment->at++ - '0');
    }
    *out_number = number;
    return true;
}

/* Returns NULL or what is wrong; moment->at is then where. */
static const char *take_field(struct moment *moment, const struct field *field,
                              struct toml_datetime *datetime)
{
    const char *first = moment->at;
    int number = 0;
    if (!take_number(moment, field->digits, &number) || number < field->minimum ||
        number > field->maximum) {
        moment->at = first;
        return field->mistake;
    }
    if (field->after != NULL && !take_any(moment, field->after)) {
        return field->mistake;
    }
    memcpy((char *)datetime + field->offset, &number, sizeof(number));
    return NULL;
}

static const char *take_fields(struct moment *moment, const struct field *fields, size_t count,
                               struct toml_datetime *datetime)
{
    const char *mistake = NULL;
    for (size_t i = 0; i < count && mistake == NULL; i++) {
        mistake = take_field(moment, &fields[i], datetime);
    }
    return mistake;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static const char *take_date(struct moment *moment, struct toml_datetime *datetime)
{
    const char *mistake = take_fields(moment, date_fields, 3, datetime);
    if (mistake == NULL && datetime->day > days_in_month(datetime->year, datetime->month)) {
        moment->at -= 2;
        mistake = "the month has no such day";
    }
    return mistake;
}

static const char *take_fraction(struct moment *moment, struct toml_datetime *datetime)
{
    if (!take_any(moment, ".")) {
        return NULL;
    }
    int digits = 0;
    int nanosecond = 0;
    for (; moment->at < moment->end && is_digit(*moment->at); moment->at++) {
        if (digits < NANOSECOND_DIGITS) {
            nanosecond = nanosecond * 10 + (*moment->at - '0');
            digits++;
        }
    }
    if (digits == 0) {
        return "digits must follow the point";
    }
    for (; digits < NANOSECOND_DIGITS; digits++) {
        nanosecond *= 10;
    }
    datetime->nanosecond = nanosecond;
    return NULL;
}

static const char *take_time(struct moment *moment, struct toml_datetime *datetime)
{
    const char *mistake = take_fields(moment, time_fields, 3, datetime);
    return mistake != NULL ? mistake : take_fraction(moment, datetime);
}

static const char *take_offset(struct moment *moment, struct toml_datetime *datetime)
{
    if (take_any(moment, "Zz")) {
        return NULL;
    }
    int sign = *moment->at == '-' ? -1 : 1;
    int hours = 0;
    int minutes = 0;
    const char *first = moment->at;
    bool complete = take_any(moment, "+-") && take_number(moment, 2, &hours) &&
                    take_any(moment, ":") && take_number(moment, 2, &minutes);
    if (!complete || hours > 23 || minutes > 59) {
        moment->at = first;
        return "the offset must be Z or +HH:MM or -HH:MM";
    }
    datetime->offset_minutes = sign * (hours * 60 + minutes);
    return NULL;
}

static const char *take_all(struct moment *moment, struct toml_value *value)
{
    struct toml_datetime *datetime = &value->datetime;
    if (toml_looks_like_time(moment->at, (size_t)(moment->end - moment->at))) {
        value->type = TOML_LOCAL_TIME;
        return take_time(moment, datetime);
    }
    value->type = TOML_LOCAL_DATE;
    const char *mistake = take_date(moment, datetime);
    if (mistake != NULL || !take_any(moment, "Tt ")) {
        return mistake;
    }
    value->type = TOML_LOCAL_DATETIME;
    mistake = take_time(moment, datetime);
    if (mistake != NULL || moment->at == moment->end) {
        return mistake;
    }
    value->type = TOML_OFFSET_DATETIME;
    return take_offset(moment, datetime);
}

int toml_read_datetime(struct toml_scan *scan, const struct toml_text *token,
                       struct toml_value *value)
{
    struct moment moment = {token->bytes, token->bytes + token->length};
    memset(&value->datetime, 0, sizeof(value->datetime));
    const char *mistake = take_all(&moment, value);
    if (mistake == NULL && moment.at != moment.end) {
        mistake = "more text than a date or time has";
    }
    return mistake == NULL ? 0 : toml_fail(scan, moment.at, "%s", mistake);
}
