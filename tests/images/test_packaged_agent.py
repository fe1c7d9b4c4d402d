# SPDX-License-Identifier: MIT
"""dockerfiles/agent/Dockerfile.packaged makes the agent's image for both processors."""

import io
import shutil
import subprocess
import tarfile

import pytest

from conftest import AGENT, TOP
from support.docker_engine import _client

FILE = TOP / "dockerfiles/agent/Dockerfile.packaged"
ARM64 = TOP / "build/release-arm64/bin/berth-agent"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As the packages' /usr/lib/berth; without a cross-built agent, a stand-in for it."""
    directory = tmp_path_factory.mktemp("lib")
    shutil.copy(AGENT, directory / "berth-agent-x86_64")
    if ARM64.exists():
        shutil.copy(ARM64, directory / "berth-agent-aarch64")
    else:
        (directory / "berth-agent-aarch64").write_bytes(b"stand-in")
    return directory


@pytest.mark.parametrize("processor,machine", [("amd64", "x86_64"), ("arm64", "aarch64")])
def test_image_of_each_processor(engine, folder, processor, machine):
    tag = f"packaged-{processor}"
    engine.docker(
        "build", f"--platform=linux/{processor}", "-t", tag, "-f", FILE, folder, buildkit=True
    )
    shown = engine.docker("inspect", "--format", "{{.Architecture}} {{.Config.Entrypoint}}", tag)
    assert shown.stdout.strip() == f"{processor} [/berth-agent]"
    made = engine.docker("create", f"--platform=linux/{processor}", tag).stdout.strip()
    archive = subprocess.run(
        [_client(), "-H", engine.url, "cp", f"{made}:/berth-agent", "-"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    engine.docker("rm", made)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar.getmembers()
        assert tar.extractfile(member).read() == (folder / f"berth-agent-{machine}").read_bytes()
        assert member.mode & 0o777 in (0o755, 0o644)
