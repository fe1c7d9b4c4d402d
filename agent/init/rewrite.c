/* SPDX-License-Identifier: MIT */
#include "agent/init/rewrite.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "common/parse.h"

#define WORD_BYTES 32

bool rewrite_parse_signal(const char *text, int *out_number)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {
        {"HUP", SIGHUP},   {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"ABRT", SIGABRT},
        {"KILL", SIGKILL}, {"USR1", SIGUSR1},   {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},
        {"ALRM", SIGALRM}, {"TERM", SIGTERM},   {"CHLD", SIGCHLD}, {"CONT", SIGCONT},
        {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},   {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},
        {"URG", SIGURG},   {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"PWR", SIGPWR},
    };
    int64_t number = 0;
    if (parse_integer(text, 1, SIGRTMAX, &number) == 0) {
        *out_number = (int)number;
        return true;
    }
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(names[i].name, name) == 0) {
            *out_number = names[i].number;
            return true;
        }
    }
    return false;
}

/* Copies the word at *position and moves past its comma. False at the end; a word that does not
 * fit becomes an empty one, which nothing accepts. */
static bool next_word(const char **position, char out_word[WORD_BYTES])
{
    if (*position == NULL) {
        return false;
    }
    size_t length = strcspn(*position, ",");
    bool fits = length < WORD_BYTES;
    memcpy(out_word, *position, fits ? length : 0);
    out_word[fits ? length : 0] = '\0';
    *position = (*position)[length] == ',' ? *position + length + 1 : NULL;
    return true;
}

static bool parse_pair(char word[WORD_BYTES], int *out_from, int *out_to)
{
    char *colon = strchr(word, ':');
    if (colon == NULL) {
        return false;
    }
    *colon = '\0';
    bool nothing = strcmp(colon + 1, "0") == 0;
    *out_to = 0;
    return rewrite_parse_signal(word, out_from) &&
           (nothing || rewrite_parse_signal(colon + 1, out_to));
}

bool rewrite_is_valid(const char *pairs)
{
    char word[WORD_BYTES];
    int from = 0;
    int to = 0;
    while (next_word(&pairs, word)) {
        if (!parse_pair(word, &from, &to)) {
            return false;
        }
    }
    return true;
}

int rewrite_signal(const char *pairs, int number)
{
    char word[WORD_BYTES];
    int from = 0;
    int to = 0;
    while (next_word(&pairs, word)) {
        if (parse_pair(word, &from, &to) && from == number) {
            return to;
        }
    }
    return number;
}

bool rewrite_codes_are_valid(const char *codes)
{
    char word[WORD_BYTES];
    int64_t number = 0;
    while (next_word(&codes, word)) {
        if (parse_integer(word, 0, 255, &number) < 0) {
            return false;
        }
    }
    return true;
}

bool rewrite_has_code(const char *codes, int code)
{
    char word[WORD_BYTES];
    int64_t number = 0;
    while (next_word(&codes, word)) {
        if (parse_integer(word, 0, 255, &number) == 0 && number == code) {
            return true;
        }
    }
    return false;
}
