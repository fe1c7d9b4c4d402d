/* SPDX-License-Identifier: MIT */
#include "driver/aws/words.h"

#include <stdbool.h>
#include <string.h>

/* Copies one word from *at to *out, without its quotes. -1: a quote or backslash without end. */
static int take_word(const char **at, char **out)
{
    char quote = '\0';
    for (; **at != '\0'; (*at)++) {
        char byte = **at;
        bool escapes = byte == '\\' && quote != '\'';
        if (escapes && quote == '"' && strchr("\"\\", (*at)[1]) == NULL) {
            escapes = false; /* inside double quotes only these two can be escaped */
        }
        if (escapes) {
            if ((*at)[1] == '\0') {
                return -1;
            }
            *(*out)++ = *++(*at);
        } else if (quote == '\0' && (byte == '\'' || byte == '"')) {
            quote = byte;
        } else if (byte == quote) {
            quote = '\0';
        } else if (quote == '\0' && strchr(" \t\r\n", byte) != NULL) {
            break;
        } else {
            *(*out)++ = byte;
        }
    }
    *(*out)++ = '\0';
    return quote == '\0' ? 0 : -1;
}

int aws_words_split(const char *command, struct aws_words *words)
{
    words->count = 0;
    char *out = words->text;
    /* Every word takes one byte more than it had, at most for the last, which has no blank. */
    if (strlen(command) + 1 >= sizeof(words->text)) {
        return -1;
    }
    for (const char *at = command + strspn(command, " \t\r\n"); *at != '\0';
         at += strspn(at, " \t\r\n")) {
        if (words->count == AWS_WORD_CEILING) {
            return -1;
        }
        words->word[words->count++] = out;
        if (take_word(&at, &out) < 0) {
            return -1;
        }
    }
    words->word[words->count] = NULL;
    return words->count == 0 ? -1 : 0;
}
