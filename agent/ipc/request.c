/* SPDX-License-Identifier: MIT */
#include "agent/ipc/request.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#define CLIENT_BYTES    256
#define SUBSYSTEM_BYTES 64
#define ABSENT          UINT32_MAX /* length of an absent text */

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

struct request_header {
    uint32_t lengths[TEXT_COUNT];
    uint32_t words_bytes; /* 0: none */
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

void job_request_done(struct job_request *request)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        char **text = text_of(request, i);
        if (*text != NULL) {
            sodium_memzero(*text, strlen(*text));
            free(*text);
            *text = NULL;
        }
    }
    if (request->words != NULL) {
        sodium_memzero(request->words, request->words_bytes);
        free(request->words);
        request->words = NULL;
    }
}

int job_request_write(const struct job_request *request, struct error *err)
{
    struct request_header header;
    memset(&header, 0, sizeof(header));
    header.size = request->size;
    header.modes = request->modes;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *text = const_text_of(request, i);
        header.lengths[i] = text == NULL ? ABSENT : (uint32_t)strlen(text);
    }
    header.words_bytes = request->words == NULL ? 0 : request->words_bytes;
    cleanup_fd int fd = fd_memory_file("berth-request", 0, err);
    if (fd < 0) {
        return -1;
    }
    if (fd_write_all(fd, &header, sizeof(header), CLOCK_NEVER) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot write the request");
    }
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *text = const_text_of(request, i);
        if (text != NULL && fd_write_all(fd, text, strlen(text), CLOCK_NEVER) < 0) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot write the request");
        }
    }
    if (header.words_bytes > 0 &&
        fd_write_all(fd, request->words, header.words_bytes, CLOCK_NEVER) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot write the request");
    }
    return steal_fd(&fd);
}

bool job_request_words(const char *words, size_t length)
{
    const char *first = length == 0 ? NULL : memchr(words, '\0', length - 1);
    return first != NULL && first[1] != '\0' && words[length - 1] == '\0';
}

static char *read_text(int fd, uint32_t length, off_t offset, bool holds_nul)
{
    char *text = malloc((size_t)length + 1);
    if (text == NULL || fd_read_at(fd, text, length, offset) < 0 ||
        (!holds_nul && memchr(text, '\0', length) != NULL)) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

/* No words are a success. */
static int read_words(int fd, uint32_t length, off_t offset, struct job_request *request)
{
    if (length == 0) {
        return 0;
    }
    request->words = length > LIMIT_COMMAND_BYTES ? NULL : read_text(fd, length, offset, true);
    request->words_bytes = length;
    return request->words != NULL && job_request_words(request->words, length) ? 0 : -1;
}

int job_request_read(int fd, struct job_request *out_request, struct error *err)
{
    struct request_header header;
    struct job_request request = {0};
    if (fd_read_at(fd, &header, sizeof(header), 0) < 0) {
        return error_set(err, ERROR_PEER, errno, "cannot read a job request");
    }
    if (header.modes.count > TERMINAL_MODES) {
        return error_set(err, ERROR_PEER, 0, "malformed job request");
    }
    off_t offset = sizeof(header);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        if (header.lengths[i] == ABSENT) {
            continue;
        }
        char *text = header.lengths[i] > texts[i].ceiling
                         ? NULL
                         : read_text(fd, header.lengths[i], offset, false);
        if (text == NULL) {
            job_request_done(&request);
            return error_set(err, ERROR_PEER, 0, "malformed job request");
        }
        *text_of(&request, i) = text;
        offset += header.lengths[i];
    }
    if (read_words(fd, header.words_bytes, offset, &request) < 0) {
        job_request_done(&request);
        return error_set(err, ERROR_PEER, 0, "malformed job request");
    }
    request.size = header.size;
    request.modes = header.modes;
    *out_request = request;
    return 0;
}
