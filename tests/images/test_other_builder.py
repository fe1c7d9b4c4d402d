# SPDX-License-Identifier: MIT
"""A builder that is not Docker's: buildah, which writes OCI images by default and then
passes over SHELL. A download whose SHA-256 is wrong must stop it all the same."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import standins
from builder import RUNNER

BASE = "localhost/debian:bookworm-slim"
ARCHIVE = f"v{standins.NODE}/node-v{standins.NODE}-linux-x64.tar.gz"
DEADLINE_S = 900


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    """buildah(words...): without a daemon, its data in a directory of the test's own; what a build
    that failed left mounted there is unmounted."""
    if shutil.which("buildah") is None or os.geteuid() != 0:
        pytest.skip("takes buildah, and root")
    root = tmp_path_factory.mktemp("buildah")
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def call(*words):
        command = ["buildah", "--root", root / "data", "--runroot", root / "run", *words]
        return subprocess.run(
            command, cwd=standins.TOP, env=environment, capture_output=True, text=True,
            timeout=DEADLINE_S, check=False,
        )  # fmt: skip

    base = root / "base"
    base.mkdir()
    os.link(standins.debian_tar(), base / "base.tar")
    (base / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    done = call("bud", "-t", BASE, base)
    assert done.returncode == 0, done.stderr
    yield call
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{root}/"):
            subprocess.run(["umount", line.split()[1]], check=True)
    shutil.rmtree(root)


def node_stage(buildah, sha256):
    with standins.served(standins.downloads()) as address:
        given = {
            "BASE_IMAGE": BASE,
            "BASE_DIGEST": "",
            "NODE_MIRROR": address,
            "NODE_SHA256_AMD64": sha256,
        }
        words = [
            word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")
        ]
        return buildah(
            "bud", "--layers", "--target", "node", *words, "-t", "node-stage",
            "-f", f"dockerfiles/{RUNNER}/Dockerfile", ".",
        )  # fmt: skip


def test_a_download_that_was_changed_stops_it(buildah):
    done = node_stage(buildah, "0" * 64)
    assert "FAILED" in done.stdout + done.stderr, done.stderr
    assert done.returncode != 0


def test_the_right_one_is_taken(buildah):
    done = node_stage(buildah, standins.sha256(standins.downloads() / ARCHIVE))
    assert done.returncode == 0, done.stderr
    assert f"v{standins.NODE}" in done.stdout
