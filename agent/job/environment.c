/* SPDX-License-Identifier: MIT */
#include "agent/job/environment.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* What docker itself gives a container without PATH. */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* SSH_CONNECTION has four words; SSH_CLIENT, which bash looks for to read ~/.bashrc as sshd's
 * sessions do, has the first two and the server's port. */
static int set_client(const char *client)
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
    return setenv("SSH_CONNECTION", client, 1) < 0 ? -1 : setenv("SSH_CLIENT", ssh_client, 1);
}

int environment_prepare(const struct user *user, const char *client)
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
    if (setenv("PATH", DEFAULT_PATH, 0) < 0) {
        return -1;
    }
    return client == NULL ? 0 : set_client(client);
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
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): 'copy' frees what the lines point into */
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
