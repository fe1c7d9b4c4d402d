/* SPDX-License-Identifier: MIT */
#include "agent/child/entrypoint.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/child/shell.h"
#include "agent/limits.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

/* On the script's first line, whose number stays right in messages. */
#define NO_INPUT "exec </dev/null; "

_Static_assert(sizeof(NO_INPUT) < ENTRYPOINT_TEXT_BYTES, "what is added to the text");

static int append_quoted(struct buffer *out, const char *text)
{
    if (buffer_append_text(out, "'") < 0) {
        return -1;
    }
    for (const char *at = text; *at != '\0';) {
        size_t length = strcspn(at, "'");
        if (buffer_append(out, at, length) < 0 ||
            (at[length] == '\'' && buffer_append_text(out, "'\\''") < 0)) {
            return -1;
        }
        at += length + (at[length] == '\'');
    }
    return buffer_append_text(out, "'");
}

/* "exec 'SHELL' -c 'TEXT'" */
static int append_command(struct buffer *out, const struct shell *shell, const char *text)
{
    return buffer_append_text(out, "exec ") < 0 || append_quoted(out, shell->program) < 0 ||
                   buffer_append_text(out, shell->is_busybox ? " sh -c " : " -c ") < 0 ||
                   append_quoted(out, text) < 0
               ? -1
               : buffer_append_text(out, "\n");
}

/* Makes the command this process's standard input; without it most entrypoints still work. */
static void give_input(const struct shell *shell, const char *text)
{
    cleanup_buffer struct buffer command;
    buffer_init(&command, 5 * LIMIT_ARGUMENT_BYTES); /* a quotation mark takes four bytes */
    if (append_command(&command, shell, text) < 0) {
        return;
    }
    cleanup_fd int fd = fd_memory_file("berth-command", 0, NULL);
    if (fd >= 0 && fd_write_all(fd, command.bytes, command.length, CLOCK_NEVER) == 0 &&
        lseek(fd, 0, SEEK_SET) == 0) {
        (void)dup2(fd, STDIN_FILENO);
    }
}

void entrypoint_exec(const struct agent_options *options, const char *text, bool *out_has_shell)
{
    const struct option_list *words = &options->entrypoint;
    const char *argv[OPTION_LIST_CEILING + 5];
    size_t count = words->count;
    struct shell shell;
    cleanup_buffer struct buffer command;
    buffer_init(&command, LIMIT_ARGUMENT_BYTES);
    *out_has_shell = shell_find(getenv("PATH"), options->busybox, &shell);
    if (!*out_has_shell) {
        errno = ENOENT;
        return;
    }
    if (buffer_append_text(&command, NO_INPUT) < 0 || buffer_append_text(&command, text) < 0) {
        errno = E2BIG;
        return;
    }
    give_input(&shell, command.bytes);
    memcpy(argv, words->entries, count * sizeof(argv[0]));
    argv[count++] = shell.program;
    if (shell.is_busybox) {
        argv[count++] = "sh";
    }
    argv[count++] = "-c";
    argv[count++] = command.bytes;
    argv[count] = NULL;
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
}
