/* SPDX-License-Identifier: MIT */
/* SSH_PUBLIC_KEY. Beyond "no crash": an accepted text has keys, and the text repeated has twice as
 * many, up to the ceiling. */
#include <stdlib.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/session/authorized_keys.h"
#include "common/buffer.h"
#include "tests/fuzz/fuzz.h"

static size_t count_of(const char *text, bool *out_taken)
{
    struct authorized *keys = NULL;
    struct error err = {0};
    *out_taken = authorized_parse(text, &keys, &err) == 0;
    size_t count = *out_taken ? authorized_count(keys) : 0;
    fuzz_require(*out_taken == (count > 0));
    fuzz_require(*out_taken || (err.kind != 0 && err.message[0] != '\0'));
    authorized_free(keys);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    bool taken = false;
    bool again = false;
    struct buffer twice;
    char *text = fuzz_text(bytes, size);
    size_t count = count_of(text, &taken);
    buffer_init(&twice, 2 * size + 2);
    fuzz_require(buffer_printf(&twice, "%s\n%s", text, text) == 0);
    if (taken && twice.length < 4096) {
        size_t more = count_of(twice.bytes, &again);
        fuzz_require(again && more >= count && more <= 2 * count);
    }
    buffer_done(&twice);
    free(text);
    return 0;
}
