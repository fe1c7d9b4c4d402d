# SPDX-License-Identifier: MIT
"""'berth-driver completion' in the shells themselves."""

import os
import shutil
import subprocess

import pytest

COMMANDS = {
    "custom", "exec", "ssh", "ps", "gc", "warm", "logs", "history", "report", "metrics",
    "push-agent", "init", "doctor", "completion", "version", "help",
}  # fmt: skip
# What the shells' completion systems bring, with the same arguments.
BASH = """
compopt() { [ "$1 $2" != "-o default" ] || echo files; }
source "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
_berth_driver 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { : }
_describe() { print -l -- "${(@P)2}" }
compadd() { shift; print -l -- "$@" }
_files() { print -l files }
source "$1"
words=("${@:2}") CURRENT=$(($# - 1))
_berth_driver
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory, programs):
    """script(shell): the path of its completion script."""

    def written(shell):
        path = tmp_path_factory.getbasetemp() / f"completion-{shell}"
        done = subprocess.run(
            [programs.driver, "completion", shell], capture_output=True, timeout=60, check=True
        )
        path.write_bytes(done.stdout)
        return path

    return written


def offered(script, shell, *words):
    if shutil.which(shell) is None:
        pytest.skip(f"not installed: {shell}")
    path = script(shell)
    home = {"HOME": str(path.parent)}  # fish writes there
    if shell == "fish":
        line = " ".join(words)
        argv = ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"]
    else:
        argv = [shell, "-fc" if shell == "zsh" else "-c", ZSH if shell == "zsh" else BASH]
        argv += [shell, path, *words]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=False, env=os.environ | home
    )
    assert done.returncode in (0, 1), done.stderr
    lines = [line.split("\t")[0] for line in done.stdout.splitlines() if line]
    # zsh filters itself: 'NAME:DESCRIPTION' of all.
    names = [line.split(":")[0] if shell == "zsh" else line for line in lines]
    return {name for name in names if name.startswith(words[-1]) or name == "files"}


SHELLS = pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])


@SHELLS
def test_commands(script, shell):
    assert offered(script, shell, "berth-driver", "") == COMMANDS
    assert offered(script, shell, "berth-driver", "e") == {"exec"}
    assert offered(script, shell, "berth-driver", "--debug", "do") == {"doctor"}


@SHELLS
def test_stages_only_after_custom(script, shell):
    assert offered(script, shell, "berth-driver", "custom", "p") == {"prepare"}
    assert "prepare" not in offered(script, shell, "berth-driver", "p")


@SHELLS
def test_options_of_the_command(script, shell):
    of_exec = offered(script, shell, "berth-driver", "exec", "--")
    of_gc = offered(script, shell, "berth-driver", "gc", "--")
    assert {"--image", "--no-mount", "--config"} <= of_exec and "--stop" not in of_exec
    assert {"--stop", "--config"} <= of_gc and "--image" not in of_gc


@SHELLS
def test_commands_after_help(script, shell, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example").touch()
    assert offered(script, shell, "berth-driver", "help", "e") == {"exec"}


@SHELLS
@pytest.mark.parametrize("words", [["--config"], ["report", "-o"], ["metrics", "--output"]])
def test_files(script, shell, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.html").touch()
    found = offered(script, shell, "berth-driver", *words, "pa")
    assert found == {"page.html" if shell == "fish" else "files"}


@SHELLS
def test_values(script, shell):
    assert offered(script, shell, "berth-driver", "--backend", "d") == {"docker"}
    assert offered(script, shell, "berth-driver", "completion", "z") == {"zsh"}
