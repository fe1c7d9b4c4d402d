/* SPDX-License-Identifier: MIT */
#include "agent/session/flush.h"

#include <stdbool.h>

/* libssh's own; it asks for no time to wait on a connection that does not block. */
#define AT_ONCE 0

/* Names that the linker's --wrap prescribes. */
int __real_ssh_blocking_flush(ssh_session ssh, int timeout_ms);
int __wrap_ssh_blocking_flush(ssh_session ssh, int timeout_ms);

static bool held;

int __wrap_ssh_blocking_flush(ssh_session ssh, int timeout_ms)
{
    return held ? SSH_OK : __real_ssh_blocking_flush(ssh, timeout_ms);
}

void flush_hold(void)
{
    held = true;
}

void flush_release(ssh_session ssh)
{
    held = false;
    (void)__real_ssh_blocking_flush(ssh, AT_ONCE); /* an error shows as the session's end */
}
