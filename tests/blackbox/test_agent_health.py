# SPDX-License-Identifier: MIT
"""berth-agent health, the command of a container's health check."""

import os
import socket
import subprocess
import time

import pytest


@pytest.fixture
def health(programs):
    def run(*args, **env):
        return subprocess.run(
            [programs.agent, "health", *args],
            env={**os.environ, **env},
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


def test_answers(agent, health):
    target = agent()
    assert health("--listen", f"127.0.0.1:{target.port}").returncode == 0
    got = health(BERTH_LISTEN=f":{target.port}")
    assert (got.returncode, got.stdout, got.stderr) == (0, b"", b"")


def test_many_checks_do_not_prevent_logins(agent, health, ssh):
    target = agent(args=["--max-unauthenticated-per-address", "2"])
    assert [health(BERTH_LISTEN=str(target.port)).returncode for _ in range(20)] == [0] * 20
    assert ssh(target).run("echo in").stdout == b"in\n"


def test_checks_are_not_logged(agent, health, ssh):
    """A health check, or a load balancer, connects every few seconds for days."""
    target = agent()
    before = target.log()
    assert [health(BERTH_LISTEN=str(target.port)).returncode for _ in range(3)] == [0] * 3
    assert ssh(target).run("exit 4").returncode == 4
    assert target.terminate() == 0
    said = target.log().removeprefix(before)
    assert said.count("logged in") == said.count("disconnected") == 1
    assert not [line for line in said.splitlines() if "connected" in line and "dis" not in line]


@pytest.mark.parametrize("word", ["--help", "-h", "--version"])
def test_help_and_version_of_health(health, word):
    got = health(word)
    assert (got.returncode, got.stderr) == (0, b"")
    assert b"berth-agent" in got.stdout


def test_no_listener(health, free_port):
    got = health("--listen", f":{free_port()}")
    assert got.returncode == 1
    assert got.stderr.count(b"\n") == 1
    assert b"no agent answers on" in got.stderr


@pytest.mark.parametrize("greeting", [None, b"HTTP/1.1 400 Bad Request\r\n"])
def test_another_server_listens(health, greeting):
    with socket.create_server(("127.0.0.1", 0)) as server:
        checked = subprocess.Popen if greeting else None
        started = time.monotonic()
        if checked:
            import threading  # the check waits for a reply

            def answer():
                connection, _ = server.accept()
                with connection:
                    connection.sendall(greeting)

            thread = threading.Thread(target=answer)
            thread.start()
        got = health("--listen", f"127.0.0.1:{server.getsockname()[1]}")
        if checked:
            thread.join()
        assert got.returncode == 1
        assert time.monotonic() - started < 4
