/* SPDX-License-Identifier: MIT */
#include "driver/shell_words.h"

/* One word for a POSIX shell: 'it'\''s'. */
int shell_words_quote(struct buffer *command, const char *word)
{
    if (buffer_append_text(command, "'") < 0) {
        return -1;
    }
    for (const char *at = word; *at != '\0'; at++) {
        int result =
            *at == '\'' ? buffer_append_text(command, "'\\''") : buffer_append(command, at, 1);
        if (result < 0) {
            return -1;
        }
    }
    return buffer_append_text(command, "'");
}

/* One word is shell text, as in "sh -c"; several are a program and its arguments. */
int shell_words_join(struct buffer *command, int argc, char *const argv[], struct error *err)
{
    int result = argc == 1 ? buffer_append_text(command, argv[0]) : 0;
    for (int i = 0; argc > 1 && i < argc && result == 0; i++) {
        if (i > 0) {
            result = buffer_append_text(command, " ");
        }
        result = result == 0 ? shell_words_quote(command, argv[i]) : -1;
    }
    return result == 0 ? 0
                       : error_set(err, ERROR_USAGE, 0, "the command is longer than %d bytes",
                                   SHELL_WORDS_CEILING_BYTES);
}
