/* SPDX-License-Identifier: MIT */
#include "driver/backend/embedded_agent.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* since Linux 6.3; older kernels refuse it */
#endif

extern const unsigned char berth_embedded_agent_start[];
extern const uint64_t berth_embedded_agent_bytes;

size_t embedded_agent_bytes(const void **out_bytes)
{
    *out_bytes = berth_embedded_agent_start;
    return berth_embedded_agent_bytes;
}

static int write_agent(int fd)
{
    return fd_write_all(fd, berth_embedded_agent_start, berth_embedded_agent_bytes, CLOCK_NEVER);
}

int embedded_agent_open(void)
{
    cleanup_fd int fd = memfd_create("berth-agent", MFD_CLOEXEC | MFD_EXEC);
    if (fd < 0) {
        fd = memfd_create("berth-agent", MFD_CLOEXEC);
    }
    return fd >= 0 && write_agent(fd) == 0 ? steal_fd(&fd) : -1;
}

static int write_copy(const char *path)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0700);
    return fd < 0 ? -1 : write_agent(fd);
}

void embedded_agent_exec(int fd, const char *copy_path, char *const argv[], char *const envp[])
{
    if (fd >= 0) {
        (void)fexecve(fd, argv, envp);
    }
    if (write_copy(copy_path) == 0) {
        (void)execve(copy_path, argv, envp);
    }
}
