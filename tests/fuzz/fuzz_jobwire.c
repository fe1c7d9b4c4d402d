/* SPDX-License-Identifier: MIT */
/* Frames come from any client that has logged in. Beyond "no crash": how the bytes are cut into
 * pieces changes nothing, and every accepted frame is encoded to the very bytes that it came from.
 */
#include <stdlib.h>
#include <string.h>

#include "common/jobwire.h"
#include "tests/fuzz/fuzz.h"

/* Encodes again what was decoded from pieces of 'step' bytes, and ends with the result. */
static enum jobwire_result decode_all(const char *bytes, size_t size, size_t step,
                                      struct buffer *again)
{
    struct jobwire_decoder decoder;
    struct jobwire_frame frame;
    enum jobwire_result result = JOBWIRE_MORE;
    jobwire_decoder_init(&decoder);
    while (size > 0 && result != JOBWIRE_BROKEN) {
        const char *piece = bytes;
        size_t left = size < step ? size : step;
        bytes += left;
        size -= left;
        while ((result = jobwire_decode(&decoder, &piece, &left, &frame)) == JOBWIRE_FRAME) {
            fuzz_require(jobwire_encode(&frame, again) == 0);
        }
        fuzz_require(result == JOBWIRE_BROKEN || left == 0);
    }
    jobwire_decoder_done(&decoder);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct buffer whole;
    struct buffer pieces;
    buffer_init(&whole, size + 1);
    buffer_init(&pieces, size + 1);
    size_t step = size == 0 ? 1 : bytes[size - 1] % 7 + 1U;
    enum jobwire_result first = decode_all((const char *)bytes, size, size + 1, &whole);
    fuzz_require(decode_all((const char *)bytes, size, step, &pieces) == first);
    fuzz_require(whole.length == pieces.length && whole.length <= size);
    fuzz_require(whole.length == 0 || memcmp(whole.bytes, bytes, whole.length) == 0);
    fuzz_require(whole.length == 0 || memcmp(whole.bytes, pieces.bytes, whole.length) == 0);
    buffer_done(&whole);
    buffer_done(&pieces);
    return 0;
}
