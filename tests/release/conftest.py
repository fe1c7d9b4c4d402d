# SPDX-License-Identifier: MIT
"""Packages and fresh Debian roots for the tests of this folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
ROOTS = TOP / "build/package-roots"
SUITES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
# In namespaces of their own: what a script leaves running ends with it.
ENTER = """
set -e
mount -t proc proc "$0/proc"
for name in null zero random urandom tty; do
    [ -e "$0/dev/$name" ] || touch "$0/dev/$name"
    mount --bind "/dev/$name" "$0/dev/$name"
done
mkdir -p "$0/dev/shm"
mount -t tmpfs tmpfs "$0/dev/shm"
exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C chroot "$0" /bin/bash -c "$1"
"""


@pytest.fixture(scope="session")
def package_dist(tmp_path_factory):
    """package_dist(): a directory with new packages for amd64."""

    def make():
        directory = tmp_path_factory.mktemp("dist")
        done = subprocess.run(
            [TOP / "dev", "package", "amd64"], capture_output=True, text=True, check=False,
            env={**os.environ, "BERTH_DIST": str(directory)}, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return directory

    return make


@pytest.fixture(scope="session")
def root_archives():
    """Minimal Debian roots with tzdata, by mmdebstrap, both at once; made once."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    ROOTS.mkdir(parents=True, exist_ok=True)
    running = {}
    for suite in SUITES:
        if not (ROOTS / f"{suite}.tar").exists():
            running[suite] = subprocess.Popen(
                ["mmdebstrap", "--variant=essential", "--include=tzdata", suite,
                 ROOTS / f"{suite}.part.tar"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True,
            )  # fmt: skip
    yield running
    for process in running.values():
        if process.poll() is None:
            process.terminate()
            process.wait(60)


class Root:
    """A Debian root directory, in which scripts run."""

    def __init__(self, path):
        self.path = path

    def run(self, script):
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", ENTER,
             self.path, f"set -e\n{script}"],
            capture_output=True, text=True, timeout=400, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def check(self, script):
        done = self.run(script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add(self, path, name):
        shutil.copy(path, self.path / name)


@pytest.fixture(scope="module", params=list(SUITES), ids=list(SUITES.values()))
def fresh_root(request, root_archives, tmp_path_factory):
    suite = request.param
    archive = ROOTS / f"{suite}.tar"
    if suite in root_archives:
        process = root_archives.pop(suite)
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0, out
        (ROOTS / f"{suite}.part.tar").rename(archive)
    path = tmp_path_factory.mktemp(suite)
    subprocess.run(["tar", "-C", path, "-xf", archive], check=True)
    yield Root(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def root(fresh_root):
    """The root without what a test before this one left of Berth."""
    fresh_root.check(
        "dpkg -P berth >/dev/null 2>&1; rm -rf /var/lib/berth /etc/gitlab-runner /tmp/job "
        "/etc/systemd/system/timers.target.wants/berth*"
    )
    return fresh_root
