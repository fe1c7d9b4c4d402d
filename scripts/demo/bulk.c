/* SPDX-License-Identifier: MIT */
/*
 * bulk - writes a given amount of text between two marks. The demo's job builds it from common/
 * and lets it fill the job's log; what arrives is compared by hash.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/options.h"

#define LINE_BYTES         80
#define SIZE_CEILING_BYTES (1L << 30)

struct settings {
    int64_t size_bytes;
    const char *mark;
};

static const struct option_row rows[] = {
    {.name = "size",
     .type = OPTION_SIZE,
     .argument = "SIZE",
     .default_text = "3M",
     .help = "bytes of text",
     .offset = offsetof(struct settings, size_bytes),
     .minimum = 1,
     .maximum = SIZE_CEILING_BYTES},
    {.name = "mark",
     .type = OPTION_TEXT,
     .argument = "WORD",
     .default_text = "mark",
     .help = "word on the first and the last line",
     .offset = offsetof(struct settings, mark)},
};

static int fill(struct buffer *text, const struct settings *settings)
{
    if (buffer_printf(text, "bulk-begin %s\n", settings->mark) < 0) {
        return -1;
    }
    uint64_t state = 1;
    for (int64_t line = 1; (int64_t)text->length + LINE_BYTES < settings->size_bytes; line++) {
        /* Knuth's MMIX generator: text that a lost or doubled block cannot imitate. */
        state = state * 6364136223846793005u + 1442695040888963407u;
        if (buffer_printf(text, "%8" PRId64 " %016" PRIx64 " bulk output of the demo\n", line,
                          state) < 0) {
            return -1;
        }
    }
    return buffer_printf(text, "bulk-end %s\n", settings->mark);
}

int main(int argc, char *argv[])
{
    struct settings settings = {.size_bytes = 3L << 20, .mark = "mark"};
    struct error err = {0};
    int next = 0;
    if (options_parse(rows, OPTION_COUNT(rows), &settings, argc, argv, &next, &err) < 0) {
        (void)fprintf(stderr, "bulk: %s\n", err.message);
        return EXIT_FAILURE;
    }
    cleanup_buffer struct buffer text;
    buffer_init(&text, SIZE_CEILING_BYTES + LINE_BYTES);
    if (fill(&text, &settings) < 0 ||
        fd_write_all(STDOUT_FILENO, text.bytes, text.length, clock_deadline_ms(60000)) < 0) {
        perror("bulk: cannot write");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
