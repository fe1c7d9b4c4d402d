/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"

#include <stdbool.h>

size_t utf8_length(const unsigned char *text, size_t left)
{
    unsigned char lead = text[0];
    size_t length = lead < 0x80                   ? 1
                    : lead >= 0xc2 && lead < 0xe0 ? 2
                    : lead >= 0xe0 && lead < 0xf0 ? 3
                    : lead >= 0xf0 && lead < 0xf5 ? 4
                                                  : 0;
    if (length == 0 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (lead == 0xe0 && text[1] < 0xa0) || (lead == 0xf0 && text[1] < 0x90);
    bool surrogate = lead == 0xed && text[1] >= 0xa0;
    bool beyond = lead == 0xf4 && text[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

uint32_t utf8_decode(const unsigned char *text, size_t length)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t point = text[0] & masks[length];
    for (size_t i = 1; i < length; i++) {
        point = point << 6 | (text[i] & 0x3f);
    }
    return point;
}

size_t utf8_encode(uint32_t point, char *out)
{
    static const unsigned char leads[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    if ((point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff) {
        return 0;
    }
    size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (char)(leads[length] | point);
    return length;
}
