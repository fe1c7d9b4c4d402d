/* SPDX-License-Identifier: MIT */
/* The variables of a service, from a file that another container writes. Beyond "no crash": every
 * entry of a text that is accepted has a name and an equals sign, and no value is in an error. */
#include <stdlib.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/variables.h"
#include "tests/fuzz/fuzz.h"

static void check_entries(const char *text, size_t length)
{
    size_t count = 0;
    for (const char *entry = text; entry < text + length; entry += strlen(entry) + 1) {
        const char *equals = strchr(entry, '=');
        fuzz_require(equals != NULL && equals > entry);
        fuzz_require(equals - entry <= LIMIT_VARIABLE_NAME);
        count++;
    }
    fuzz_require(count <= LIMIT_VARIABLES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    char *text = fuzz_text(bytes, size);
    if (variables_check(text, size, "file", &err) == 0) {
        check_entries(text, size);
    } else {
        fuzz_require(err.kind == ERROR_PEER || err.kind == ERROR_LIMIT);
        fuzz_require(strspn(err.message, "entry 0123456789of'fileshasmtNAME=VALUEvrbn") ==
                     strlen(err.message));
    }
    free(text);
    return 0;
}
