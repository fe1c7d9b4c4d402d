/* SPDX-License-Identifier: MIT */
/* The file with a request from a session, which may be compromised, to a monitor. Beyond "no
 * crash": an accepted request is the same when it is written and read again. */
#include <string.h>
#include <unistd.h>

#include "agent/ipc/request.h"
#include "tests/fuzz/fuzz.h"

static bool same(const char *one, const char *other)
{
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static void check_again(const struct job_request *request)
{
    struct job_request again = {0};
    struct error err = {0};
    int fd = job_request_write(request, &err);
    fuzz_require(fd >= 0 && job_request_read(fd, &again, &err) == 0);
    fuzz_require(same(request->user, again.user) && same(request->command, again.command));
    fuzz_require(same(request->subsystem, again.subsystem) && same(request->term, again.term));
    fuzz_require(same(request->variables, again.variables) && same(request->client, again.client));
    fuzz_require(memcmp(&request->modes, &again.modes, sizeof(again.modes)) == 0);
    job_request_done(&again);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    struct job_request request = {0};
    struct error err = {0};
    int fd = fuzz_file(bytes, size, path);
    if (job_request_read(fd, &request, &err) == 0) {
        struct termios termios = {0};
        terminal_modes_apply(&request.modes, &termios);
        (void)terminal_modes_end_of_input(&request.modes);
        check_again(&request);
        job_request_done(&request);
    }
    (void)close(fd);
    return 0;
}
