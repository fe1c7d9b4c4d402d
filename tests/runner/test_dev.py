# SPDX-License-Identifier: MIT
"""./dev says what it can do, and says so when it cannot."""

import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
COMMANDS = ["demo", "test", "build", "bench", "fuzz", "fmt", "lint", "fetch", "clean"]


def dev(*words):
    return subprocess.run(
        [TOP / "dev", *words], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_list_has_a_line_for_each_command(words):
    shown = dev(*words)
    assert shown.returncode == 0
    listed = re.findall(r"^  (\w+) +\S.*$", shown.stdout, re.MULTILINE)
    assert listed == [*COMMANDS, "help"]
    assert all(len(line) <= 100 for line in shown.stdout.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
    shown = dev(command, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"./dev {command}")
    assert shown.stderr == ""


def test_every_command_file_is_listed():
    files = {path.stem.removeprefix("command_") for path in (TOP / "cmake/dev").glob("command_*")}
    assert files == set(COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ["bogus"],
        ["test", "bogus"],
        ["test", "--bogus"],
        ["build", "bogus"],
        ["clean", "--bogus"],
        ["lint", "x"],
        ["fetch", "x"],
    ],
)
def test_a_mistake_is_one_line_and_status_2(words):
    shown = dev(*words)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert len(shown.stderr.splitlines()) == 1
    assert shown.stderr.startswith("dev: ")
