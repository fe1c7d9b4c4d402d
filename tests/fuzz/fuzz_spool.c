/* SPDX-License-Identifier: MIT */
/* A session maps a file that a job's monitor wrote, and trusts nothing in it. Beyond "no crash":
 * all bytes that it returns are in the map. The input is the start of the file, which is then
 * extended to the length in its header, or one byte less; offsets come from the last bytes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/monitor/spool.h"
#include "tests/fuzz/fuzz.h"

#define SLOTS   64 /* of a file that is extended; more would only be slower */
#define OFFSETS 16

static void check_view(const struct spool_view *view, const uint8_t *bytes, size_t size)
{
    fuzz_require(view->slots >= SPOOL_STREAMS);
    for (size_t i = 0; i + sizeof(uint64_t) <= size && i < OFFSETS * sizeof(uint64_t);
         i += sizeof(uint64_t)) {
        uint64_t offset = 0;
        memcpy(&offset, bytes + size - i - sizeof(offset), sizeof(offset));
        for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
            size_t length = offset % 3 == 0 ? SIZE_MAX : (size_t)(offset >> 40);
            size_t wanted = length;
            const char *at = spool_view_at(view, stream, offset, &length);
            if (at == NULL) {
                continue;
            }
            fuzz_require(length <= wanted && length <= SPOOL_SLOT_BYTES && at > view->map);
            fuzz_require((size_t)(at - view->map) + length <= view->map_bytes);
            if (length > 0) {
                volatile char ends = (char)(at[0] ^ at[length - 1]); /* or SIGBUS */
                (void)ends;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    struct spool_view view = {0};
    uint32_t slots = 0;
    int fd = fuzz_file(bytes, size, path);
    if (size >= sizeof(slots)) {
        memcpy(&slots, bytes, sizeof(slots));
    }
    if (slots > 0 && slots <= SLOTS) {
        off_t tables = (off_t)(sizeof(slots) * (1 + (size_t)SPOOL_STREAMS * slots));
        off_t whole = (tables + 4095) / 4096 * 4096 + (off_t)slots * SPOOL_SLOT_BYTES;
        bool cut = bytes[size - 1] % 8 == 0;
        fuzz_require(ftruncate(fd, whole - (cut ? 1 : 0)) == 0);
        int opened = spool_view_open(&view, fd);
        fuzz_require((opened == 0) == (!cut && slots >= SPOOL_STREAMS));
    } else {
        (void)spool_view_open(&view, fd);
    }
    if (view.map != NULL) {
        check_view(&view, bytes, size);
    }
    spool_view_close(&view);
    (void)close(fd);
    return 0;
}
