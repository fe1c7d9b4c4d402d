# SPDX-License-Identifier: MIT
"""Generated scripts have the runner's shape, and bash reads them as they were meant."""

import subprocess

import pytest

from runner.scripts import quote, wrap


def bash(script):
    return subprocess.run(["bash"], input=script.encode(), capture_output=True, check=False)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        "two words",
        "it's",
        'a "quoted" word',
        "back\\slash",
        "new\nline",
        "tab\tbed",
        "$HOME `id` $(id)",
        "\x01\x07\x08\x1b[31m\x7f",
        "grüße €",
        "!history",
        "*?[a]~",
        "a;b|c&d",
    ],
)
def test_quoted_text_is_that_text_again(text):
    assert bash(f"printf %s {quote(text)}").stdout.decode() == text


def test_shape():
    lines = wrap(["echo 'hi'"]).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "trap 'exit 1' TERM" in lines
    assert lines[-2].startswith(": | (eval $'echo \\'hi\\'\\n'")
    assert lines[-1] == "exit 0"


def test_first_failure_ends_the_script_with_its_status():
    ran = bash(wrap(["echo one", "(exit 42)", "echo two"]))
    assert (ran.returncode, ran.stdout) == (42, b"one\n")


def test_failure_in_a_pipe_counts():
    assert bash(wrap(["(exit 7) | cat"])).returncode == 7


def test_a_command_that_reads_its_input_swallows_nothing():
    assert bash(wrap(["cat", "echo after"])).stdout == b"after\n"


def test_scripts_beyond_the_limit_of_one_argument():
    text = "x" * 300_000
    assert bash(wrap([f"echo {text}"])).stdout == text.encode() + b"\n"
