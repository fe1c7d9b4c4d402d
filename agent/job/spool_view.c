/* SPDX-License-Identifier: MIT */
/* A spool as its reader sees it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/job/spool_private.h"

int spool_view_open(struct spool_view *view, int fd)
{
    struct spool_file file;
    struct stat status;
    bool writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
    if (pread(fd, &file, sizeof(file), 0) != (ssize_t)sizeof(file) || fstat(fd, &status) < 0) {
        return -1;
    }
    size_t bytes = spool_file_bytes(file.slots);
    if (file.slots < SPOOL_STREAMS || (uint64_t)status.st_size < bytes) {
        errno = EPROTO;
        return -1;
    }
    int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *map = mmap(NULL, bytes, access, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        return -1;
    }
    *view = (struct spool_view){
        .map = map, .map_bytes = bytes, .slots = file.slots, .writable = writable};
    return 0;
}

void spool_view_close(struct spool_view *view)
{
    if (view->map != NULL) {
        (void)munmap(view->map, view->map_bytes);
    }
    *view = (struct spool_view){0};
}

const char *spool_view_at(const struct spool_view *view, int stream, uint64_t offset,
                          size_t *length)
{
    uint32_t slot = spool_table_slot(view->map, view->slots, stream, offset);
    if (slot >= view->slots) {
        return NULL;
    }
    size_t within = (size_t)(offset % SPOOL_SLOT_BYTES);
    size_t together = SPOOL_SLOT_BYTES - within;
    *length = *length < together ? *length : together;
    return view->map + spool_slot_offset(view->slots, slot) + SPOOL_HEAD_BYTES + within;
}
