/* SPDX-License-Identifier: MIT */
/*
 * ssh_fields.h - reading the fields of SSH's binary formats (RFC 4251, section 5), one by one.
 *
 * A cursor over bytes that stay the caller's; nothing is copied or allocated. A field that would
 * pass the end is not read: the function returns false, or NULL, and leaves the cursor alone.
 */
#ifndef BERTH_SSH_FIELDS_H
#define BERTH_SSH_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssh_fields {
    const unsigned char *next;
    size_t left; /* bytes */
};

bool ssh_fields_byte(struct ssh_fields *fields, uint8_t *out);
bool ssh_fields_uint32(struct ssh_fields *fields, uint32_t *out);
/* A string's bytes, which are not terminated. */
const unsigned char *ssh_fields_string(struct ssh_fields *fields, size_t *out_length);

#endif
