# SPDX-License-Identifier: MIT
"""The runner image by the classic builder of the engine, which runs every stage there is."""

import re
import shutil

import pytest

import standins
from builder import DEBIAN, RUNNER
from conftest import AGENT

# The classic builder has no way around the stage that compiles; './dev test agent-image' runs that.
COMPILED = """\
FROM ${BASE_IMAGE}${BASE_DIGEST} AS agent-build
COPY berth-agent /berth/build/release/bin/berth-agent
"""


FINAL = "\nFROM ${BASE_IMAGE}${BASE_DIGEST}\n"


@pytest.fixture(scope="module")
def with_packages(images, runner):
    """The base image with the packages of the last stage. BuildKit has that layer already; that the
    lists of packages are complete, the other builds show."""
    text = (standins.TOP / f"dockerfiles/{RUNNER}/Dockerfile").read_text()
    install = re.search(r"^RUN apt-get (.*\\\n)*.*\n", text.rpartition(FINAL)[2], re.M)[0]
    written = images.build(
        "-", "with-packages", text=f"FROM {DEBIAN}\n{install}", words=["--network=host"]
    )
    assert "CACHED" in written, written
    return "with-packages"


@pytest.fixture(scope="module")
def classic(images, with_packages, tmp_path_factory):
    top = tmp_path_factory.mktemp("tree")
    shutil.copytree(standins.TOP / "dockerfiles", top / "dockerfiles")
    shutil.copy(AGENT, top / "berth-agent")
    path = top / f"dockerfiles/{RUNNER}/Dockerfile"
    stage = re.compile(r"^FROM [^\n]* AS agent-build\n.*?^# agent-build ends here\n", re.M | re.S)
    text, count = stage.subn(COMPILED, path.read_text())
    assert count == 1
    path.write_text(text)
    images.runner(tag="classic", top=top, buildkit=False, BASE_IMAGE=with_packages)
    yield "classic"
    images.engine.docker("rmi", "-f", "classic")


def test_it_is_the_same_image(engine, classic, runner):
    """But for layers and dates: what the image says of itself, and the agent in it."""

    def config(name):
        return engine.good("GET", f"/images/{name}/json")["Config"]

    for key in ("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "User"):
        assert config(classic).get(key) == config(runner).get(key), key
    done = engine.docker("run", "--rm", "--entrypoint", "berth-agent", classic, "--version")
    assert done.stdout.startswith("berth-agent ")
    script = (
        "ruby --version && bundle --version && node --version && npx --version && git lfs version"
    )
    engine.docker("run", "--rm", "--entrypoint", "sh", classic, "-c", script)
