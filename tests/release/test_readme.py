# SPDX-License-Identifier: MIT
"""README's tables say what the programs say: each option, its variable, its default; each key."""

import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BIN = TOP / "build/release/bin"
README = (TOP / "README.md").read_text()


def section(title):
    start = README.index(f"### {title}\n")
    end = re.compile(r"^##", re.M).search(README, start + 4)
    return README[start : end.start() if end else None]


def options_in_help(program):
    text = subprocess.run(
        [BIN / program, "--help"], capture_output=True, text=True, check=True
    ).stdout
    # A long option has its text on the next line.
    text = re.sub(r"\n {20,}", "  ", text)
    return [line.strip() for line in text.splitlines() if re.match(r" +(-\w, )?--\w", line)]


def row_of(program, option):
    rows = [row for row in section(f"Options of {program}").splitlines() if row.startswith("|")]
    found = [row for row in rows if re.search(rf"{option}[ `]", row.split("|")[1])]
    assert len(found) == 1, f"README has {len(found)} rows for {option} of {program}"
    return found[0]


@pytest.mark.parametrize("program", ["berth-agent", "berth-driver"])
def test_every_option_has_its_row(program):
    options = options_in_help(program)
    assert len(options) > 5
    for line in options:
        option = re.search(r"--[\w-]+", line).group()
        row = row_of(program, option)
        default = re.search(r"\(default ([^)]+)\)", line)
        variable = re.search(r"\[(BERTH_\w+)\]", line)
        for fact in (default, variable):
            if fact:
                assert fact.group(1).replace("'", "") in row.replace("`", ""), f"{option}: {row}"


@pytest.mark.parametrize("program", ["berth-agent", "berth-driver"])
def test_no_row_without_an_option(program):
    options = "\n".join(options_in_help(program))
    for option in re.findall(r"`(?:-\w, )?(--[\w-]+)", section(f"Options of {program}")):
        assert option in options, f"README knows {option}, {program} does not"


def test_every_configuration_key_has_its_row():
    source = (TOP / "driver/config_keys.c").read_text()
    keys = re.findall(r'^\s+\{(NULL|"\w+"), "(\w+)", KEY_', source, re.M)
    assert len(keys) > 20
    table = section("Configuration")
    for group, key in keys:
        rows = [row for row in table.splitlines() if f"`{key}`" in row]
        assert rows, f"README has no row for {key}"
        if group != "NULL":
            name = group.strip('"')
            assert any(f"[{name}]" in row for row in rows), f"{key} belongs to [{name}]"
