/* SPDX-License-Identifier: MIT */
#include "driver/backend/log_lines.h"

#include <limits.h>
#include <string.h>

#include "common/escape.h"
#include "common/log.h"

#define LINE_BYTES 4096 /* longer lines are broken */

void log_lines_print(FILE *out, const char *text, size_t length)
{
    char line[LINE_BYTES * ESCAPE_WORST + 1];
    while (length > 0) {
        size_t room = length < LINE_BYTES ? length : LINE_BYTES;
        const char *end = memchr(text, '\n', room);
        size_t take = end != NULL ? (size_t)(end - text) : room;
        (void)escape(line, sizeof(line), text, take, ESCAPE_TEXT);
        (void)fprintf(out, "%s\n", line);
        take += end != NULL ? 1 : 0;
        text += take;
        length -= take;
    }
}

void log_lines_warn(char *text)
{
    char *start = text == NULL ? NULL : text + strlen(text);
    int lines = 0;
    while (start > text && (start[-1] != '\n' || lines++ < LOG_LINES_TAIL)) {
        start--;
    }
    for (char *line = start; line != NULL && *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        char *next = *end == '\0' ? end : end + 1;
        *end = '\0';
        log_warn("  %s", line);
        line = next;
    }
}
