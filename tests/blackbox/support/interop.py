# SPDX-License-Identifier: MIT
"""Clients that are built or installed for the tests (tests/interop), once, into build/interop."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from support import home

TOP = Path(__file__).resolve().parents[3]
SOURCES = TOP / "tests/interop"
MADE = TOP / "build/interop"
DEADLINE_S = 100


@contextlib.contextmanager
def _only_one():
    """Tests run side by side; one of them makes the client, the others wait."""
    MADE.mkdir(parents=True, exist_ok=True)
    with open(MADE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(name, command, directory, env):
    """Runs a command unless that was done with the same sources."""
    digest = hashlib.sha256()
    for path in sorted((SOURCES / name).iterdir()):
        if path.is_file():
            digest.update(path.read_bytes())
    stamp = MADE / f"{name}.done"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, "HOME": home.own(), **env}, timeout=DEADLINE_S,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"
    stamp.write_text(digest.hexdigest())


def go_client():
    """Words in front of the client's arguments (see tests/interop/go/main.go)."""
    program = MADE / "go-client"
    with _only_one():
        command = ["go", "build", "-trimpath", "-mod=readonly", "-o", program, "."]
        _make("go", command, SOURCES / "go", {"GOTOOLCHAIN": "local"})
    return [program]


def node_client():
    """Words in front of the client's arguments (see tests/interop/node/client.js)."""
    directory = MADE / "node"
    with _only_one():
        directory.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json", "client.js"):
            shutil.copy(SOURCES / "node" / name, directory)
        command = ["npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
        _make("node", command, directory, {})
    return ["node", directory / "client.js"]
