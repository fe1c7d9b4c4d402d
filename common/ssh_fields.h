/* SPDX-License-Identifier: MIT */
/*
 * ssh_fields.h - reads fields of SSH's binary formats (RFC 4251, section 5) one by one.
 *
 * A cursor over the caller's bytes, without copies. If a field would exceed the end, the functions
 * return false or NULL and do not move the cursor.
 */
#ifndef BERTH_COMMON_SSH_FIELDS_H
#define BERTH_COMMON_SSH_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssh_fields {
    const unsigned char *next;
    size_t left; /* bytes */
};

bool ssh_fields_byte(struct ssh_fields *fields, uint8_t *out);
bool ssh_fields_uint32(struct ssh_fields *fields, uint32_t *out);
/* The bytes of a string, without a NUL. */
const unsigned char *ssh_fields_string(struct ssh_fields *fields, size_t *out_length);

#endif
