/* SPDX-License-Identifier: MIT */
#include "driver/runner/notice.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/escape.h"

#define TEXT_BYTES 2048

void notice_print(const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length >= 0) {
        escape_print(stdout, NOTICE_PREFIX ": %s\n", text);
        (void)fflush(stdout);
    }
}
