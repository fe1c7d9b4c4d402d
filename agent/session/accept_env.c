/* SPDX-License-Identifier: MIT */
#include "agent/session/accept_env.h"

#include <stddef.h>
#include <string.h>

static bool matches(const char *pattern, size_t length, const char *name)
{
    if (length > 0 && pattern[length - 1] == '*') {
        return strncmp(pattern, name, length - 1) == 0;
    }
    return strlen(name) == length && strncmp(pattern, name, length) == 0;
}

static bool is_name(const char *text)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char other[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    return text[0] != '\0' && strchr(first, text[0]) != NULL && strspn(text, other) == strlen(text);
}

static bool is_hostile(const char *name)
{
    static const char *const hostile[] = {
        "LD_*",     "GLIBC_*",   "GCONV_PATH",   "LOCPATH",  "NLSPATH",
        "MALLOC_*", "BASH_*",    "ENV",          "IFS",      "PATH",
        "CDPATH",   "SHELLOPTS", "BASHOPTS",     "PS4",      "PROMPT_COMMAND",
        "ZDOTDIR",  "HOME",      "USER",         "LOGNAME",  "SHELL",
        "SSH_*",    "BERTH_*",   "PERL5*",       "PERLLIB",  "PYTHON*",
        "RUBYOPT",  "RUBYLIB",   "NODE_OPTIONS", "GIT_SSH*", "GIT_EXEC_PATH",
        "TMPDIR",
    };
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        if (matches(hostile[i], strlen(hostile[i]), name)) {
            return true;
        }
    }
    return false;
}

static bool is_permitted(const char *patterns, const char *name)
{
    static const char separators[] = ", \t";
    if (!is_name(name) || is_hostile(name)) {
        return false;
    }
    for (const char *word = patterns; *word != '\0';) {
        word += strspn(word, separators);
        size_t length = strcspn(word, separators);
        if (length > 0 && matches(word, length, name)) {
            return true;
        }
        word += length;
    }
    return false;
}

bool accept_env_add(const char *patterns, const char *name, const char *value,
                    struct buffer *variables)
{
    if (!is_permitted(patterns, name) || strchr(value, '\n') != NULL) {
        return false;
    }
    return buffer_printf(variables, "%s=%s\n", name, value) == 0;
}
