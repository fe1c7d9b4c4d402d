/* SPDX-License-Identifier: MIT */
#include "driver/base/time_text.h"

#include <string.h>
#include <time.h>

#define NANOSECOND_DIGITS 9

/* Reads "+hh:mm", "+hhmm" or "Z" as seconds east of Greenwich. */
static int parse_zone(const char *text, int64_t *out_s)
{
    int sign = text[0] == '-' ? -1 : 1;
    int digits[4];
    size_t count = 0;
    if (strcmp(text, "Z") == 0) {
        *out_s = 0;
        return 0;
    }
    if (text[0] != '+' && text[0] != '-') {
        return -1;
    }
    for (const char *at = text + 1; *at != '\0'; at++) {
        if (*at == ':' && count == 2) {
            continue;
        }
        if (*at < '0' || *at > '9' || count == 4) {
            return -1;
        }
        digits[count++] = *at - '0';
    }
    if (count != 4) {
        return -1;
    }
    int minutes = (digits[0] * 10 + digits[1]) * 60 + digits[2] * 10 + digits[3];
    *out_s = sign * minutes * 60LL;
    return 0;
}

int time_text_parse(const char *text, struct timespec *out)
{
    struct tm parts = {0};
    int64_t zone_s = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (rest == NULL) {
        return -1;
    }
    long nanoseconds = 0;
    if (*rest == '.') {
        size_t count = strspn(rest + 1, "0123456789");
        for (size_t i = 0; i < NANOSECOND_DIGITS; i++) {
            nanoseconds = nanoseconds * 10 + (i < count ? rest[1 + i] - '0' : 0);
        }
        rest += 1 + count;
    }
    if (parse_zone(rest, &zone_s) < 0) {
        return -1;
    }
    *out = (struct timespec){.tv_sec = timegm(&parts) - zone_s, .tv_nsec = nanoseconds};
    return 0;
}

int time_text_parse_ms(const char *text, int64_t *out_ms)
{
    struct timespec time;
    if (time_text_parse(text, &time) < 0) {
        return -1;
    }
    *out_ms = (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
    return 0;
}

int time_text_parse_s(const char *text, int64_t *out_s)
{
    struct timespec time;
    if (time_text_parse(text, &time) < 0) {
        return -1;
    }
    *out_s = time.tv_sec;
    return 0;
}
