# SPDX-License-Identifier: MIT
"""Fixtures of the black-box tests: the real programs, started and ended by pid.

BERTH_BIN names the directory with berth-agent and berth-driver (default build/release/bin).
Every test fails that leaves a process running or a sanitizer report behind. See each fixture.
"""

import asyncio
import functools
import getpass
import os
import re
import subprocess
from pathlib import Path

import asyncssh
import paramiko
import pytest

from support import ports, processes
from support.agent import Agent
from support.aws_account import account, metadata, sts  # noqa: F401
from support.cgroups import limited  # noqa: F401
from support.doctor import place  # noqa: F401
from support.driver import berth_driver, job  # noqa: F401
from support.ecs import cloud, ecs_job, moto  # noqa: F401
from support.ecs_generated import generated_job  # noqa: F401
from support.home import empty_home  # noqa: F401
from support.keys import KeyPair
from support.scratch import scratch  # noqa: F401
from support.ssh import Ssh
from support.waiting import until as _until

TOP = Path(__file__).resolve().parents[2]
SANITIZER_EXIT_CODE = 99


class Programs:
    """Where the programs under test are. 'sanitized': built with AddressSanitizer and UBSan."""

    def __init__(self, directory):
        self.directory = directory

    def _find(self, name):
        program = self.directory / name
        if not os.access(program, os.X_OK):
            pytest.fail(f"no program '{program}'; run './dev build' or set BERTH_BIN", False)
        return program

    def tool(self, name):
        """A program of tests/tools, built beside the programs."""
        return self._find(f"../tests/tools/{name}")

    @property
    def agent(self):
        return self._find("berth-agent")

    @property
    def driver(self):
        return self._find("berth-driver")

    @functools.cached_property
    def sanitized(self):
        return b"__asan_init" in self.agent.read_bytes()


def pytest_configure():
    processes.become_subreaper()
    # CI has no terminal; the clients under test send this variable on.
    os.environ.setdefault("TERM", "xterm")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """What a worker that crashed has left, such as its servers, is below the process that runs the
    workers by now, and would run for ever. An engine ends with its last user, who may be of another
    run."""
    if hasattr(config, "workerinput"):
        return  # other workers still use the engine that this one has started
    left = processes.descendants(os.getpid())
    engines = [pid for pid in left if processes.name(pid) == "unshare"]
    processes.end(left - set(engines).union(*(processes.descendants(pid) for pid in engines)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Tests that wait come first, so that a step does not end with one. Each worker begins with an
    equal part of the list (--dist worksteal), hence with an equal part of them."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    waiting = [item for item in items if item.get_closest_marker("waits")]
    others = [item for item in items if not item.get_closest_marker("waits")]
    size = -(-len(others) // workers)
    items[:] = [
        item
        for part in range(workers)
        for item in waiting[part::workers] + others[part * size : (part + 1) * size]
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a test that was skipped for a tool that is 'not installed' has failed."""
    report = yield
    if (
        report.skipped
        and os.environ.get("CI") == "true"
        and "not installed" in str(report.longrepr)
    ):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped in CI: {report.longrepr[2]}"
    return report


@pytest.fixture(scope="session")
def top():
    """The top directory of the source tree."""
    return TOP


@pytest.fixture(scope="session")
def programs():
    """The programs under test: .agent, .driver, .directory, .sanitized."""
    return Programs(Path(os.environ.get("BERTH_BIN", TOP / "build/release/bin")).resolve())


# The leak checker's word on a process that a test kills while it is looked at; no finding.
LOST_THREAD = re.compile(r"==\d+==Unable to get registers from thread \d+\.")


@pytest.fixture(scope="session", autouse=True)
def sanitizer_directory(tmp_path_factory):
    """Where sanitized programs write their reports; set for everything the tests start."""
    directory = tmp_path_factory.mktemp("sanitizer")
    common = f"log_path={directory}/report:exitcode={SANITIZER_EXIT_CODE}"
    os.environ["ASAN_OPTIONS"] = f"{common}:detect_leaks=1:detect_stack_use_after_return=1"
    os.environ["UBSAN_OPTIONS"] = f"{common}:print_stacktrace=1:halt_on_error=1"
    os.environ["LSAN_OPTIONS"] = common
    return directory


@pytest.fixture(autouse=True)
def nothing_left(sanitizer_directory):
    """After each test: no process is left and no sanitizer has reported anything."""
    detector = processes.LeftoverDetector()
    yield detector
    problems = []
    try:
        detector.check()
    except AssertionError as problem:
        problems.append(str(problem))
    for report in sorted(sanitizer_directory.iterdir()):
        text = LOST_THREAD.sub("", report.read_text(errors="replace")).strip()
        if text:
            problems.append(f"sanitizer report:\n{text}")
        report.unlink()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(scope="session")
def until():
    """until(condition, deadline_s=100, what=''): polls, returns the true value or fails."""
    return _until


@pytest.fixture(scope="session")
def free_port():
    """free_port(): see support/ports.py."""
    return ports.free_port


@pytest.fixture(scope="session")
def client_key():
    """The key pair whose public half the agents are given."""
    return KeyPair()


@pytest.fixture(scope="session")
def client_key_path(client_key, tmp_path_factory):
    """The private half as a file for OpenSSH's client."""
    return client_key.write_private(tmp_path_factory.mktemp("key") / "id_ed25519")


@pytest.fixture(scope="session")
def private_key(client_key_path):
    """The private half as paramiko takes it."""
    return paramiko.Ed25519Key.from_private_key_file(str(client_key_path))


@pytest.fixture
def agent(programs, client_key, tmp_path, nothing_left):
    """agent(env={}, args=[], ...): starts an agent and waits until it listens (support/agent.py).

    Any number per test; each is ended with SIGTERM after it, and its log shown if the test failed.
    """
    started = []

    def start(client_key=client_key, host_key=None, **how):
        directory = tmp_path / f"agent-{len(started)}"
        directory.mkdir()
        instance = Agent(programs.agent, directory, client_key, host_key or KeyPair())
        started.append(instance)
        instance.start(**how)
        return instance

    yield start
    problems = []
    for instance in started:
        try:
            instance.stop()
        except AssertionError as problem:
            problems.append(str(problem))
        if instance.process is None:
            continue
        print(f"--- log of agent {instance.pid}, exit {instance.process.returncode}:")
        print(instance.log(), end="")
        if instance.process.returncode == SANITIZER_EXIT_CODE:
            problems.append(f"agent {instance.pid} ended with a sanitizer's exit code")
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def ssh(client_key_path, tmp_path, nothing_left):
    """ssh(agent, user=None): an OpenSSH client for that agent (support/ssh.py)."""
    clients = []

    def connect(target, user=None):
        directory = tmp_path / f"ssh-{len(clients)}"
        directory.mkdir()
        clients.append(Ssh(target, client_key_path, directory, user))
        return clients[-1]

    yield connect
    for client in clients:
        client.stop()


@pytest.fixture
def event_loop_run():
    """event_loop_run(agent, check): awaits check(connection) on an asyncssh connection."""

    def run(target, check, user=None, **how):
        async def main():
            async with asyncssh.connect(
                "127.0.0.1",
                target.port,
                username=user or getpass.getuser(),
                client_keys=[asyncssh.import_private_key(target.client_key.private_text)],
                known_hosts=asyncssh.import_known_hosts(target.known_hosts_line()),
                config=None,
                **how,
            ) as connection:
                return await check(connection)

        return asyncio.run(asyncio.wait_for(main(), 60))

    return run


@pytest.fixture
def driver(programs, tmp_path, nothing_left):
    """driver(*words, env={}, input=b'', timeout=60): runs berth-driver to its end.

    Returns subprocess.CompletedProcess with bytes. env is added to a small clean environment;
    for tests that need the process itself, use programs.driver and driver.environment().
    """

    def environment(extra=None):
        full = {
            name: os.environ[name]
            for name in (
                "PATH",
                "HOME",
                "USER",
                "LOGNAME",
                "ASAN_OPTIONS",
                "UBSAN_OPTIONS",
                "LSAN_OPTIONS",
            )
            if name in os.environ
        }
        full["TMPDIR"] = str(tmp_path)
        full.update(extra or {})
        return full

    def run(*words, env=None, input=b"", timeout=60.0):
        return subprocess.run(
            [str(programs.driver), *map(str, words)],
            env=environment(env),
            input=input,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    run.environment = environment
    return run
