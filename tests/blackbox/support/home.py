# SPDX-License-Identifier: MIT
"""An empty home directory for everything that tests start.

Shells, the AWS CLI, Docker's client and npm read files of the user's own home otherwise.
"""

import os
import pwd

import pytest

# What makes a shell read files of its own, or take itself for one that sshd started.
FOREIGN = (
    "BASH_ENV", "ENV", "ZDOTDIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "DOCKER_CONFIG",
    "SSH_CLIENT", "SSH2_CLIENT", "SSH_CONNECTION", "SSH_TTY",
)  # fmt: skip


def own():
    """The home of the user who runs the tests, where compilers and npm have their caches."""
    return pwd.getpwuid(os.geteuid()).pw_dir


@pytest.fixture(scope="session", autouse=True)
def empty_home(tmp_path_factory):
    """HOME for the whole run. Nothing may be left in it: the next test would find it."""
    directory = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(directory))
        for name in FOREIGN:
            patch.delenv(name, raising=False)
        yield directory
    # An interactive bash under sshd writes its history, which no shell obeys.
    left = sorted(path.name for path in directory.iterdir() if path.name != ".bash_history")
    assert left == [], f"tests left files in their home directory: {left}"
