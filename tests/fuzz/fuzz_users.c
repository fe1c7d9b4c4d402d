/* SPDX-License-Identifier: MIT */
/* /etc/passwd is part of an untrusted image. The first line is the name of the login, the rest the
 * file. Beyond "no crash": a user that may log in can be looked up by that name, with texts that a
 * shell can start from. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/users.h"
#include "tests/fuzz/fuzz.h"

static void check_user(const char *name)
{
    struct user user = {0};
    bool exists = users_exist(name);
    fuzz_require(users_find(name, &user) == exists);
    fuzz_require(exists || (geteuid() == 0 && strcmp(name, "root") != 0));
    if (!exists) {
        fuzz_require(user.name == NULL);
        return;
    }
    fuzz_require(geteuid() != 0 || strcmp(user.name, name) == 0);
    fuzz_require(user.home[0] != '\0' && access(user.shell, X_OK) == 0);
    fuzz_require(user.is_self == (user.uid == geteuid()));
    user_done(&user);
    user_done(&user);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    struct error err = {0};
    const uint8_t *newline = size > 0 ? memchr(bytes, '\n', size) : NULL;
    size_t first = newline == NULL ? size : (size_t)(newline - bytes);
    size_t rest = newline == NULL ? size : first + 1;
    char *name = fuzz_text(bytes, first);
    int fd = fuzz_file(size > rest ? bytes + rest : (const uint8_t *)"", size - rest, path);
    fuzz_require(users_load_file(path, &err) == 0 || err.kind == ERROR_LIMIT);
    check_user(name);
    check_user("root");
    (void)close(fd);
    free(name);
    return 0;
}
