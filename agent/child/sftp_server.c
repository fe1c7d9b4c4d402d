/* SPDX-License-Identifier: MIT */
#include "agent/child/sftp_server.h"

#include <stddef.h>
#include <unistd.h>

const char *sftp_server_find(const char *chosen)
{
    static const char *const usual[] = {
        "/usr/lib/openssh/sftp-server",   "/usr/libexec/openssh/sftp-server",
        "/usr/libexec/sftp-server",       "/usr/lib/ssh/sftp-server",
        "/usr/local/libexec/sftp-server", "/usr/lib/sftp-server",
    };
    if (chosen != NULL) {
        return access(chosen, X_OK) == 0 ? chosen : NULL;
    }
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (access(usual[i], X_OK) == 0) {
            return usual[i];
        }
    }
    return NULL;
}
