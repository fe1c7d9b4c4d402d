/* SPDX-License-Identifier: MIT */
/* A log line can hold any text of a client or of AWS. Beyond "no crash": it is one line of
 * well-formed UTF-8 without a control character, and as JSON an object with the message. */
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

#define LINE_BYTES 65536

static int line_fd = -1; /* a pipe that always has room: it is emptied after each line */
static int read_fd = -1;
static char line[LINE_BYTES];

static void open_pipe(void)
{
    int ends[2];
    if (line_fd >= 0) {
        return;
    }
    fuzz_require(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    read_fd = ends[0];
    line_fd = ends[1];
}

static size_t log_one(const char *text, enum log_format format)
{
    log_open("fuzz", LOG_INFO, format, line_fd);
    log_info("%s", text);
    ssize_t got = read(read_fd, line, sizeof(line) - 1);
    fuzz_require(got > 0 && read(read_fd, line + got, 1) < 0);
    line[got] = '\0';
    return (size_t)got;
}

static void check_characters(size_t length)
{
    const unsigned char *at = (const unsigned char *)line;
    fuzz_require(line[length - 1] == '\n' && strlen(line) == length);
    for (size_t left = length - 1; left > 0;) {
        size_t run = utf8_length(at, left);
        fuzz_require(run > 0 && *at >= 0x20 && *at != 0x7f);
        fuzz_require(!(*at == 0xc2 && at[1] < 0xa0));
        uint32_t point = utf8_decode(at, run);
        fuzz_require(!(point >= 0x202a && point <= 0x202e) && point != 0x2028 && point != 0x2029);
        at += run;
        left -= run;
    }
}

/* A text that needs no escape comes back as it was. */
static void check_json(const char *text, size_t length)
{
    cJSON *object = cJSON_ParseWithLength(line, length);
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "message"));
    fuzz_require(message != NULL);
    size_t plain = 0;
    while (text[plain] >= 0x20 && text[plain] < 0x7f) {
        plain++;
    }
    fuzz_require(text[plain] != '\0' || plain >= 2048 || strcmp(message, text) == 0);
    cJSON_Delete(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    open_pipe();
    check_characters(log_one(text, LOG_TEXT));
    size_t length = log_one(text, LOG_JSON);
    check_characters(length);
    check_json(text, length);
    free(text);
    return 0;
}
