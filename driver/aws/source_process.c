/* SPDX-License-Identifier: MIT */
/* credential_process: a program of the administrator's that prints credentials as JSON. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/aws/sources.h"
#include "driver/capture.h"

#define PROCESS_TIMEOUT_MS    (60 * 1000)
#define PROCESS_CEILING_BYTES (64UL << 10)

/* Copies one word from *at to *out, without its quotes. -1: a quote or backslash without end. */
static int take_word(const char **at, char **out)
{
    char quote = '\0';
    for (; **at != '\0'; (*at)++) {
        char byte = **at;
        bool escapes = byte == '\\' && quote != '\'';
        if (escapes && quote == '"' && strchr("\"\\", (*at)[1]) == NULL) {
            escapes = false; /* inside double quotes only these two can be escaped */
        }
        if (escapes) {
            if ((*at)[1] == '\0') {
                return -1;
            }
            *(*out)++ = *++(*at);
        } else if (quote == '\0' && (byte == '\'' || byte == '"')) {
            quote = byte;
        } else if (byte == quote) {
            quote = '\0';
        } else if (quote == '\0' && strchr(" \t\r\n", byte) != NULL) {
            break;
        } else {
            *(*out)++ = byte;
        }
    }
    *(*out)++ = '\0';
    return quote == '\0' ? 0 : -1;
}

int aws_words_split(const char *command, struct aws_words *words)
{
    words->count = 0;
    char *out = words->text;
    /* Every word takes one byte more than it had, at most for the last, which has no blank. */
    if (strlen(command) + 1 >= sizeof(words->text)) {
        return -1;
    }
    for (const char *at = command + strspn(command, " \t\r\n"); *at != '\0';
         at += strspn(at, " \t\r\n")) {
        if (words->count == AWS_WORD_CEILING) {
            return -1;
        }
        words->word[words->count++] = out;
        if (take_word(&at, &out) < 0) {
            return -1;
        }
    }
    words->word[words->count] = NULL;
    return words->count == 0 ? -1 : 0;
}

/* Version 1 is the only one there is; another may mean anything. */
static int check_version(const struct buffer *printed, const char *source, struct error *err)
{
    cJSON *object =
        printed->bytes == NULL ? NULL : cJSON_ParseWithLength(printed->bytes, printed->length);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(object, "Version");
    bool good = cJSON_IsNumber(version) && version->valueint == 1;
    bool is_object = cJSON_IsObject(object);
    cJSON *item = NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (cJSON_IsString(item)) {
            explicit_bzero(item->valuestring, strlen(item->valuestring));
        }
    }
    cJSON_Delete(object);
    return good || !is_object ? 0
                              : error_set(err, ERROR_USAGE, 0, "%s: \"Version\" is not 1", source);
}

int aws_source_process(struct aws_search *search, const char *profile, struct error *err)
{
    const char *command = aws_profile_get(search->profiles, profile, "credential_process");
    struct aws_words words;
    struct buffer printed;
    char source[160];
    if (command == NULL) {
        return 0;
    }
    (void)snprintf(source, sizeof(source), "credential_process of profile '%s'", profile);
    if (aws_words_split(command, &words) < 0) {
        return error_set(err, ERROR_USAGE, 0, "%s: not a command line", source);
    }
    buffer_init(&printed, PROCESS_CEILING_BYTES);
    int64_t deadline_ms =
        clock_earlier_ms(search->deadline_ms, clock_deadline_ms(PROCESS_TIMEOUT_MS));
    int result = capture_run(words.word, NULL, search->client->signals, deadline_ms, &printed, err);
    if (result < 0) {
        (void)error_wrap(err, "%s", source);
    } else if (check_version(&printed, source, err) < 0) {
        result = -1;
    } else {
        result = aws_source_read_json(search, printed.bytes, printed.length, "SessionToken", source,
                                      err);
    }
    buffer_done(&printed);
    return result;
}
