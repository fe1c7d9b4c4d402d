/* SPDX-License-Identifier: MIT */
#include "agent/secrets.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Wipes the whole "NAME=VALUE", since the name alone reveals something too. */
static void remove_entry(char **entry)
{
    sodium_memzero(*entry, strlen(*entry));
    for (; *entry != NULL; entry++) {
        entry[0] = entry[1];
    }
}

char *secrets_take(const char *name)
{
    const char *value = getenv(name);
    char *copy = value == NULL ? NULL : strdup(value);
    size_t length = strlen(name);
    for (char **entry = environ; *entry != NULL;) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            remove_entry(entry);
        } else {
            entry++;
        }
    }
    return copy;
}

void secrets_remove_prefix(const char *prefix)
{
    size_t length = strlen(prefix);
    for (char **entry = environ; *entry != NULL;) {
        if (strncmp(*entry, prefix, length) == 0) {
            remove_entry(entry);
        } else {
            entry++;
        }
    }
}
