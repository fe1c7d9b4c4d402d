/* SPDX-License-Identifier: MIT */
/* JOB_RESPONSE_FILE, the job as GitLab sent it. Beyond "no crash": the job's key, which becomes the
 * name of a file and of a task, has only characters that we chose, whatever the job contains. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/runner/runner.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    char path[FUZZ_PATH_BYTES];
    char key[RUNNER_JOB_KEY_BYTES];
    char again[RUNNER_JOB_KEY_BYTES];
    struct error err = {0};
    int fd = fuzz_file(bytes, size, path);
    struct runner runner = {.response_file = path};
    if (runner_job_key(&runner, key, &err) == 0) {
        fuzz_require(strncmp(key, "job-", 4) == 0 && key[strspn(key, plain)] == '\0');
        struct runner other = {.response_file = path};
        fuzz_require(runner_job_key(&other, again, &err) == 0 && strcmp(key, again) == 0);
    } else {
        fuzz_require(err.message[0] != '\0');
    }
    (void)close(fd);
    return 0;
}
