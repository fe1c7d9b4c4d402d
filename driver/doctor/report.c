/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "driver/doctor/doctor.h"

#define LINE_BYTES 2048

static const struct {
    const char *word, *colour;
} findings[DOCTOR_FINDINGS] = {
    [DOCTOR_FINE] = {"ok  ", "32"},
    [DOCTOR_ODD] = {"warn", "33"},
    [DOCTOR_WRONG] = {"FAIL", "31"},
    [DOCTOR_UNKNOWN] = {"skip", "2"},
};

/* Texts come from AWS, too: nothing of them may reach the terminal as a control character. */
static void clean(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = '?';
        }
    }
}

void doctor_part(const char *name)
{
    (void)printf("%s\n", name);
}

void doctor_tell(struct doctor *doctor, enum doctor_finding finding, const char *remedy,
                 const char *format, ...)
{
    char line[LINE_BYTES];
    char advice[LINE_BYTES] = "";
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    clean(line);
    (void)printf(doctor->colour ? "  \033[%s;1m%s\033[0m  %s\n" : "  %.0s%s  %s\n",
                 findings[finding].colour, findings[finding].word, line);
    if (remedy != NULL) {
        (void)snprintf(advice, sizeof(advice), "%s", remedy);
        clean(advice);
        (void)printf("        -> %s\n", advice);
    }
    (void)fflush(stdout); /* some checks take seconds */
    doctor->counts[finding]++;
}

void doctor_tell_error(struct doctor *doctor, const struct error *err, const char *remedy)
{
    char text[ERROR_MESSAGE_BYTES];
    (void)snprintf(text, sizeof(text), "%s", err->message);
    char *advice = remedy == NULL ? strstr(text, "; ") : NULL;
    if (advice != NULL) {
        *advice = '\0';
        remedy = advice + 2;
    }
    doctor_tell(doctor, DOCTOR_WRONG, remedy, "%s", text);
}

void doctor_tell_sum(const struct doctor *doctor)
{
    int odd = doctor->counts[DOCTOR_ODD];
    int wrong = doctor->counts[DOCTOR_WRONG];
    (void)printf("%d ok, %d warning%s, %d failure%s, %d not checked\n", doctor->counts[DOCTOR_FINE],
                 odd, odd == 1 ? "" : "s", wrong, wrong == 1 ? "" : "s",
                 doctor->counts[DOCTOR_UNKNOWN]);
}
