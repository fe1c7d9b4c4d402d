/* SPDX-License-Identifier: MIT */
#include "driver/base/home.h"

#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

const char *home_directory(void)
{
    const char *home = getenv("HOME");
    if (home == NULL || home[0] == '\0') {
        const struct passwd *entry = getpwuid(geteuid());
        home = entry == NULL ? NULL : entry->pw_dir;
    }
    return home != NULL && home[0] == '/' ? home : NULL;
}
