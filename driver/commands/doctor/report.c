/* SPDX-License-Identifier: MIT */
#include "driver/commands/doctor/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/options.h"
#include "driver/base/json.h"

#define LINE_BYTES  2048
#define TEXT_COLUMN 8 /* of a finding */
#define ARROW       "-> "
#define WIDTH_LEAST 40

static const struct {
    const char *word, *colour;
} findings[DOCTOR_FINDINGS] = {
    [DOCTOR_OK] = {"ok  ", "32"},
    [DOCTOR_WARN] = {"warn", "33"},
    [DOCTOR_FAIL] = {"FAIL", "31"},
    [DOCTOR_UNKNOWN] = {"skip", "2"},
};

/* For JSON; the others are the words of the report without blanks. */
static const char *const finding_names[DOCTOR_FINDINGS] = {
    [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "fail", [DOCTOR_UNKNOWN] = "skip"};

void doctor_print_heading(struct doctor *doctor, const char *name)
{
    doctor->section = name;
    if (!doctor->json) {
        (void)printf("%s\n", name);
    }
}

static void print_finding(const struct doctor *doctor, enum doctor_finding finding,
                          const char *text, const char *remedy)
{
    char escaped[LINE_BYTES * ESCAPE_WORST];
    bool ok = true;
    cJSON *root = cJSON_CreateObject();
    json_text(root, "section", doctor->section == NULL ? "" : doctor->section, &ok);
    json_text(root, "finding", finding_names[finding], &ok);
    json_text(root, "text", text, &ok);
    if (remedy != NULL) {
        (void)escape(escaped, sizeof(escaped), remedy, strlen(remedy), ESCAPE_TEXT);
        json_text(root, "remedy", escaped, &ok);
    }
    (void)json_print_object(stdout, root, ok);
}

/* One line, which a terminal gets in several that fit. */
static void print_text(const struct doctor *doctor, int column, const char *text)
{
    if (doctor->width < WIDTH_LEAST) {
        (void)printf("%s\n", text);
    } else {
        options_wrap_text(stdout, doctor->width, column, column, text);
    }
}

void doctor_report(struct doctor *doctor, enum doctor_finding finding, const char *remedy,
                   const char *format, ...)
{
    char text[LINE_BYTES];
    char line[LINE_BYTES * ESCAPE_WORST];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)escape(line, sizeof(line), text, strlen(text), ESCAPE_TEXT);
    if (doctor->json) {
        print_finding(doctor, finding, line, remedy);
        (void)fflush(stdout);
        doctor->counts[finding]++;
        return;
    }
    (void)printf(doctor->colour ? "  \033[%s;1m%s\033[0m  " : "  %.0s%s  ",
                 findings[finding].colour, findings[finding].word);
    print_text(doctor, TEXT_COLUMN, line);
    if (remedy != NULL) {
        (void)escape(line, sizeof(line), remedy, strlen(remedy), ESCAPE_TEXT);
        (void)printf("%*s" ARROW, TEXT_COLUMN, "");
        print_text(doctor, TEXT_COLUMN + (int)strlen(ARROW), line);
    }
    (void)fflush(stdout); /* some checks take seconds */
    doctor->counts[finding]++;
}

void doctor_report_error(struct doctor *doctor, const struct error *err, const char *remedy)
{
    if (remedy == NULL && err->hint[0] != '\0') {
        remedy = err->hint;
    }
    doctor_report(doctor, DOCTOR_FAIL, remedy, "%s", err->message);
}

void doctor_print_summary(const struct doctor *doctor)
{
    int odd = doctor->counts[DOCTOR_WARN];
    int wrong = doctor->counts[DOCTOR_FAIL];
    if (doctor->json) {
        bool ok = true;
        cJSON *root = cJSON_CreateObject();
        cJSON *summary = json_object(root, "summary", &ok);
        for (size_t i = 0; i < DOCTOR_FINDINGS; i++) {
            json_number(summary, finding_names[i], doctor->counts[i], &ok);
        }
        (void)json_print_object(stdout, root, ok);
        return;
    }
    (void)printf("%d ok, %d warning%s, %d failure%s, %d not checked\n", doctor->counts[DOCTOR_OK],
                 odd, odd == 1 ? "" : "s", wrong, wrong == 1 ? "" : "s",
                 doctor->counts[DOCTOR_UNKNOWN]);
}
