/* SPDX-License-Identifier: MIT */
/* Programs of the configuration. Beyond "no crash": a static program has a processor's header, and
 * a longer file of the same bytes is for the same one. */
#include <stdlib.h>
#include <string.h>

#include "driver/backend/elf_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct elf_file whole, part;
    if (elf_file_read(bytes, size, &whole) < 0) {
        return 0;
    }
    fuzz_require(elf_file_read(bytes, 64, &part) == 0);
    fuzz_require(strcmp(whole.processor, part.processor) == 0);
    fuzz_require(!part.is_static || whole.is_static);
    return 0;
}
