# SPDX-License-Identifier: MIT
"""docs/reference.md matches the programs' help, and the help fits a terminal."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BIN = TOP / "build/release/bin"
REFERENCE = (TOP / "docs/reference.md").read_text()
COMMANDS = (
    "exec ssh ps gc warm logs history report metrics push-agent init doctor completion version"
)
COMMANDS = COMMANDS.split() + [
    f"custom {stage}" for stage in ("config", "prepare", "run", "cleanup")
]


def help_of(program, *words):
    return subprocess.run(
        [BIN / program, *words], check=True, capture_output=True, text=True
    ).stdout


def test_reference_is_up_to_date():
    made = subprocess.run(
        [sys.executable, TOP / "scripts/reference.py", BIN],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert made == REFERENCE, "run './dev build' and './dev reference'"


@pytest.mark.parametrize("program", ["berth-agent", "berth-driver"])
def test_every_option_has_a_row(program):
    options = re.findall(r"^ +(?:-\w, )?(--[\w-]+)", help_of(program, "--help"), re.M)
    assert len(options) > 15
    part = REFERENCE[REFERENCE.index(f"\n## {program}\n") :]
    for option in options:
        assert re.search(rf"^\| `(-\w, )?{option}[ `]", part, re.M), option


def test_every_key_has_a_row():
    source = (TOP / "driver/config/schema.c").read_text()
    keys = re.findall(r'\{\s*(?:NULL|"\w+"),\s*"(\w+)",\s*SCHEMA_', source)
    assert len(keys) > 70
    for key in keys:
        assert f"\n| `{key}` |" in REFERENCE, key
    assert REFERENCE.count("\n| `") >= len(keys)


@pytest.mark.parametrize(
    "words",
    [["berth-agent", "--help"], ["berth-driver", "--help"], ["berth-driver", "help", "config"]]
    + [["berth-driver", *command.split(), "--help"] for command in COMMANDS],
    ids=" ".join,
)
def test_help_fits_80_columns(words):
    assert [line for line in help_of(*words).splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples(command):
    _, _, examples = help_of("berth-driver", *command.split(), "--help").partition("\nExamples:\n")
    assert examples.startswith("  berth-driver ") and command in examples.split("\n\n")[0]


def test_readme_is_short_and_its_links_lead_somewhere():
    text = (TOP / "README.md").read_text()
    assert len(text.splitlines()) <= 180
    links = re.findall(r"\]\(([^)#]+)", text)
    assert len(links) > 8
    for link in links:
        assert (TOP / link).exists(), link


@pytest.mark.parametrize("page", ["operations.md", "limits.md"])
def test_links_between_pages(page):
    for link in re.findall(r"\]\(([^)#]+)", (TOP / "docs" / page).read_text()):
        assert (TOP / "docs" / link).exists(), link


def test_readme_names_only_what_exists():
    """Options, keys and commands of ./dev in README's blocks."""
    text = (TOP / "README.md").read_text()
    keys = (TOP / "driver/config/schema.c").read_text()
    for key in re.findall(r"^      ?(\w+) = ", text[: text.index("[[runners]]")], re.M):
        assert f'"{key}"' in keys, key
    for command in re.findall(r"\./dev (\w+)", text):
        assert (TOP / f"scripts/command_{command}.sh").exists(), command
    for option in re.findall(r"berth-driver .*?(--[a-z-]+)", text):
        assert f"`{option}" in REFERENCE or f", {option}" in REFERENCE, option
