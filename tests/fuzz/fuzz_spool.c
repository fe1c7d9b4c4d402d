/* SPDX-License-Identifier: MIT */
/* A session reads a file that a job's monitor wrote, and trusts nothing in it. Beyond "no crash":
 * it writes no further than asked. The input is the start of the file, which is then extended to
 * the length in its header, or one byte less; offsets come from the last bytes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/monitor/spool.h"
#include "tests/fuzz/fuzz.h"

#define SLOTS     64 /* of a file that is extended; more would only be slower */
#define OFFSETS   16
#define READ_MOST (SPOOL_SLOT_BYTES + 4096) /* more than a slot */

static void check_view(const struct spool_view *view, const uint8_t *bytes, size_t size)
{
    static char to[READ_MOST + 1];
    fuzz_require(view->slots >= SPOOL_STREAMS);
    for (size_t i = 0; i + sizeof(uint64_t) <= size && i < OFFSETS * sizeof(uint64_t);
         i += sizeof(uint64_t)) {
        uint64_t offset = 0;
        memcpy(&offset, bytes + size - i - sizeof(offset), sizeof(offset));
        for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
            size_t length = offset % 3 == 0 ? READ_MOST : (size_t)(offset >> 40) % READ_MOST;
            to[length] = 'x';
            (void)!spool_view_read(view, stream, offset, to, length);
            fuzz_require(to[length] == 'x');
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
    }
    int opened = spool_view_open(&view, fd);
    fuzz_require((opened == 0) == (size >= sizeof(slots) && slots >= SPOOL_STREAMS));
    if (opened == 0) {
        check_view(&view, bytes, size);
    }
    spool_view_close(&view);
    (void)close(fd);
    return 0;
}
