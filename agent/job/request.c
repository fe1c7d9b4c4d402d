/* SPDX-License-Identifier: MIT */
#include "agent/job/request.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#define CLIENT_BYTES    256
#define SUBSYSTEM_BYTES 64
#define ABSENT          UINT32_MAX /* the length of a text that is not there */

static const struct {
    size_t offset; /* in struct job_request */
    uint32_t ceiling;
} texts[] = {
    {offsetof(struct job_request, user), LIMIT_USER_BYTES},
    {offsetof(struct job_request, command), LIMIT_COMMAND_BYTES},
    {offsetof(struct job_request, subsystem), SUBSYSTEM_BYTES},
    {offsetof(struct job_request, variables), LIMIT_ENVIRONMENT_BYTES},
    {offsetof(struct job_request, term), LIMIT_TERM_BYTES},
    {offsetof(struct job_request, client), CLIENT_BYTES},
};
#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))

struct file_header {
    uint32_t lengths[TEXT_COUNT];
    struct terminal_size size;
    struct terminal_modes modes;
};

static char **text_of(struct job_request *request, size_t which)
{
    return (char **)((char *)request + texts[which].offset);
}

static const char *const_text_of(const struct job_request *request, size_t which)
{
    return *(char *const *)((const char *)request + texts[which].offset);
}

static void wipe(char **text)
{
    if (*text != NULL) {
        sodium_memzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}

void job_request_done(struct job_request *request)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        wipe(text_of(request, i));
    }
}

int job_request_write(const struct job_request *request)
{
    struct file_header header;
    memset(&header, 0, sizeof(header));
    header.size = request->size;
    header.modes = request->modes;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *text = const_text_of(request, i);
        header.lengths[i] = text == NULL ? ABSENT : (uint32_t)strlen(text);
    }
    cleanup_fd int fd = memfd_create("berth-request", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, &header, sizeof(header), CLOCK_NEVER) < 0) {
        return -1;
    }
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *text = const_text_of(request, i);
        if (text != NULL && fd_write_all(fd, text, strlen(text), CLOCK_NEVER) < 0) {
            return -1;
        }
    }
    return steal_fd(&fd);
}

/* Exactly 'length' bytes at 'offset'. */
static int read_exactly(int fd, void *bytes, size_t length, off_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t got = pread(fd, (char *)bytes + done, length - done, offset + (off_t)done);
        if (got == 0) {
            errno = EPROTO;
            return -1;
        }
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static char *read_text(int fd, uint32_t length, off_t offset)
{
    char *text = malloc((size_t)length + 1);
    if (text == NULL || read_exactly(fd, text, length, offset) < 0 ||
        memchr(text, '\0', length) != NULL) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

int job_request_read(int fd, struct job_request *out_request, struct error *err)
{
    struct file_header header;
    struct job_request request = {0};
    if (read_exactly(fd, &header, sizeof(header), 0) < 0) {
        return error_set(err, ERROR_PEER, errno, "cannot read a job request");
    }
    off_t offset = sizeof(header);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        if (header.lengths[i] == ABSENT) {
            continue;
        }
        char *text =
            header.lengths[i] > texts[i].ceiling ? NULL : read_text(fd, header.lengths[i], offset);
        if (text == NULL) {
            job_request_done(&request);
            return error_set(err, ERROR_PEER, 0, "a job request is malformed");
        }
        *text_of(&request, i) = text;
        offset += header.lengths[i];
    }
    request.size = header.size;
    request.modes = header.modes;
    *out_request = request;
    return 0;
}
