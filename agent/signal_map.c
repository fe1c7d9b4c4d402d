/* SPDX-License-Identifier: MIT */
#include "agent/signal_map.h"

#include <ctype.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "common/parse.h"
#include "common/signal_names.h"

#define WORD_BYTES 32

bool signal_map_parse_signal(const char *text, int *out_number)
{
    char name[WORD_BYTES];
    int64_t number = 0;
    if (parse_integer(text, 1, SIGRTMAX, &number) == 0) {
        *out_number = (int)number;
        return true;
    }
    const char *start = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    size_t length = strnlen(start, sizeof(name));
    for (size_t i = 0; i < length; i++) {
        name[i] = (char)toupper((unsigned char)start[i]);
    }
    number = signal_number(name, length);
    *out_number = number != 0 ? (int)number : *out_number;
    return number != 0;
}

/* Copies the entry at *position and moves past its comma. False at the end. An entry that does not
 * fit becomes an empty one, which is never valid. */
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
    return signal_map_parse_signal(word, out_from) &&
           (nothing || signal_map_parse_signal(colon + 1, out_to));
}

bool signal_map_is_valid(const char *pairs)
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

int signal_map_signal(const char *pairs, int number)
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

bool signal_map_codes_are_valid(const char *codes)
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

bool signal_map_has_code(const char *codes, int code)
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
