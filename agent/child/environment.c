/* SPDX-License-Identifier: MIT */
#include "agent/child/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* Docker's default for an image without PATH. */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* SSH_CONNECTION has four words, SSH_CLIENT the first two and the server's port. With SSH_CLIENT
 * bash reads ~/.bashrc, as in a session of sshd. */
static int set_client(const char *client, bool login_shell)
{
    char copy[256];
    char *words[4] = {0};
    size_t length = strlen(client);
    if (length >= sizeof(copy)) {
        return 0;
    }
    memcpy(copy, client, length + 1);
    char *rest = copy;
    for (int i = 0; i < 4; i++) {
        words[i] = strsep(&rest, " ");
        if (words[i] == NULL) {
            return 0;
        }
    }
    char ssh_client[sizeof(copy)];
    (void)snprintf(ssh_client, sizeof(ssh_client), "%s %s %s", words[0], words[1], words[3]);
    if (setenv("SSH_CONNECTION", client, 1) < 0) {
        return -1;
    }
    return login_shell ? setenv("SSH_CLIENT", ssh_client, 1) : 0;
}

char *environment_path(const struct agent_options *options, const char *first, const char *last)
{
    const char *path = getenv("PATH");
    const char *const parts[] = {first, options->path_before, path == NULL ? DEFAULT_PATH : path,
                                 options->path_after, last};
    size_t room = 1;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        room += parts[i] == NULL ? 0 : strlen(parts[i]) + 1;
    }
    char *out = malloc(room);
    size_t used = 0;
    for (size_t i = 0; out != NULL && i < sizeof(parts) / sizeof(parts[0]); i++) {
        /* An empty part would be the working directory. */
        if (parts[i] != NULL && parts[i][0] != '\0') {
            used +=
                (size_t)snprintf(out + used, room - used, "%s%s", used == 0 ? "" : ":", parts[i]);
        }
    }
    if (out != NULL) {
        out[used] = '\0';
    }
    return out;
}

/* Git of a helper runs as root on files of the job's user, which it refuses by default. This is
 * what 'git -c' passes on to its children: GIT_CONFIG_COUNT may be a variable of the job, and would
 * replace ours. A variable of the container wins. */
static int trust_directories(void)
{
    return setenv("GIT_CONFIG_PARAMETERS", "'safe.directory=*'", 0);
}

int environment_prepare(const struct user *user, const char *client, bool login_shell,
                        const struct agent_options *options)
{
    const struct {
        const char *name;
        const char *value;
    } identity[] = {
        {"HOME", user->home},
        {"USER", user->name},
        {"LOGNAME", user->name},
        {"SHELL", user->shell},
    };
    for (size_t i = 0; i < sizeof(identity) / sizeof(identity[0]); i++) {
        if (setenv(identity[i].name, identity[i].value, user->is_self ? 0 : 1) < 0) {
            return -1;
        }
    }
    cleanup_free char *path =
        environment_path(options, options->helper_directory, options->applet_directory);
    if (path == NULL || setenv("PATH", path, 1) < 0) {
        return -1;
    }
    if (options->helper && trust_directories() < 0) {
        return -1;
    }
    if (!login_shell && (unsetenv("SSH_CLIENT") < 0 || unsetenv("SSH2_CLIENT") < 0)) {
        return -1;
    }
    return client == NULL ? 0 : set_client(client, login_shell);
}

static int add_line(char *line)
{
    char *equals = strchr(line, '=');
    if (equals == NULL || equals == line) {
        return 0;
    }
    *equals = '\0';
    return setenv(line, equals + 1, 1);
}

int environment_add(const char *variables, const char *term, const char *terminal_name)
{
    cleanup_free char *copy = variables == NULL ? NULL : strdup(variables);
    if (variables != NULL && copy == NULL) {
        return -1;
    }
    char *rest = copy;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the lines point into 'copy' */
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (add_line(line) < 0) {
            return -1;
        }
    }
    if (term != NULL && setenv("TERM", term, 1) < 0) {
        return -1;
    }
    return terminal_name == NULL ? 0 : setenv("SSH_TTY", terminal_name, 1);
}
