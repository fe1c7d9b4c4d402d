# SPDX-License-Identifier: MIT
"""What the Dockerfiles say, without building them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from builder import RUNNER

TOP = Path(__file__).resolve().parents[2]
FILES = sorted((TOP / "dockerfiles").glob("*/Dockerfile"))
IDS = [path.parent.name for path in FILES]
each = pytest.mark.parametrize("path", FILES, ids=IDS)


def text_of(name):
    return (TOP / "dockerfiles" / name / "Dockerfile").read_text()


def test_all_are_there():
    assert IDS == ["agent", "alpine", "legacy-sshd", RUNNER]


@each
def test_hadolint_finds_nothing(path):
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", "-c", TOP / ".hadolint.yaml", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_hadolint_would_find_something(tmp_path):
    """The test above can fail: its configuration leaves the rules on."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && sudo apt-get install curl\n")
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "-c", TOP / ".hadolint.yaml", bad], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert {"DL3006", "DL3004", "DL3003"} <= set(re.findall(r"DL\d+", done.stdout))


@each
def test_each_base_is_pinned_by_a_digest_in_an_argument(path):
    text = path.read_text()
    arguments = dict(re.findall(r"^ARG (\w+)=(.*)$", text, re.M))
    stages = set(re.findall(r"^FROM .* AS (\S+)$", text, re.M))
    for image in re.findall(r"^FROM (\S+)", text, re.M):
        name = re.fullmatch(r"\$\{(\w+)_IMAGE\}\$\{(\w+)_DIGEST\}", image)
        if name:
            assert name[1] == name[2]
            assert re.fullmatch(r"@sha256:[0-9a-f]{64}", arguments[f"{name[1]}_DIGEST"])
            assert ":" in arguments[f"{name[1]}_IMAGE"]
        else:
            assert image in {"scratch", "${AGENT_IMAGE}"} | stages


@each
def test_every_download_is_checked(path):
    """As many checksums as calls of curl; addresses stand in arguments alone."""
    code = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    assert len(re.findall(r"\bcurl -", code)) == len(re.findall(r"sha256sum -c", code))
    for line in code.splitlines():
        assert "http" not in line or line.startswith("ARG "), line
    assert not re.search(r"^ADD ", code, re.M)


@each
def test_a_command_that_fails_stops_the_build(path):
    """Whatever the builder takes for a shell: OCI images have no SHELL, and /bin/sh goes on."""
    code = re.sub(r"\\\n", "", path.read_text())
    assert not re.search(r"^SHELL ", code, re.M)
    for line in re.findall(r"^RUN (.*)$", code, re.M):
        assert line.startswith("set -eu;") or not re.search(r";|[^|]\|[^|]", line), line


@each
def test_no_processor_is_named_but_where_archives_differ(path):
    for line in path.read_text().splitlines():
        if line.startswith("#") or re.match(r"ARG NODE_SHA256_|\s+(amd64|arm64)\) name=", line):
            continue
        assert not re.search(r"amd64|x86_64|x64|aarch64|arm64|--platform", line), line


@each
def test_version_is_the_projects(path):
    version = re.search(r"project\(berth VERSION (\S+)", (TOP / "CMakeLists.txt").read_text())[1]
    assert f"\nARG BERTH_VERSION={version}\n" in path.read_text()


def test_the_agent_is_built_the_same_way_in_both():
    """The same lines, so that the builder has to run them once."""

    def stage(name):
        text = text_of(name)
        return text[text.index("# agent-build:") : text.index("# agent-build ends here")]

    assert len(stage("agent")) > 500
    assert stage("agent") == stage(RUNNER)


def test_context_holds_only_what_is_needed():
    wanted = set((TOP / ".dockerignore").read_text().split())
    assert "*" in wanted
    assert not {"!build", "!.git", "!tests"} & wanted
