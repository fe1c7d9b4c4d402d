/* SPDX-License-Identifier: MIT */
#include "common/ssh_fields.h"

static const unsigned char *take(struct ssh_fields *fields, size_t length)
{
    const unsigned char *bytes = fields->next;
    if (fields->left < length) {
        return NULL;
    }
    fields->next += length;
    fields->left -= length;
    return bytes;
}

bool ssh_fields_byte(struct ssh_fields *fields, uint8_t *out)
{
    const unsigned char *byte = take(fields, 1);
    if (byte != NULL) {
        *out = *byte;
    }
    return byte != NULL;
}

bool ssh_fields_uint32(struct ssh_fields *fields, uint32_t *out)
{
    const unsigned char *bytes = take(fields, 4);
    if (bytes != NULL) {
        *out = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
               (uint32_t)bytes[3];
    }
    return bytes != NULL;
}

const unsigned char *ssh_fields_string(struct ssh_fields *fields, size_t *out_length)
{
    struct ssh_fields ahead = *fields;
    uint32_t length = 0;
    const unsigned char *bytes = ssh_fields_uint32(&ahead, &length) ? take(&ahead, length) : NULL;
    if (bytes != NULL) {
        *fields = ahead;
        *out_length = length;
    }
    return bytes;
}
