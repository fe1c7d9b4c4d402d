/* SPDX-License-Identifier: MIT */
/* Files of /proc and of the cgroup file system, with arbitrary mount points and group names. A NUL
 * separates 'cgroup' from 'mountinfo'. */
#include <stdlib.h>
#include <string.h>

#include "agent/monitor/cgroup.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cgroup cgroup;
    const uint8_t *end = size > 0 ? memchr(bytes, '\0', size) : NULL;
    size_t first = end == NULL ? size : (size_t)(end - bytes);
    size_t rest = end == NULL ? size : first + 1;
    char *membership = fuzz_text(bytes, first);
    char *mountinfo = fuzz_text(size > 0 ? bytes + rest : bytes, size - rest);
    cgroup_locate(membership, mountinfo, &cgroup);
    fuzz_require(cgroup.version >= 0 && cgroup.version <= 2);
    fuzz_require(cgroup.version == 0 || cgroup.directory[0] == '/');
    fuzz_require(memchr(cgroup.directory, '\0', sizeof(cgroup.directory)) != NULL);
    fuzz_require(cgroup.version == 0 ||
                 strncmp(cgroup.directory, cgroup.mount, strlen(cgroup.mount)) == 0);
    fuzz_require(cgroup_number(membership) >= CGROUP_UNKNOWN);
    fuzz_require(cgroup_field(mountinfo, "oom_kill") >= CGROUP_UNKNOWN);
    free(membership);
    free(mountinfo);
    return 0;
}
