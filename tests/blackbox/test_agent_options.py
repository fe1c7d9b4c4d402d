# SPDX-License-Identifier: MIT
"""Options that no other test shows at work: each against its absence or another value."""

import os
import signal
import subprocess
import time

import pytest

KEEPALIVE = b"rtype keepalive@openssh.com"


@pytest.mark.parametrize("value, asked", [("200ms", True), ("0", False)])
def test_keepalive(agent, ssh, value, asked):
    started = agent(args=["--keepalive", value])
    done = ssh(started).run("sleep 1; exit 3", options=["-v"])
    assert (done.returncode, KEEPALIVE in done.stderr) == (3, asked)


@pytest.mark.parametrize("value, least, most", [("100ms", 0, 1.5), ("2500ms", 2.4, 6)])
def test_drain(agent, ssh, value, least, most):
    """How long a silent background process may hold the output of a shell that has ended."""
    client = ssh(agent(args=["--drain", value]))
    began = time.monotonic()
    done = client.run("sleep 30 & echo hello")
    assert done.stdout == b"hello\n"
    assert least < time.monotonic() - began < most


@pytest.mark.parametrize("value, more", [("1s", True), ("1h", False), ("0", False)])
def test_rekey_time(agent, ssh, value, more):
    started = agent(args=["--rekey-time", value])
    command = "i=0; while [ $i -lt 25 ]; do echo $i; sleep 0.1; i=$((i+1)); done; exit 4"
    done = ssh(started).run(command, options=["-v"])
    assert done.returncode == 4
    assert done.stdout == b"".join(b"%d\n" % number for number in range(25))
    assert (done.stderr.count(b"SSH2_MSG_NEWKEYS received") > 1) == more


def test_parent_death_signal(programs, client_key, until, tmp_path):
    """The parent is a shell that is killed; the agent gets its signal and ends in order."""
    log = tmp_path / "log"
    shell = subprocess.Popen(
        ["sh", "-c", '"$0" -p TERM --listen 127.0.0.1:0 2>"$1" & echo $!; wait',
         str(programs.agent), str(log)],
        env=dict(os.environ, SSH_PUBLIC_KEY=client_key.public),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        agent = int(shell.stdout.readline())
        until(lambda: log.exists() and "listening" in log.read_text(), 10)
        shell.kill()
        shell.wait()
        until(lambda: "done" in log.read_text(), 10, "the agent's end")
        assert "SIGTERM: ending" in log.read_text()
        pid, status = os.waitpid(agent, 0)  # an orphan's way to this process
        assert (pid, status) == (agent, 0)
    finally:
        shell.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_jobs_in_all_connections(agent, ssh, number):
    started = agent()
    name = signal.Signals(number).name.removeprefix("SIG")
    script = f"trap 'echo got it; exit 5' {name}; echo up; while :; do sleep 0.02; done"
    jobs = [ssh(started).start(script) for _ in range(2)]
    for job in jobs:
        assert job.stdout.readline() == b"up\n"
    started.process.send_signal(number)
    for job in jobs:
        assert (job.stdout.read(), job.wait(10)) == (b"got it\n", 5)
