/* SPDX-License-Identifier: MIT */
#include "driver/remote/shell_quote.h"

/* One word for a POSIX shell: 'it'\''s'. */
int shell_quote_word(struct buffer *command, const char *word)
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

/* Bytes that are special between single quotes in some shell, or are not ASCII, are written as
 * octal escapes for "printf %b". */
static int encode(struct buffer *command, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        bool plain = byte >= ' ' && byte < 0x7f && byte != '\'' && byte != '\\' && byte != '!';
        int result =
            plain ? buffer_append(command, at, 1) : buffer_printf(command, "\\0%03o", byte);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

/* Must not contain a quote, backslash, exclamation mark or newline: fish and tcsh treat them in
 * their own way. SHLVL keeps bash from reading ~/.bashrc when its standard input is a socket. */
static const char launcher[] =
    "unset SSH_CLIENT SSH2_CLIENT; SHLVL=1; export SHLVL; "
    "berth_b=$(command printf %%b \"$1\"); shift; "
    "if command -v bash >/dev/null 2>&1; then exec bash -c \"$berth_b\"%s; fi; "
    "%seval \"$berth_b\"";

int shell_quote_for_login(struct buffer *command, const char *text, bool input_fd_3)
{
    static const char move[] = " 3<&0 </dev/null";
    if (buffer_append_text(command, "exec sh -c '") < 0 ||
        buffer_printf(command, launcher, input_fd_3 ? move : "",
                      input_fd_3 ? "exec 3<&0 </dev/null; " : "") < 0 ||
        buffer_append_text(command, "' sh '") < 0 || encode(command, text) < 0) {
        return -1;
    }
    return buffer_append_text(command, "'");
}

/* One word is shell text, as in "sh -c"; several are a program and its arguments. */
int shell_quote_join(struct buffer *command, int argc, char *const argv[], struct error *err)
{
    int result = argc == 1 ? buffer_append_text(command, argv[0]) : 0;
    for (int i = 0; argc > 1 && i < argc && result == 0; i++) {
        if (i > 0) {
            result = buffer_append_text(command, " ");
        }
        result = result == 0 ? shell_quote_word(command, argv[i]) : -1;
    }
    return result == 0 ? 0
                       : error_set(err, ERROR_USAGE, 0, "the command is longer than %d bytes",
                                   SHELL_QUOTE_CEILING_BYTES);
}
