/* SPDX-License-Identifier: MIT */
#include "agent/job/request.h"

#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#define CLIENT_BYTES 256
#define ABSENT       UINT32_MAX /* the length of a text that is not there */

enum { TEXT_USER, TEXT_COMMAND, TEXT_CLIENT, TEXT_COUNT };

static const uint32_t ceilings[TEXT_COUNT] = {
    [TEXT_USER] = LIMIT_USER_BYTES,
    [TEXT_COMMAND] = LIMIT_COMMAND_BYTES,
    [TEXT_CLIENT] = CLIENT_BYTES,
};

struct file_header {
    uint32_t lengths[TEXT_COUNT];
};

static char **text_of(struct job_request *request, int which)
{
    return which == TEXT_USER      ? &request->user
           : which == TEXT_COMMAND ? &request->command
                                   : &request->client;
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
    for (int i = 0; i < TEXT_COUNT; i++) {
        wipe(text_of(request, i));
    }
}

int job_request_write(const struct job_request *request)
{
    const char *texts[TEXT_COUNT] = {request->user, request->command, request->client};
    struct file_header header;
    for (int i = 0; i < TEXT_COUNT; i++) {
        header.lengths[i] = texts[i] == NULL ? ABSENT : (uint32_t)strlen(texts[i]);
    }
    cleanup_fd int fd = memfd_create("berth-request", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, &header, sizeof(header), CLOCK_NEVER) < 0) {
        return -1;
    }
    for (int i = 0; i < TEXT_COUNT; i++) {
        if (texts[i] != NULL && fd_write_all(fd, texts[i], strlen(texts[i]), CLOCK_NEVER) < 0) {
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
    for (int i = 0; i < TEXT_COUNT; i++) {
        if (header.lengths[i] == ABSENT) {
            continue;
        }
        char *text =
            header.lengths[i] > ceilings[i] ? NULL : read_text(fd, header.lengths[i], offset);
        if (text == NULL) {
            job_request_done(&request);
            return error_set(err, ERROR_PEER, 0, "a job request is malformed");
        }
        *text_of(&request, i) = text;
        offset += header.lengths[i];
    }
    *out_request = request;
    return 0;
}
