/* SPDX-License-Identifier: MIT */
/*
 * zone-probe - driver/schedule for the black-box tests: a request on each line of standard input,
 * the answer on a line of standard output.
 *
 *   offset TIME ZONE        the zone's offset at that time
 *   wanted TIME SCHEDULE    1 while the schedule lasts, else 0
 *
 * The argument is the directory of the zones. An error is printed as "error: MESSAGE; HINT".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/schedule/schedule.h"

#define LINE_BYTES 512

static int answer_offset(const char *directory, const char *name, int64_t time_s, struct error *err)
{
    struct zone *zone = NULL;
    int64_t until_s = 0;
    if (zone_load(directory, name, &zone, err) < 0) {
        return -1;
    }
    (void)printf("%d\n", zone_offset(zone, time_s, &until_s));
    zone_free(zone);
    return 0;
}

static int answer_wanted(const char *directory, const char *text, int64_t time_s, struct error *err)
{
    struct schedule schedule = {.count = 0};
    int result = schedule_add(&schedule, text, 1, err);
    if (result == 0) {
        result = schedule_load(&schedule, directory, err);
    }
    if (result == 0) {
        (void)printf("%lld\n", (long long)schedule_wanted(&schedule, time_s, 0));
    }
    schedule_done(&schedule);
    return result;
}

int main(int argc, char **argv)
{
    char line[LINE_BYTES];
    const char *directory = argc > 1 ? argv[1] : NULL;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct error err = {0};
        char text[ERROR_TEXT_BYTES];
        char *rest = NULL;
        line[strcspn(line, "\n")] = '\0';
        bool offset = strncmp(line, "offset ", 7) == 0;
        int64_t time_s = strtoll(line + 7, &rest, 10);
        rest += *rest == ' ' ? 1 : 0;
        if ((offset ? answer_offset : answer_wanted)(directory, rest, time_s, &err) < 0) {
            (void)printf("error: %s\n", error_text(&err, text));
        }
    }
    return 0;
}
