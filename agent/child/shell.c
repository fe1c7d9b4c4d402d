/* SPDX-License-Identifier: MIT */
#include "agent/child/shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where GitLab Runner searches (its shells/bash.go). */
static const char fixed_path[] = "/usr/local/bin:/usr/bin:/bin:/busybox";

bool shell_is_absent(int reason)
{
    return reason == ENOENT || reason == ENOTDIR || reason == EACCES || reason == ENOEXEC ||
           reason == ELOOP || reason == ENAMETOOLONG;
}

/* The next absolute "DIRECTORY/name" of a PATH into 'out'; false: none is left. Entries that are
 * relative, empty or too long are skipped. */
static bool next_in(const char **path, const char *name, char out[SHELL_PATH_BYTES])
{
    while (**path != '\0') {
        const char *directory = *path;
        size_t length = strcspn(directory, ":");
        *path += length;
        *path += **path == ':';
        int size = snprintf(out, SHELL_PATH_BYTES, "%.*s/%s", (int)length, directory, name);
        if (directory[0] == '/' && size < SHELL_PATH_BYTES) {
            return true;
        }
    }
    return false;
}

bool shell_find_in(const char *path, const char *name, char out[SHELL_PATH_BYTES])
{
    while (next_in(&path, name, out)) {
        if (access(out, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

bool shell_find(const char *path, const char *busybox, struct shell *out_shell)
{
    const char *const places[] = {path == NULL ? "" : path, fixed_path};
    static const char *const names[] = {"bash", "sh"};
    out_shell->is_busybox = false;
    for (size_t place = 0; place < 2; place++) {
        for (size_t name = 0; name < 2; name++) {
            if (shell_find_in(places[place], names[name], out_shell->program)) {
                return true;
            }
        }
    }
    out_shell->is_busybox = true;
    return shell_find_in(places[0], "busybox", out_shell->program) ||
           shell_find_in(places[1], "busybox", out_shell->program) ||
           (busybox != NULL && shell_find_in(busybox, "busybox", out_shell->program));
}

/* Executes 'name' from the first directory of 'path' that has it. Returns with errno. Not
 * execvp(), which uses the working directory for an empty entry. */
static void exec_in(const char *path, const char *name, char *const argv[])
{
    char program[SHELL_PATH_BYTES];
    while (shell_is_absent(errno) && next_in(&path, name, program)) {
        (void)execv(program, argv);
    }
}

void shell_exec(const char *path, const char *busybox, const char *text)
{
    const char *const places[] = {path == NULL ? "" : path, fixed_path};
    char bash[] = "bash", sh[] = "sh", busybox_name[] = "busybox", flag[] = "-c";
    char *command = strdup(text);
    char *const shells[][5] = {{bash, flag, command, NULL},
                               {sh, flag, command, NULL},
                               {busybox_name, sh, flag, command, NULL}};
    errno = command == NULL ? ENOMEM : ENOENT;
    for (size_t place = 0; place < 2; place++) {
        for (size_t shell = 0; shell < 2; shell++) {
            exec_in(places[place], shells[shell][0], shells[shell]);
        }
    }
    exec_in(places[0], busybox_name, shells[2]);
    exec_in(places[1], busybox_name, shells[2]);
    if (busybox != NULL && shell_is_absent(errno)) {
        shell_exec_busybox(busybox, command);
    }
}

void shell_exec_busybox(const char *busybox, const char *text)
{
    char program[SHELL_PATH_BYTES];
    int size = snprintf(program, sizeof(program), "%s/busybox", busybox);
    errno = ENAMETOOLONG;
    if (size < (int)sizeof(program)) {
        (void)execl(program, "sh", text == NULL ? NULL : "-c", text, (char *)NULL);
    }
}
