/* SPDX-License-Identifier: MIT */
/* /etc/hosts is part of an untrusted image, and shared by the containers of a task. The first line
 * is a name, the rest the file. Beyond "no crash": what is there stays, a missing name is found
 * once it was added, and adding it again changes nothing. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/hosts.h"
#include "common/host_name.h"
#include "tests/fuzz/fuzz.h"

#define ROOM 3

static off_t size_of(int fd)
{
    struct stat status;
    fuzz_require(fstat(fd, &status) == 0);
    return status.st_size;
}

static void check_found(const char *text, size_t length, const char *name)
{
    struct sockaddr_storage found[ROOM];
    size_t count = hosts_find(text, length, name, found, ROOM);
    fuzz_require(count <= ROOM);
    for (size_t i = 0; i < count; i++) {
        fuzz_require(found[i].ss_family == AF_INET || found[i].ss_family == AF_INET6);
    }
    fuzz_require((count == 0) == (hosts_state(text, length, name) == HOSTS_MISSING));
}

static void check_add(int fd, const char *path, const char *name, enum hosts_state before)
{
    struct error err = {0};
    enum hosts_state states[2];
    const char *names[] = {name, "another-name"};
    struct sockaddr_storage found;
    size_t count = 0;
    off_t old = size_of(fd);
    if (hosts_add(path, names, 2, states, &err) < 0) {
        fuzz_require(size_of(fd) == old && err.kind == ERROR_LIMIT);
        return;
    }
    fuzz_require(states[0] == before);
    fuzz_require(hosts_find_in(path, name, &found, 1, &count, &err) == 0 && count == 1);
    off_t added = size_of(fd);
    fuzz_require(hosts_add(path, names, 2, states, &err) == 0 && size_of(fd) == added);
    fuzz_require(states[0] != HOSTS_MISSING && states[1] != HOSTS_MISSING);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    const uint8_t *newline = size > 0 ? memchr(bytes, '\n', size) : NULL;
    size_t first = newline == NULL ? size : (size_t)(newline - bytes);
    size_t rest = newline == NULL ? size : first + 1;
    char *name = fuzz_text(bytes, first);
    char *text = fuzz_text(bytes + rest, size - rest);
    check_found(text, size - rest, name);
    if (host_name_is_valid(name)) {
        int fd = fuzz_file((const uint8_t *)text, size - rest, path);
        check_add(fd, path, name, hosts_state(text, size - rest, name));
        (void)close(fd);
    }
    free(name);
    free(text);
    return 0;
}
