# SPDX-License-Identifier: MIT
"""A root directory as of an image from scratch: nothing but the agent and
/dev/null, which every container has, and what a test adds.

The agent has the same path inside as outside, so that the fixture 'agent' can start it there. The
sanitized agent needs its libraries, which come along. Needs root, for chroot.
"""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

BUSYBOX = "/bin/busybox"


class Scratch:
    """root    the directory
    program the agent's path, inside and outside
    """

    def __init__(self, root, program):
        self.root = Path(root)
        self.program = Path(program)
        self.add(program)
        null = self.path("/dev/null")
        null.parent.mkdir()
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        null.chmod(0o666)

    def path(self, inside):
        return self.root / str(inside).lstrip("/")

    def add(self, outside, inside=None):
        """A program and the libraries that it needs, by default under the same path."""
        for one in [outside, *libraries(outside)]:
            target = self.path(inside if inside and one == outside else one)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, target)
        return self

    def write(self, inside, text, mode=0o644):
        target = self.path(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return self

    def words(self, user=None):
        """Words in front of a command that runs inside, as root or as a numeric user."""
        return [
            shutil.which("chroot"),
            *([f"--userspec={user}:{user}"] if user else []),
            str(self.root),
        ]

    def run(self, *words, user=None, before=(), env=None, timeout=60, umask=-1):
        """Runs the agent inside; returns subprocess.CompletedProcess with texts."""
        done = subprocess.run(
            [*before, *self.words(user), str(self.program), *map(str, words)],
            env={"ASAN_OPTIONS": self.asan(), **(env or {})},
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=timeout,
            check=False,
            umask=umask,
        )
        done.stderr = without_warnings(done.stderr)
        return done

    @staticmethod
    def asan():
        """The leak checker needs /proc."""
        return os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"

    def files(self, inside="/"):
        """Names of everything below, relative to it."""
        top = self.path(inside)
        return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def without_warnings(text):
    """The sanitizer's about a missing /proc."""
    return re.sub(r"==\d+==WARNING: reading executable name failed.*\n", "", text)


def libraries(program):
    found = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    return [] if found.returncode else re.findall(r"(/\S+) \(0x", found.stdout)


@pytest.fixture
def scratch(programs, tmp_path):
    """A Scratch of the test's own."""
    root = tmp_path / "root"
    root.mkdir(mode=0o755)
    return Scratch(root, programs.agent)
