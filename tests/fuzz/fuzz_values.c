/* SPDX-License-Identifier: MIT */
/* Values that people and clients write: numbers, durations, sizes, key seeds, signals, variables,
 * patterns, UTF-8. The first line is a second argument for those that take two. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/session/accept_env.h"
#include "agent/signal_map.h"
#include "common/ed25519.h"
#include "common/parse.h"
#include "common/utf8.h"
#include "driver/base/time_text.h"
#include "driver/config/config.h"
#include "tests/fuzz/fuzz.h"

/* A number that was taken, written again, is the text without its leading zeros. */
static void check_numbers(const char *text)
{
    int64_t value = 0;
    char again[32];
    if (parse_integer(text, -1000, INT64_MAX, &value) == 0) {
        bool minus = text[0] == '-';
        const char *digits = text + minus;
        digits += strspn(digits, "0");
        (void)snprintf(again, sizeof(again), "%lld", (long long)value);
        fuzz_require(value >= -1000);
        fuzz_require(value == 0 ? *digits == '\0' : strcmp(again + minus, digits) == 0);
    }
    if (parse_duration_ms(text, &value) == 0) {
        fuzz_require(value >= 0);
    }
    if (parse_size_bytes(text, &value) == 0) {
        fuzz_require(value >= 0);
    }
    (void)time_text_parse_ms(text, &value);
}

static void check_seed(const char *text)
{
    unsigned char seed[ED25519_SEED_BYTES];
    char again[ED25519_SEED_BASE64_BYTES];
    struct error err = {0};
    if (ed25519_seed_parse(text, seed, &err) == 0) {
        ed25519_seed_base64(seed, again);
        fuzz_require(strncmp(text, again, strlen(again)) == 0);
    }
}

static void check_signals(const char *text, const char *code)
{
    int number = 0;
    int64_t value = 0;
    if (signal_map_parse_signal(text, &number)) {
        fuzz_require(number > 0 && number <= 64);
    }
    if (signal_map_is_valid(text)) {
        for (int from = 1; from <= 64; from++) {
            int to = signal_map_signal(text, from);
            fuzz_require(to >= 0 && to <= 64);
        }
    }
    if (signal_map_codes_are_valid(text) && parse_integer(code, 0, 255, &value) == 0) {
        (void)signal_map_has_code(text, (int)value);
    }
}

/* What a job gets is one line with a name that no shell can take for anything else. */
static void check_variable(const char *patterns, const char *name, const char *value)
{
    struct buffer variables;
    buffer_init(&variables, 4096);
    if (accept_env_add(patterns, name, value, &variables)) {
        fuzz_require(strpbrk(name, "= \n") == NULL && name[0] != '\0');
        fuzz_require(strncmp(name, "BERTH_", 6) != 0 && strncmp(name, "LD_", 3) != 0);
        fuzz_require(strchr(variables.bytes, '\n') == variables.bytes + variables.length - 1);
    }
    buffer_done(&variables);
}

static void check_utf8(const char *text)
{
    size_t left = strlen(text);
    const unsigned char *at = (const unsigned char *)text;
    while (left > 0) {
        size_t length = utf8_length(at, left);
        fuzz_require(length <= 4 && length <= left);
        length = length == 0 ? 1 : length;
        at += length;
        left -= length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > 1024) {
        return 0;
    }
    char *first = fuzz_text(bytes, size);
    check_utf8(first);
    char *second = fuzz_cut(first);
    char *third = fuzz_cut(second);
    char *patterns[] = {first, second};
    struct config_list list = {.entries = {patterns[0], patterns[1]}, .count = 2};
    check_numbers(first);
    check_seed(first);
    check_signals(first, second);
    check_variable(first, second, third);
    (void)config_list_matches(&list, third);
    free(first);
    return 0;
}
