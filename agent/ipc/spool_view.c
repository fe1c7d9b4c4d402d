/* SPDX-License-Identifier: MIT */
#include "agent/ipc/spool_view.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/fd.h"

#define PAGE 4096

size_t spool_pool_offset(uint32_t slots)
{
    size_t tables = sizeof(struct spool_header) + sizeof(uint32_t) * SPOOL_STREAMS * slots;
    return (tables + PAGE - 1) / PAGE * PAGE;
}

size_t spool_file_bytes(uint32_t slots)
{
    return spool_pool_offset(slots) + (size_t)slots * SPOOL_SLOT_BYTES;
}

size_t spool_table_offset(uint32_t slots, int stream, uint64_t offset)
{
    uint64_t index = offset / SPOOL_SLOT_BYTES % slots;
    return sizeof(struct spool_header) + sizeof(uint32_t) * ((size_t)stream * slots + index);
}

int spool_view_open(struct spool_view *view, int fd)
{
    struct spool_header header;
    if (fd_read_at(fd, &header, sizeof(header), 0) < 0) {
        return -1;
    }
    if (header.slots < SPOOL_STREAMS) {
        errno = EPROTO;
        return -1;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return -1;
    }
    *view = (struct spool_view){.fd = copy, .slots = header.slots};
    return 0;
}

void spool_view_close(struct spool_view *view)
{
    if (view->slots != 0) {
        (void)close(view->fd);
    }
    *view = (struct spool_view){0};
}

int spool_view_read(const struct spool_view *view, int stream, uint64_t offset, char *to,
                    size_t length)
{
    while (length > 0) {
        uint32_t slot = 0;
        size_t within = (size_t)(offset % SPOOL_SLOT_BYTES);
        size_t part = SPOOL_SLOT_BYTES - within;
        part = length < part ? length : part;
        if (fd_read_at(view->fd, &slot, sizeof(slot),
                       (off_t)spool_table_offset(view->slots, stream, offset)) < 0) {
            return -1;
        }
        if (slot >= view->slots) {
            errno = EPROTO;
            return -1;
        }
        size_t at = spool_pool_offset(view->slots) + (size_t)slot * SPOOL_SLOT_BYTES + within;
        if (fd_read_at(view->fd, to, part, (off_t)at) < 0) {
            return -1;
        }
        to += part;
        offset += part;
        length -= part;
    }
    return 0;
}
