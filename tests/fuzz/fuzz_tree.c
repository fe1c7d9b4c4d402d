/* SPDX-License-Identifier: MIT */
/* /proc/PID/stat contains a name that the process can choose. Beyond "no crash": no name changes
 * the parent or session that is read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/monitor/process_tree.h"
#include "tests/fuzz/fuzz.h"

#define LINE_BYTES 512 /* bytes that are read of the file */

static void check_name(const char *name)
{
    char line[LINE_BYTES];
    pid_t parent = 0;
    pid_t session = 0;
    int length = snprintf(line, sizeof(line), "7 (%s) S 42 43 44 0 -1 4194560 1", name);
    if (length > 0 && (size_t)length < sizeof(line)) {
        fuzz_require(tree_read_stat(line, &parent, &session));
        fuzz_require(parent == 42 && session == 44);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    pid_t parent = -7;
    pid_t session = -7;
    if (!tree_read_stat(text, &parent, &session)) {
        fuzz_require(parent == -7 && session == -7);
    }
    check_name(text);
    free(text);
    return 0;
}
