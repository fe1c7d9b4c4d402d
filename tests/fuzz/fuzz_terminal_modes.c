/* SPDX-License-Identifier: MIT */
/* The modes in a client's terminal request. Beyond "no crash": at most the ceiling, and applying
 * them twice has the same result as once. */
#include <stdlib.h>
#include <string.h>

#include "agent/ipc/terminal_modes.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct terminal_modes modes = {0};
    struct termios once = {0};
    uint8_t *payload = malloc(size == 0 ? 1 : size);
    fuzz_require(payload != NULL);
    if (size > 0) {
        memcpy(payload, bytes, size);
    }
    if (terminal_modes_read(payload, size, &modes)) {
        fuzz_require(modes.count <= TERMINAL_MODES);
        terminal_modes_apply(&modes, &once);
        struct termios twice = once;
        terminal_modes_apply(&modes, &twice);
        fuzz_require(memcmp(&once, &twice, sizeof(once)) == 0);
        int end = terminal_modes_end_of_input(&modes);
        fuzz_require(end >= -1 && end <= 255);
    }
    free(payload);
    return 0;
}
