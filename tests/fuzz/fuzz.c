/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fuzz_require(nowhere >= 0 && sodium_init() >= 0);
    log_open("fuzz", LOG_DEBUG, LOG_JSON, nowhere);
    return 0;
}

void fuzz_require(bool truth)
{
    if (!truth) {
        abort();
    }
}

char *fuzz_text(const uint8_t *bytes, size_t size)
{
    char *text = calloc(1, size + 1);
    fuzz_require(text != NULL);
    if (size > 0) {
        memcpy(text, bytes, size);
    }
    return text;
}

char *fuzz_cut(char *text)
{
    char *rest = text + strcspn(text, "\n");
    if (*rest == '\n') {
        *rest++ = '\0';
    }
    return rest;
}

int fuzz_file(const uint8_t *bytes, size_t size, char out_path[FUZZ_PATH_BYTES])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    fuzz_require(fd >= 0 && fd_write_all(fd, bytes, size, CLOCK_NEVER) == 0);
    fuzz_require(lseek(fd, 0, SEEK_SET) == 0);
    (void)snprintf(out_path, FUZZ_PATH_BYTES, "/proc/self/fd/%d", fd);
    return fd;
}
