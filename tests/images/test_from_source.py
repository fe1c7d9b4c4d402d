# SPDX-License-Identifier: MIT
"""Both Dockerfiles that compile the agent do so, and it is the agent that './dev build' makes.

A step of its own, 'agent-image', since it takes minutes: it compiles the agent's libraries again.
"""

import hashlib
import io
import re
import subprocess
import tarfile

import pytest

from builder import RUNNER_TAG, Builder
from conftest import AGENT, NO_DIGEST
from support.docker_engine import _client


@pytest.fixture(scope="module")
def builder(engine):
    instance = Builder(engine)
    instance.bases()
    return instance


def digest_in(engine, image, path):
    """SHA-256 of a file of an image."""
    made = engine.docker("create", image).stdout.strip()
    try:
        archive = subprocess.run(
            [_client(), "-H", engine.url, "cp", f"{made}:{path}", "-"],
            capture_output=True, check=True,
        ).stdout  # fmt: skip
    finally:
        engine.docker("rm", made)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return hashlib.sha256(tar.extractfile(tar.getmembers()[0]).read()).hexdigest()


@pytest.fixture(scope="module")
def expected():
    return hashlib.sha256(AGENT.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def revision():
    """Build arguments with the commit that the agent names."""
    shown = subprocess.run([AGENT, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"commit (\S+), (\S+)\)", shown)
    return {"REVISION": found[1], "REVISION_DATE": found[2]} if found else {}


def test_agent_image_is_the_agent_alone(engine, builder, expected, revision):
    builder.build("dockerfiles/agent/Dockerfile", "agent-from-source", {**NO_DIGEST, **revision})
    assert digest_in(engine, "agent-from-source", "/berth-agent") == expected
    done = engine.docker("run", "--rm", "agent-from-source", "--version")
    assert done.stdout.startswith("berth-agent ")
    made = engine.docker("create", "agent-from-source").stdout.strip()
    names = subprocess.run(
        f"{_client()} -H {engine.url} export {made} | tar t", shell=True, capture_output=True,
        text=True, check=True,
    ).stdout.split()  # fmt: skip
    engine.docker("rm", made)
    # The engine itself makes what stands in dev, etc, proc and sys.
    ours = {name for name in names if name.split("/")[0] not in {"dev", "etc", "proc", "sys"}}
    assert ours - {".dockerenv"} == {"berth-agent"}


def test_runner_image_by_the_readme_s_command(engine, builder, expected, revision):
    builder.runner(**revision)
    assert digest_in(engine, RUNNER_TAG, "/usr/local/bin/berth-agent") == expected
