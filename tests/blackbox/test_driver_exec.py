# SPDX-License-Identifier: MIT
"""berth-driver exec: a task, a command, its status, and nothing left."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.mounts import default_config
from support.processes import command_line, with_marker

OWN_FAILURE = 255


def left(berth_driver):
    """Directories and processes of tasks that are still there."""
    kept = [path for path in berth_driver.local.iterdir() if path.name != "cache"]
    return kept, with_marker(f"HOME={berth_driver.local}".encode())


@pytest.mark.parametrize("code", [0, 1, 7, 42, 126, 127, 200, 254])
def test_status(berth_driver, code):
    assert berth_driver.run("exec", f"exit {code}").returncode == code
    assert left(berth_driver) == ([], set())


@pytest.mark.parametrize(
    ("words", "hinted"),
    [
        (["PATH=/nonexistent; git clone x"], True),
        (["--", "/nonexistent/git", "clone"], False),
        (["exit 127"], False),
    ],
)
def test_a_hint_for_an_image_without_git(berth_driver, words, hinted):
    done = berth_driver.run("exec", *words)
    assert done.returncode == 127
    assert ("berth-driver: if git was not found: " in done.stderr) == hinted, done.stderr
    assert "[Helper]" in done.stderr or not hinted


def test_signal(berth_driver):
    assert berth_driver.run("exec", "kill -9 $$").returncode == 137


@pytest.mark.parametrize(
    "words",
    [
        ["exec", "--", "printf", "%s|", "a b", "c'd", "*", "$HOME", ""],
        ["exec", "printf '%s|' 'a b' \"c'd\" '*' '$HOME' ''"],
    ],
)
def test_words_and_shell_text(berth_driver, words):
    assert berth_driver.run(*words).stdout == b"a b|c'd|*|$HOME||"


def test_options_of_the_command_are_not_ours(berth_driver):
    assert berth_driver.run("exec", "printf", "%s", "--help").stdout == b"--help"


def test_standard_input(berth_driver):
    payload = os.urandom(5_000_000)
    done = berth_driver.run("exec", "cat", input=payload)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(payload).digest()
    assert done.returncode == 0


def test_input_while_session_keys_are_renewed(berth_driver, programs, tmp_path):
    """libssh takes no byte then: what had been read already is sent when the new keys are there."""
    agent = tmp_path / "agent-that-renews"
    agent.write_text(f'#!/bin/sh\nexec {programs.agent} --rekey-bytes 64k "$@"\n')
    agent.chmod(0o755)
    berth_driver.settings["Local"]["Agent"] = str(agent)
    payload = os.urandom(10_000_000)
    done = berth_driver.run("exec", "cat", input=payload)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(payload).digest()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_standard_descriptors(berth_driver, closed):
    """As some daemons start programs: none of the driver's own descriptors takes their place."""
    words = [
        berth_driver.program,
        "--config",
        berth_driver.config(),
        "exec",
        "cat; echo out; exit 3",
    ]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        env=berth_driver.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout == (b"" if " >&-" in f" {closed}" else b"out\n")
    assert left(berth_driver) == ([], set())


def test_unread_input_does_not_hold_it_up(berth_driver):
    process = berth_driver.start("exec", "echo done", stdin=subprocess.PIPE)
    assert process.stdout.read() == b"done\n"
    assert process.wait(60) == 0


def test_stderr_is_apart(berth_driver):
    done = berth_driver.run("exec", "--log-level", "warn", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", "err\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopping_it_cleans_up(berth_driver, number):
    process = berth_driver.start("exec", "echo up; sleep 60")
    assert process.stdout.readline() == b"up\n"
    os.kill(process.pid, number)
    assert process.wait(60) == 128 + number
    assert left(berth_driver) == ([], set())


def test_killing_it_ends_the_task(berth_driver, until):
    process = berth_driver.start("exec", "echo up; sleep 60")
    assert process.stdout.readline() == b"up\n"
    mark = (
        f"HOME={next(p for p in berth_driver.local.iterdir() if p.name != 'cache')}/home".encode()
    )
    until(lambda: with_marker(mark))
    process.kill()
    process.wait()
    until(lambda: not with_marker(mark), 60)


def test_own_failures_are_255(berth_driver):
    berth_driver.settings["Backend"] = "ecs"
    done = berth_driver.run("exec", "true")
    assert done.returncode == OWN_FAILURE and "no [Fargate] Cluster" in done.stderr
    assert berth_driver.run("exec", config=False).returncode == 2
    assert berth_driver.run("exec", "--bogus", config=False).returncode == 2


def test_without_a_configuration(berth_driver):
    """As a user that the machine does not know, whose state directory is below HOME."""
    nobody = 64321 if os.geteuid() == 0 else os.geteuid()
    with tempfile.TemporaryDirectory(prefix="berth-test-") as home:
        program = shutil.copy(berth_driver.program, home)
        os.chown(home, nobody, -1)
        env = {"HOME": home, "PATH": os.environ["PATH"], "SHELL": "/bin/sh"}
        argv = [program, "exec", "echo $HOME; id -u"]
        if os.geteuid() == 0:
            argv = ["setpriv", f"--reuid={nobody}", "--clear-groups", *argv]
        done = subprocess.run(
            [*default_config(), *argv],
            env=env, cwd="/", capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    path, user = done.stdout.decode().split()
    assert path.startswith(f"{home}/.local/state/berth/local/exec-") and user == str(nobody)
    assert b"berth-driver: backend 'local', no configuration file" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user, which root alone can be")
def test_no_process_of_the_same_user_reads_it(berth_driver, programs):
    """What the runner passes in the environment of one job is not for the next."""
    if programs.sanitized:
        pytest.skip("the leak checker must trace its own process")
    nobody = 64321
    # The shell that starts the driver becomes it: $$ is the driver's number.
    look = "cat /proc/$$/environ /proc/$$/maps; ls -l /proc/$$/fd; id -u"
    script = f'exec "$0" exec "{look}"'
    with tempfile.TemporaryDirectory(prefix="berth-test-") as home:
        program = shutil.copy(berth_driver.program, home)
        os.chown(home, nobody, -1)
        env = {
            "HOME": home,
            "PATH": os.environ["PATH"],
            "SHELL": "/bin/sh",
            "CUSTOM_ENV_A": "s3cret",
            "BERTH_CONFIG": f"{home}/empty.toml",
        }
        (Path(home) / "empty.toml").touch()
        argv = ["sh", "-c", script, program]
        done = subprocess.run(
            argv, env=env, user=nobody, cwd="/", capture_output=True, timeout=60, check=False
        )
    assert done.stdout == f"{nobody}\n".encode(), done
    assert done.stderr.count(b"Permission denied") == 3 and b"s3cret" not in done.stderr


def test_the_shells_argument_limit(berth_driver):
    long = "true " + "x" * 131_000
    assert berth_driver.run("exec", long).returncode == 0
    done = berth_driver.run("exec", "true", *["y" * 1000] * 140)
    assert done.returncode == OWN_FAILURE and "131071 bytes" in done.stderr


def test_the_keys_are_not_visible(berth_driver, until):
    process = berth_driver.start("exec", "echo up; exec sleep 61.5")
    assert process.stdout.readline() == b"up\n"
    sleeper = until(
        lambda: (
            [
                p
                for p in with_marker(b"HOME=" + str(berth_driver.local).encode())
                if command_line(p) == "sleep 61.5"
            ]
            or with_marker(b"TMPDIR=" + str(berth_driver.local).encode())
        )
    )
    assert sleeper
    os.kill(process.pid, signal.SIGTERM)
    process.wait(60)
