/* SPDX-License-Identifier: MIT */
#include "driver/runner/git_hint.h"

#include <stdbool.h>
#include <string.h>

#define NOT_FOUND 127

static const char *const hints[] = {
    [GIT_HINT_GITLABS] = "a program was not found in the job's container; this stage needs git and "
                         "gitlab-runner in the job's image, or a helper container ([Helper] Use)",
    [GIT_HINT_SCRIPT] =
        "if git was not found: install it in the job's image; the helper container "
        "([Helper]) has git for get_sources and GitLab's other stages, not for scripts",
    [GIT_HINT_EXEC] = "if git was not found: use an image that has it; 'exec' has no helper "
                      "container ([Helper])",
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool ends_with_word(const char *text, size_t length, const char *word)
{
    size_t size = strlen(word);
    return length >= size && strncmp(text + length - size, word, size) == 0 &&
           (length == size || strchr(" \t\n;&|({", text[length - size - 1]) != NULL);
}

/* Whether a command begins after these bytes. Scripts of GitLab Runner write newlines as \n. */
static bool begins_command(const char *text, size_t length)
{
    static const char *const words[] = {"then", "do", "else", "if", "while", "sudo", "exec"};
    while (length > 0 && is_blank(text[length - 1])) {
        length--;
    }
    if (length == 0 || strchr("\n;&|({`!$'\"", text[length - 1]) != NULL ||
        (length >= 2 && text[length - 2] == '\\' && text[length - 1] == 'n')) {
        return true;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (ends_with_word(text, length, words[i])) {
            return true;
        }
    }
    return false;
}

static bool runs_git(const char *text, size_t length)
{
    static const char git[] = "git";
    const size_t size = sizeof(git) - 1;
    const char *end = text + length;
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), git, size)) != NULL; at++) {
        const char *after = at + size;
        if ((after == end || is_blank(*after)) && begins_command(text, (size_t)(at - text))) {
            return true;
        }
    }
    return false;
}

const char *git_hint(enum git_hint_place place, int status, const char *text, size_t length)
{
    return status == NOT_FOUND && (place == GIT_HINT_GITLABS || runs_git(text, length))
               ? hints[place]
               : NULL;
}
