# SPDX-License-Identifier: MIT
"""A program under a seccomp filter in which one system call fails, as older filters of container
engines make calls fail that they do not know.

refusing(call, reason)   words to put in front of a program; needs root
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, FAIL = 0x7FFF0000, 0x00050000
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBERS = {"x86_64": {"close_range": 436, "memfd_create": 319, "statx": 332},
           "aarch64": {"close_range": 436, "memfd_create": 279, "statx": 291}}  # fmt: skip


def refusing(call, reason):
    number = NUMBERS[platform.machine()][call]
    return (sys.executable, __file__, str(number), str(getattr(errno, reason)))


def main(number, reason, *words):
    rows = [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, int(number)), (RETURN, 0, 0, FAIL | int(reason)),
            (RETURN, 0, 0, ALLOW)]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    program = struct.pack("HP", len(rows), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot install a seccomp filter")
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(*sys.argv[1:])
