/* SPDX-License-Identifier: MIT */
#include "agent/ipc/spool_view.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
    struct stat status;
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        fstat(fd, &status) < 0) {
        return -1;
    }
    size_t bytes = spool_file_bytes(header.slots);
    if (header.slots < SPOOL_STREAMS || (uint64_t)status.st_size < bytes) {
        errno = EPROTO;
        return -1;
    }
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        return -1;
    }
    *view = (struct spool_view){.map = map, .map_bytes = bytes, .slots = header.slots};
    return 0;
}

void spool_view_close(struct spool_view *view)
{
    if (view->map != NULL) {
        (void)munmap((void *)(uintptr_t)view->map, view->map_bytes);
    }
    *view = (struct spool_view){0};
}

const char *spool_view_at(const struct spool_view *view, int stream, uint64_t offset,
                          size_t *length)
{
    uint32_t slot = 0;
    memcpy(&slot, view->map + spool_table_offset(view->slots, stream, offset), sizeof(slot));
    if (slot >= view->slots) {
        return NULL;
    }
    size_t within = (size_t)(offset % SPOOL_SLOT_BYTES);
    size_t together = SPOOL_SLOT_BYTES - within;
    *length = *length < together ? *length : together;
    return view->map + spool_pool_offset(view->slots) + (size_t)slot * SPOOL_SLOT_BYTES + within;
}
