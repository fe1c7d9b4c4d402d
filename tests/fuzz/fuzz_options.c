/* SPDX-License-Identifier: MIT */
/* Command lines, one word a line. Beyond "no crash": what is left over begins behind what was
 * taken, numbers are in their range and choices among their words. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "tests/fuzz/fuzz.h"

#define WORDS 16

struct target {
    bool flag;
    const char *text;
    int64_t integer, duration_ms, size_bytes;
    struct option_list list;
    int choice;
};

#define ROW(name, letter, type, argument, field, low, high)                                     \
    {                                                                                           \
        name, letter, type, argument, NULL, NULL, "", offsetof(struct target, field), low, high \
    }

static const struct option_row rows[] = {
    ROW("flag", 'f', OPTION_FLAG, NULL, flag, 0, 0),
    ROW("text", 't', OPTION_TEXT, "TEXT", text, 0, 0),
    ROW("integer", 'i', OPTION_INTEGER, "N", integer, 3, 900),
    ROW("duration", 'd', OPTION_DURATION, "DURATION", duration_ms, 0, 0),
    ROW("size", 's', OPTION_SIZE, "SIZE", size_bytes, 0, 0),
    ROW("list", 'l', OPTION_LIST, "TEXT", list, 0, 0),
    ROW("choice", 'c', OPTION_CHOICE, "keep|kill", choice, 0, 0),
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char program[] = "program";
    char *words[WORDS + 1] = {program};
    struct target target = {.integer = 3};
    struct error err = {0};
    int count = 1;
    int next = 0;
    char *text = fuzz_text(bytes, size);
    for (char *word = text; *word != '\0' && count < WORDS; word = fuzz_cut(words[count - 1])) {
        words[count++] = word;
    }
    /* Each word alone on the heap: a step past its end is seen. */
    for (int i = 1; i < count; i++) {
        words[i] = strdup(words[i]);
        fuzz_require(words[i] != NULL);
    }
    if (options_parse(rows, OPTION_COUNT(rows), &target, count, words, &next, &err) == 0) {
        fuzz_require(next >= 1 && next <= count);
        fuzz_require(target.integer >= 3 && target.integer <= 900);
        fuzz_require(target.duration_ms >= 0 && target.size_bytes >= 0);
        fuzz_require(target.choice == 0 || target.choice == 1);
        fuzz_require(target.list.count <= OPTION_LIST_CEILING);
    } else {
        fuzz_require(err.kind == ERROR_USAGE && err.message[0] != '\0');
    }
    for (int i = 1; i < count; i++) {
        free(words[i]);
    }
    free(text);
    return 0;
}
