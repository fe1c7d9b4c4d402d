# SPDX-License-Identifier: MIT
"""berth-driver exec: a task, a command, its status, and nothing left."""

import hashlib
import os
import signal
import subprocess

import pytest
from driver_support import driver  # noqa: F401
from support.processes import command_line, with_marker

OWN_FAILURE = 255


def left(driver):  # noqa: F811
    """Directories and processes of tasks that are still there."""
    kept = [path for path in driver.local.iterdir() if path.name != "cache"]
    return kept, with_marker(f"HOME={driver.local}".encode())


@pytest.mark.parametrize("code", [0, 1, 7, 42, 126, 127, 200, 254])
def test_status(driver, code):  # noqa: F811
    assert driver.run("exec", f"exit {code}").returncode == code
    assert left(driver) == ([], set())


def test_signal(driver):  # noqa: F811
    assert driver.run("exec", "kill -9 $$").returncode == 137


@pytest.mark.parametrize("words", [["exec", "--", "printf", "%s|", "a b", "c'd", "*", "$HOME", ""],
                                   ["exec", "printf '%s|' 'a b' \"c'd\" '*' '$HOME' ''"]])  # fmt: skip
def test_words_and_shell_text(driver, words):  # noqa: F811
    assert driver.run(*words).stdout == b"a b|c'd|*|$HOME||"


def test_options_of_the_command_are_not_ours(driver):  # noqa: F811
    assert driver.run("exec", "echo", "--help").stdout == b"--help\n"


def test_standard_input(driver):  # noqa: F811
    payload = os.urandom(5_000_000)
    done = driver.run("exec", "cat", input=payload)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(payload).digest()
    assert done.returncode == 0


def test_unread_input_does_not_hold_it_up(driver):  # noqa: F811
    process = driver.start("exec", "echo done", stdin=subprocess.PIPE)
    assert process.stdout.read() == b"done\n"
    assert process.wait(20) == 0


def test_stderr_is_apart(driver):  # noqa: F811
    done = driver.run("exec", "--log-level", "warn", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", "err\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopping_it_cleans_up(driver, number):  # noqa: F811
    process = driver.start("exec", "echo up; sleep 60")
    assert process.stdout.readline() == b"up\n"
    os.kill(process.pid, number)
    assert process.wait(30) == 128 + number
    assert left(driver) == ([], set())


def test_killing_it_ends_the_task(driver, until):  # noqa: F811
    process = driver.start("exec", "echo up; sleep 60")
    assert process.stdout.readline() == b"up\n"
    mark = f"HOME={next(p for p in driver.local.iterdir() if p.name != 'cache')}/home".encode()
    until(lambda: with_marker(mark))
    process.kill()
    process.wait()
    until(lambda: not with_marker(mark), 15)


def test_own_failures_are_255(driver):  # noqa: F811
    driver.settings["Backend"] = "ecs"
    done = driver.run("exec", "true")
    assert done.returncode == OWN_FAILURE and "not in this version" in done.stderr
    assert driver.run("exec", config=False).returncode == OWN_FAILURE
    assert driver.run("exec", "--bogus", config=False).returncode in (2, OWN_FAILURE)


def test_without_a_configuration(driver, tmp_path):  # noqa: F811
    if os.geteuid() == 0:
        pytest.skip("as root the built-in directory is the machine's own /var/lib/berth")
    env = driver.environment(HOME=str(tmp_path))
    done = driver.run("exec", "--debug", "echo $HOME", config=False, env=env)
    assert done.stdout.decode().startswith(f"{tmp_path}/.local/state/berth/local/exec-")


def test_the_shells_argument_limit(driver):  # noqa: F811
    long = "true " + "x" * 131_000
    assert driver.run("exec", long).returncode == 0
    done = driver.run("exec", "true", *["y" * 1000] * 140)
    assert done.returncode == OWN_FAILURE and "131071 bytes" in done.stderr


def test_nobody_sees_the_keys(driver, until):  # noqa: F811
    process = driver.start("exec", "echo up; exec sleep 61.5")
    assert process.stdout.readline() == b"up\n"
    sleeper = until(lambda: [p for p in with_marker(b"HOME=" + str(driver.local).encode())
                             if command_line(p) == "sleep 61.5"] or with_marker(
                                 b"TMPDIR=" + str(driver.local).encode()))  # fmt: skip
    assert sleeper
    os.kill(process.pid, signal.SIGTERM)
    process.wait(20)
