# SPDX-License-Identifier: MIT
"""A memory limit around a program, as a container has one."""

import os
from pathlib import Path

import pytest

from support.waiting import until

MEMORY = Path("/sys/fs/cgroup/memory")
LIMIT_BYTES = 64 << 20


def _removed(group):
    try:
        group.rmdir()
    except OSError:  # something in it is still on its way out
        return False
    return True


@pytest.fixture
def limited():
    """A memory cgroup of 64 MiB (version 1), and the words that start a program inside."""
    group = MEMORY / f"berth-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    except OSError as problem:
        pytest.skip(f"no memory cgroup of version 1 can be made here: {problem}")
    yield ["sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh"]
    for pid in (group / "cgroup.procs").read_text().split():
        (MEMORY / "cgroup.procs").write_text(pid)
    until(lambda: not group.exists() or _removed(group), what="the end of what ran in it")
