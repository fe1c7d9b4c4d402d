/* SPDX-License-Identifier: MIT */
#include "driver/backend/local/environment.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRY_CEILING 256
#define TEXT_BYTES    (128UL << 10)
#define DEFAULT_PATH  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct local_environment {
    char *entries[ENTRY_CEILING + 1]; /* ends in NULL */
    size_t count;
    char text[TEXT_BYTES];
    size_t used;
};

static const char *const passed[] = {
    "PATH",     "LANG",      "LANGUAGE",      "TZ",           "USER",
    "LOGNAME",  "SHELL",     "HTTP_PROXY",    "HTTPS_PROXY",  "FTP_PROXY",
    "NO_PROXY", "ALL_PROXY", "http_proxy",    "https_proxy",  "ftp_proxy",
    "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
};

__attribute__((format(printf, 2, 3))) static bool add(struct local_environment *environment,
                                                      const char *format, ...)
{
    va_list arguments;
    size_t room = sizeof(environment->text) - environment->used;
    char *entry = environment->text + environment->used;
    va_start(arguments, format);
    int length = vsnprintf(entry, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room || environment->count == ENTRY_CEILING) {
        return false;
    }
    environment->used += (size_t)length + 1;
    environment->entries[environment->count++] = entry;
    return true;
}

static bool matches(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

static bool may_pass(const char *entry, const struct config *config)
{
    static const char *const never[] = {"HOME=", "TMPDIR=", "SSH_PUBLIC_KEY=", "BERTH_",
                                        "CUSTOM_ENV_"};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strncmp(entry, never[i], strlen(never[i])) == 0) {
            return false;
        }
    }
    if (strncmp(entry, "LC_", 3) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        if (matches(entry, passed[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < config->local_pass_environment.count; i++) {
        if (matches(entry, config->local_pass_environment.entries[i])) {
            return true;
        }
    }
    return false;
}

static bool add_own(struct local_environment *environment, const char *directory,
                    const struct keys *keys)
{
    char line[KEYS_LINE_BYTES];
    char seed[ED25519_SEED_BASE64_BYTES];
    keys_authorized_line(keys->user_seed, line);
    ed25519_seed_base64(keys->host_seed, seed);
    bool added = add(environment, "HOME=%s/home", directory) &&
                 add(environment, "TMPDIR=%s/tmp", directory) &&
                 add(environment, "SSH_PUBLIC_KEY=%s", line) &&
                 add(environment, "BERTH_HOST_KEY_SEED=%s", seed);
    sodium_memzero(seed, sizeof(seed));
    return added;
}

struct local_environment *local_environment_new(const struct config *config, const char *directory,
                                                const struct keys *keys, struct error *err)
{
    struct local_environment *environment = sodium_malloc(sizeof(*environment));
    if (environment == NULL) {
        (void)error_set(err, ERROR_SYSTEM, 0, "out of memory for the agent's keys");
        return NULL;
    }
    sodium_memzero(environment, sizeof(*environment));
    bool fits = true;
    for (char **entry = environ; fits && *entry != NULL; entry++) {
        fits = !may_pass(*entry, config) || add(environment, "%s", *entry);
    }
    if (getenv("PATH") == NULL) {
        fits = fits && add(environment, "PATH=" DEFAULT_PATH);
    }
    if (!fits || !add_own(environment, directory, keys)) {
        local_environment_free(environment);
        (void)error_set(err, ERROR_LIMIT, 0,
                        "the environment for the agent is larger than %lu bytes or %d variables",
                        TEXT_BYTES, ENTRY_CEILING);
        return NULL;
    }
    return environment;
}

void local_environment_free(struct local_environment *environment)
{
    sodium_free(environment);
}

char *const *local_environment_entries(struct local_environment *environment)
{
    return environment->entries;
}
