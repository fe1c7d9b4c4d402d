/* SPDX-License-Identifier: MIT */
#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, enum error_kind kind, int errnum, const char *format, ...)
{
    if (err == NULL) {
        return -1;
    }
    char message[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (errnum != 0 && length >= 0 && (size_t)length < sizeof(message)) {
        (void)snprintf(message + length, sizeof(message) - (size_t)length, ": %s",
                       strerror(errnum));
    }
    err->kind = kind;
    err->errnum = errnum;
    memcpy(err->message, message, sizeof(message));
    err->hint[0] = '\0';
    return -1;
}

int error_hint(struct error *err, const char *format, ...)
{
    if (err == NULL) {
        return -1;
    }
    char hint[ERROR_HINT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(hint, sizeof(hint), format, arguments);
    va_end(arguments);
    memcpy(err->hint, hint, sizeof(hint));
    return -1;
}

int error_wrap(struct error *err, const char *format, ...)
{
    if (err == NULL) {
        return -1;
    }
    char message[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof(message)) {
        size_t room = sizeof(message) - (size_t)length;
        size_t copied = (size_t)snprintf(message + length, room, ": ");
        if (copied < room) {
            size_t old = strnlen(err->message, sizeof(err->message) - 1);
            size_t fits = old < room - copied - 1 ? old : room - copied - 1;
            memcpy(message + (size_t)length + copied, err->message, fits);
            message[(size_t)length + copied + fits] = '\0';
        }
    }
    memcpy(err->message, message, sizeof(message));
    return -1;
}

const char *error_text(const struct error *err, char out[ERROR_TEXT_BYTES])
{
    (void)snprintf(out, ERROR_TEXT_BYTES, "%s%s%s", err->message, err->hint[0] != '\0' ? "; " : "",
                   err->hint);
    return out;
}
