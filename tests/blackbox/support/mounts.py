# SPDX-License-Identifier: MIT
"""Programs in mount namespaces of their own: another disk, an image without a shell.

Each function returns words to put in front of a program, or skips the test that may not do this.
"""

import os
import subprocess

import pytest


def _in_namespace(script):
    words = ["unshare", "-m", "sh", "-c", script, "sh"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to make a mount namespace (unshare -m)")
    return words


def small_disk(directory, redirect=""):
    """'directory', which is made, has a MiB of room."""
    directory.mkdir()
    return _in_namespace(f'mount -t tmpfs -o size=1m none {directory} && exec "$@" {redirect}')


def without_shell():
    """No shell can be executed."""
    shells = sorted({os.path.realpath(shell) for shell in ("/bin/sh", "/bin/bash")})
    hide = " && ".join(f"mount --bind /dev/null {shell}" for shell in shells)
    return _in_namespace(f'{hide} && exec "$@"')
