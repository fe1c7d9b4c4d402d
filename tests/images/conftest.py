# SPDX-License-Identifier: MIT
"""Fixtures of the image tests: an engine that keeps its data, and the images, built once.

engine    its data stay in build/images/engine, so that a second run finds the layers of the first
images    the builder (builder.py); berth-agent, runner, alpine and legacy: names of built images
repository  one to clone
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from builder import RUNNER_TAG, Builder  # noqa: E402
from standins import CACHE, TOP  # noqa: E402
from support import processes  # noqa: E402
from support.docker_engine import Engine, missing  # noqa: E402

AGENT = Path(os.environ.get("BERTH_BIN", TOP / "build/release/bin")).resolve() / "berth-agent"
NO_DIGEST = {"BASE_DIGEST": ""}


@pytest.fixture(scope="session")
def engine():
    reason = missing()
    if reason:
        pytest.skip(reason)
    processes.become_subreaper()
    instance = Engine(CACHE / "engine", keep_data=True)
    instance.acquire()
    yield instance
    instance.release()


@pytest.fixture(scope="session")
def images(engine):
    builder = Builder(engine)
    builder.bases()
    builder.agent_image(AGENT)
    return builder


@pytest.fixture(scope="session")
def runner(images):
    images.runner(AGENT_IMAGE="berth-agent")
    return RUNNER_TAG


@pytest.fixture(scope="session")
def alpine(images):
    arguments = {**NO_DIGEST, "PACKAGES": ""}
    images.build("dockerfiles/alpine/Dockerfile", "alpine-runner", arguments, buildkit=False)
    return "alpine-runner"


@pytest.fixture(scope="session")
def legacy(images):
    images.build("dockerfiles/legacy-sshd/Dockerfile", "legacy-sshd", NO_DIGEST, buildkit=False)
    return "legacy-sshd"


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """A repository to clone, and the hash of its one commit."""
    path = tmp_path_factory.mktemp("repository")
    (path / "package.json").write_text(
        '{"name": "a", "version": "1.0.0", "scripts": {"t": "node -p 6*7"}}'
    )
    for words in (
        ["init", "-q", "-b", "main"],
        ["config", "uploadpack.allowAnySHA1InWant", "true"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@example", "commit", "-q", "-m", "one"],
    ):
        subprocess.run(["git", "-C", path, *words], check=True, capture_output=True)
    sha = subprocess.run(
        ["git", "-C", path, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return path, sha
