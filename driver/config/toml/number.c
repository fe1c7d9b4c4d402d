/* SPDX-License-Identifier: MIT */
#include "driver/config/toml/number.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The rest of the token, while its digits are copied without underscores. */
struct number {
    const char *at, *end;
    char *clean;
};

struct radix {
    char letter;
    int base;
    const char *digits;
};

static const struct radix decimal = {'\0', 10, "0123456789"};
static const struct radix prefixed[] = {
    {'x', 16, "0123456789abcdefABCDEF"},
    {'o', 8, "01234567"},
    {'b', 2, "01"},
};

static int peek(const struct number *number)
{
    return number->at < number->end ? (unsigned char)*number->at : TOML_SCAN_END;
}

static bool take_any(struct number *number, const char *bytes)
{
    if (number->at == number->end || strchr(bytes, *number->at) == NULL) {
        return false;
    }
    *number->clean++ = *number->at++;
    return true;
}

/* Digits, with single underscores between two of them. Returns how many; 0: not valid. */
static size_t take_digits(struct number *number, const char *digits)
{
    size_t count = 0;
    while (take_any(number, digits)) {
        count++;
        if (peek(number) == '_') {
            number->at++;
            if (number->at == number->end || strchr(digits, *number->at) == NULL) {
                return 0;
            }
        }
    }
    return count;
}

static int fail_number(struct toml_scan *scan, const struct toml_text *token, const char *why)
{
    int shown = token->length > 40 ? 40 : (int)token->length;
    return toml_fail(scan, token->bytes, "'%.*s' %s", shown, token->bytes, why);
}

static int set_integer(struct toml_scan *scan, const struct toml_text *token, const char *clean,
                       int base, struct toml_value *value)
{
    errno = 0;
    long long integer = strtoll(clean, NULL, base);
    if (errno != 0) {
        return fail_number(scan, token, "is out of range; integers have 64 bits");
    }
    value->type = TOML_INTEGER;
    value->integer = integer;
    return 0;
}

/* The clean copy uses the memory of the next decoded string: there is room for the whole document,
 * and the copy is not kept. */
static int read_prefixed(struct toml_scan *scan, const struct toml_text *token,
                         const struct radix *radix, struct toml_value *value)
{
    struct number number = {token->bytes + 2, token->bytes + token->length, scan->text};
    if (take_digits(&number, radix->digits) == 0 || number.at != number.end) {
        return fail_number(scan, token, "is not a valid number of that base");
    }
    *number.clean = '\0';
    return set_integer(scan, token, scan->text, radix->base, value);
}

/* Berth never calls setlocale(), so strtod() expects a point. */
static int set_float(struct toml_scan *scan, const struct toml_text *token, const char *clean,
                     struct toml_value *value)
{
    double number = strtod(clean, NULL);
    if (isinf(number)) {
        return fail_number(scan, token, "is out of range; floats have 64 bits");
    }
    value->type = TOML_FLOAT;
    value->number = number;
    return 0;
}

static bool take_fraction(struct number *number)
{
    return !take_any(number, ".") || take_digits(number, decimal.digits) > 0;
}

static bool take_exponent(struct number *number)
{
    if (!take_any(number, "eE")) {
        return true;
    }
    (void)take_any(number, "+-");
    return take_digits(number, decimal.digits) > 0;
}

static int read_decimal(struct toml_scan *scan, const struct toml_text *token,
                        struct toml_value *value)
{
    struct number number = {token->bytes, token->bytes + token->length, scan->text};
    (void)take_any(&number, "+-");
    bool zero_first = peek(&number) == '0';
    const char *first = number.at;
    if (take_digits(&number, decimal.digits) == 0) {
        return fail_number(scan, token, "is not a valid value; text needs quotes");
    }
    if (zero_first && number.at - first > 1) {
        return fail_number(scan, token, "starts with a zero; decimal numbers may not");
    }
    bool integer = number.at == number.end;
    if (!take_fraction(&number) || !take_exponent(&number) || number.at != number.end) {
        return fail_number(scan, token, "is not a valid number");
    }
    *number.clean = '\0';
    return integer ? set_integer(scan, token, scan->text, decimal.base, value)
                   : set_float(scan, token, scan->text, value);
}

/* "inf" and "nan", with or without a sign. */
static bool read_special(const struct toml_text *token, struct toml_value *value)
{
    bool sign = token->bytes[0] == '+' || token->bytes[0] == '-';
    const char *word = token->bytes + (sign ? 1 : 0);
    if (token->length - (sign ? 1 : 0) != 3) {
        return false;
    }
    bool infinite = memcmp(word, "inf", 3) == 0;
    if (!infinite && memcmp(word, "nan", 3) != 0) {
        return false;
    }
    value->type = TOML_FLOAT;
    value->number = copysign(infinite ? INFINITY : NAN, token->bytes[0] == '-' ? -1.0 : 1.0);
    return true;
}

int toml_read_number(struct toml_scan *scan, const struct toml_text *token,
                     struct toml_value *value)
{
    if (read_special(token, value)) {
        return 0;
    }
    if (token->length > 1 && token->bytes[0] == '0') {
        for (size_t i = 0; i < sizeof(prefixed) / sizeof(prefixed[0]); i++) {
            if (token->bytes[1] == prefixed[i].letter) {
                return read_prefixed(scan, token, &prefixed[i], value);
            }
        }
    }
    return read_decimal(scan, token, value);
}
