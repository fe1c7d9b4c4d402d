/* SPDX-License-Identifier: MIT */
/* credential_process: a command of the administrator that prints credentials as JSON. */
#include <stdio.h>

#include "common/clock.h"
#include "driver/aws/sources.h"
#include "driver/aws/words.h"
#include "driver/base/json.h"
#include "driver/base/subprocess_output.h"

#define PROCESS_TIMEOUT_MS    (60 * 1000)
#define PROCESS_CEILING_BYTES (64UL << 10)

/* Version 1 is the only one that AWS defines. What is not a JSON object is refused later. */
static int check_version(const struct buffer *printed, const char *source, struct error *err)
{
    cJSON *object =
        printed->bytes == NULL ? NULL : cJSON_ParseWithLength(printed->bytes, printed->length);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(object, "Version");
    bool refused = cJSON_IsObject(object) && !(cJSON_IsNumber(version) && version->valueint == 1);
    json_delete_wiped(object);
    return refused ? error_set(err, ERROR_USAGE, 0, "%s: \"Version\" is not 1", source) : 0;
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
        return error_set(err, ERROR_USAGE, 0, "%s: not a valid command line", source);
    }
    buffer_init(&printed, PROCESS_CEILING_BYTES);
    int64_t deadline_ms =
        clock_earlier_ms(search->deadline_ms, clock_deadline_ms(PROCESS_TIMEOUT_MS));
    int result = subprocess_read_output(words.word, NULL, search->client->signals, deadline_ms,
                                        &printed, err);
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
