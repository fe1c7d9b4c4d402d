# SPDX-License-Identifier: MIT
"""The programs for aarch64, cross-built, under qemu-user: mainly the agent.

qemu-user refuses to install a seccomp filter. The program that is shipped must therefore refuse to
serve there, and everything else of it is tested. Logins are tested with a second build, the same
but for the filter; and what system calls its sessions make decides whether the filter that the
shipped one installs would have let them pass.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.agent import Agent
from support.keys import KeyPair
from support.ssh import Ssh

TOP = Path(__file__).resolve().parents[2]
SHIPPED = TOP / "build/release-arm64/bin/berth-agent"
DRIVER = TOP / "build/release-arm64/bin/berth-driver"
UNFILTERED = TOP / "build/arm64-unfiltered/bin/berth-agent"
QEMU = "qemu-aarch64-static"


def run(*words, **how):
    return subprocess.run(
        [QEMU, *map(str, words)], capture_output=True, text=True, timeout=60, check=False, **how
    )


@pytest.fixture
def start(tmp_path):
    """start(program, qemu=[]): an agent under qemu-user, ended after the test."""
    started = []

    def start_one(program, qemu=()):
        agent = Agent(program, tmp_path, KeyPair(), KeyPair())
        started.append(agent)
        agent.start(before=[QEMU, *qemu])
        return agent

    yield start_one
    for agent in started:
        agent.stop()


@pytest.fixture
def client(tmp_path):
    """client(agent): OpenSSH's client for it."""
    clients = []

    def connect(agent):
        key = tmp_path / f"key-{len(clients)}"
        clients.append(Ssh(agent, agent.client_key.write_private(key), tmp_path, "root"))
        return clients[-1]

    yield connect
    for one in clients:
        one.stop()


def test_tools_are_there():
    assert shutil.which(QEMU), f"not installed: {QEMU}"


@pytest.mark.parametrize(
    "program", [SHIPPED, UNFILTERED, DRIVER], ids=["shipped", "unfiltered", "driver"]
)
def test_is_a_static_program_for_aarch64(program):
    kind = subprocess.run(["file", "-b", program], capture_output=True, text=True, check=True)
    assert "ARM aarch64" in kind.stdout
    assert "static-pie linked" in kind.stdout
    assert "stripped" in kind.stdout


@pytest.mark.parametrize("program", [SHIPPED, DRIVER], ids=["agent", "driver"])
def test_shipped_one_says_its_version(program):
    version = re.search(r"project\(berth VERSION (\S+)", (TOP / "CMakeLists.txt").read_text())[1]
    done = run(program, "--version")
    assert done.returncode == 0
    assert version in done.stdout


def test_driver_contains_the_agent_for_aarch64():
    assert SHIPPED.read_bytes() in DRIVER.read_bytes()


@pytest.mark.parametrize("status", [0, 7, 255])
def test_shipped_one_is_an_init(status):
    assert run(SHIPPED, "--init-only", "--", "/bin/sh", "-c", f"exit {status}").returncode == status


def test_shipped_one_needs_a_key():
    env = {name: text for name, text in os.environ.items() if name != "SSH_PUBLIC_KEY"}
    done = run(SHIPPED, "--listen", "127.0.0.1:0", env=env)
    assert done.returncode == 1
    assert "SSH_PUBLIC_KEY" in done.stderr


def test_shipped_one_never_serves_without_its_filter(start, client):
    agent = start(SHIPPED)
    done = client(agent).run("echo served")
    assert done.returncode == 255
    assert b"served" not in done.stdout
    assert "cannot install the seccomp filter" in agent.log()
    assert agent.terminate() == 0


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_login_runs_a_command_and_tells_its_status(start, client, status):
    done = client(start(UNFILTERED)).run(f"echo out; echo err >&2; exit {status}")
    assert (done.returncode, done.stdout, done.stderr) == (status, b"out\n", b"err\n")


def test_bytes_pass_unchanged_both_ways(start, client):
    text = os.urandom(1 << 20)
    done = client(start(UNFILTERED)).run("cat", input=text)
    assert done.returncode == 0
    assert done.stdout == text


def test_another_key_is_refused(start, client, tmp_path):
    agent = start(UNFILTERED)
    other = KeyPair().write_private(tmp_path / "other")
    done = client(agent).run("echo in", key_path=other)
    assert done.returncode == 255
    assert b"in" not in done.stdout


def allowed_calls():
    source = (TOP / "agent/session/confine.c").read_text()
    return set(re.findall(r"^    (?:ANY|WITH\w*)\((\w+)", source, re.M))


def test_sessions_make_only_system_calls_that_the_filter_allows(start, client):
    agent = start(UNFILTERED, ["-strace"])
    assert client(agent).run("cat; exit 3", input=b"x" * 100000).returncode == 3
    assert agent.terminate() == 0
    session, made = None, set()
    for pid, name, rest in re.findall(r"^(\d+) (\w+)\((.*)$", agent.log(), re.M):
        # 38: PR_SET_NO_NEW_PRIVS, the last step before the filter would be there.
        if name == "prctl" and rest.startswith("38,1,"):
            session = pid
        elif pid == session:
            made.add(name)
    assert {"ppoll", "sendto", "memfd_create", "exit_group"} <= made
    assert made - allowed_calls() == set()
