/* SPDX-License-Identifier: MIT */
#include "driver/commands/output_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

#define WRITE_MS 60000

int output_file_write(const char *path, mode_t mode, const struct buffer *text, struct error *err)
{
    struct stat status;
    if (path == NULL || strcmp(path, "-") == 0) {
        return fd_write_all(STDOUT_FILENO, text->bytes, text->length, clock_deadline_ms(WRITE_MS)) <
                       0
                   ? error_set(err, ERROR_SYSTEM, errno, "cannot write to stdout")
                   : 0;
    }
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        return error_set(err, ERROR_OPTION, 0, "-o: '%s' is not a regular file", path);
    }
    return fd_replace_file(path, text->bytes, text->length, mode, err);
}
