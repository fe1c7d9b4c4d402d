/* SPDX-License-Identifier: MIT */
#include "driver/backend/tar.h"

#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES 512
#define SIZE_LIMIT  (8UL << 30) /* the most that 11 octal digits can express */

/* POSIX.1-1988, "Extended tar format": every number is octal text. */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], device_major[8], device_minor[8], prefix[155];
    char padding[12];
};
_Static_assert(sizeof(struct header) == BLOCK_BYTES, "a header is one block");

static void set_checksum(struct header *header)
{
    unsigned sum = 0;
    memset(header->checksum, ' ', sizeof(header->checksum));
    for (size_t i = 0; i < sizeof(*header); i++) {
        sum += ((const unsigned char *)header)[i];
    }
    (void)snprintf(header->checksum, sizeof(header->checksum), "%06o", sum);
}

static int append_header(struct buffer *archive, const char *name, unsigned mode, size_t length,
                         char type)
{
    struct header header = {.type = type, .magic = "ustar", .version = {'0', '0'}};
    if (strlen(name) >= sizeof(header.name) || length >= SIZE_LIMIT) {
        return -1;
    }
    (void)snprintf(header.name, sizeof(header.name), "%s", name);
    (void)snprintf(header.mode, sizeof(header.mode), "%07o", mode & 07777U);
    (void)snprintf(header.uid, sizeof(header.uid), "%07o", 0U);
    (void)snprintf(header.gid, sizeof(header.gid), "%07o", 0U);
    (void)snprintf(header.size, sizeof(header.size), "%011lo", (unsigned long)length);
    (void)snprintf(header.mtime, sizeof(header.mtime), "%011lo", 0UL);
    set_checksum(&header);
    return buffer_append(archive, &header, sizeof(header));
}

int tar_directory(struct buffer *archive, const char *name, unsigned mode)
{
    return append_header(archive, name, mode, 0, '5');
}

int tar_file_begin(struct buffer *archive, const char *name, unsigned mode, size_t length)
{
    return append_header(archive, name, mode, length, '0');
}

int tar_file_end(struct buffer *archive, size_t length)
{
    static const char zeros[BLOCK_BYTES];
    size_t rest = length % BLOCK_BYTES;
    return rest == 0 ? 0 : buffer_append(archive, zeros, BLOCK_BYTES - rest);
}

int tar_file(struct buffer *archive, const char *name, unsigned mode, const void *bytes,
             size_t length)
{
    return tar_file_begin(archive, name, mode, length) < 0 ||
                   (length > 0 && buffer_append(archive, bytes, length) < 0)
               ? -1
               : tar_file_end(archive, length);
}

int tar_end(struct buffer *archive)
{
    static const char zeros[2 * BLOCK_BYTES];
    return buffer_append(archive, zeros, sizeof(zeros));
}
