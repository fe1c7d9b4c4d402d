/* SPDX-License-Identifier: MIT */
#include "common/host_name.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define NAME_CEILING_BYTES  253 /* RFC 1123, section 2.1, and RFC 1035, section 2.3.4 */
#define LABEL_CEILING_BYTES 63

static bool is_label_byte(unsigned char byte)
{
    return byte < 0x80 && (isalnum(byte) || byte == '-' || byte == '_');
}

static bool label_is_valid(const char *label, size_t length)
{
    if (length == 0 || length > LABEL_CEILING_BYTES || label[0] == '-' ||
        label[length - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!is_label_byte((unsigned char)label[i])) {
            return false;
        }
    }
    return true;
}

/* As inet_aton() reads it: "1", "0x7f.1". The last label decides. */
static bool is_numeric(const char *label)
{
    return label[strspn(label, "0123456789")] == '\0' ||
           (strncasecmp(label, "0x", 2) == 0 &&
            label[2 + strspn(label + 2, "0123456789abcdefABCDEF")] == '\0');
}

bool host_name_is_valid(const char *name)
{
    if (strlen(name) > NAME_CEILING_BYTES) {
        return false;
    }
    const char *label = name;
    for (;;) {
        size_t length = strcspn(label, ".");
        if (!label_is_valid(label, length)) {
            return false;
        }
        if (label[length] == '\0') {
            break;
        }
        label += length + 1;
    }
    return !is_numeric(label) && strcasecmp(label, "localhost") != 0 &&
           strcasecmp(name, "localhost.localdomain") != 0;
}
