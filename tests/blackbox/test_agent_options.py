# SPDX-License-Identifier: MIT
"""Options without tests elsewhere: each compared with its default or another value."""

import os
import re
import signal
import subprocess
import time

import pytest

KEEPALIVE = b"rtype keepalive@openssh.com"


@pytest.mark.parametrize("value, asked", [("200ms", True), ("0", False)])
def test_keepalive(agent, ssh, value, asked):
    started = agent(args=["--keepalive", value, "--keepalive-count", "1000"])
    done = ssh(started).run("sleep 1; exit 3", options=["-v"])
    assert (done.returncode, KEEPALIVE in done.stderr) == (3, asked)


def test_drain(agent, ssh):
    """How long a silent background process may hold the output after the shell has exited."""

    def seconds(client):
        # From the shell's end: a login on a busy machine takes long.
        exited = float(client.run("sleep 30 & date +%s.%N").stdout)
        return time.time() - exited

    assert seconds(ssh(agent(args=["--drain", "2500ms"]))) >= 2.4
    # Less than the default, on a busy machine too.
    brief = ssh(agent(args=["--drain", "100ms"]))
    assert any(seconds(brief) < 1 for _ in range(20))


@pytest.mark.parametrize("value, more", [("1s", True), ("1h", False), ("0", False)])
def test_rekey_time(agent, ssh, value, more):
    started = agent(args=["--rekey-time", value])
    command = "i=0; while [ $i -lt 25 ]; do echo $i; sleep 0.1; i=$((i+1)); done; exit 4"
    done = ssh(started).run(command, options=["-v"])
    assert done.returncode == 4
    assert done.stdout == b"".join(b"%d\n" % number for number in range(25))
    assert (done.stderr.count(b"SSH2_MSG_NEWKEYS received") > 1) == more


def test_parent_death_signal(programs, client_key, until, tmp_path):
    """The parent, a shell, is killed; the agent gets the signal and shuts down."""
    log = tmp_path / "log"
    shell = subprocess.Popen(
        ["sh", "-c", '"$0" -p TERM --listen 127.0.0.1:0 2>"$1" & echo $!; wait',
         str(programs.agent), str(log)],
        env=dict(os.environ, SSH_PUBLIC_KEY=client_key.public),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        agent = int(shell.stdout.readline())
        until(lambda: log.exists() and "listening" in log.read_text(), 60)
        shell.kill()
        shell.wait()
        until(lambda: "exiting with status 0" in log.read_text(), 60)
        assert "SIGTERM: stopping" in log.read_text()
        pid, status = os.waitpid(agent, 0)  # this process reaps orphans
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
        assert (job.stdout.read(), job.wait(60)) == (b"got it\n", 5)


def test_the_exit_statuses_of_the_help(programs):
    """Each that a command line can show; others are in test_agent_init.py."""
    shown = subprocess.run([programs.agent, "--help"], capture_output=True, text=True, check=True)
    _, _, table = shown.stdout.partition("\nExit status:\n")
    listed = re.findall(r"(?m)^  (\S.*?)  +\S", table)
    assert listed == ["0", "1", "2", "126, 127", "N", "128 + N"], table
    for words, status in [
        (["--version"], 0),
        (["await", "--timeout", "1ms", "127.0.0.1:1"], 1),
        (["--listen", "127.0.0.1:0"], 1),
        (["--frob"], 2),
        (["--init-only", "--", "/dev/null"], 126),
        (["--init-only", "--", "/nonexistent"], 127),
        (["--init-only", "--", "sh", "-c", "exit 42"], 42),
        (["--init-only", "--", "sh", "-c", "kill -KILL $$"], 137),
    ]:
        done = subprocess.run(
            [programs.agent, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, (words, done)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["helth"], "unknown command 'helth'; did you mean 'health'?"),
        (["--log-level", "inf"], "did you mean 'info'?"),
    ],
)
def test_what_was_meant(programs, words, hint):
    done = subprocess.run([programs.agent, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and hint in done.stderr
