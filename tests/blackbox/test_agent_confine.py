# SPDX-License-Identifier: MIT
"""The confinement of session processes, and the effect of a killed process on the others."""

import hashlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from support import processes

MIB = 1 << 20
# A hundred key exchanges; hybrid ones would take most of a second each.
REKEYING = ["-o", "RekeyLimit=256K", "-o", "KexAlgorithms=curve25519-sha256"]


def status_of(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def ready(process):
    """Reads the first line of a running job."""
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return int(line)


@pytest.fixture
def unfiltered(programs):
    if programs.sanitized:
        pytest.skip("a build with AddressSanitizer has no filter")


def test_the_confinement_took_effect_before_login(agent, programs, until):
    import socket

    server = agent()
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        assert silent.recv(8) == b"SSH-2.0-"  # confined before it sends anything
        (pid,) = until(lambda: processes.named(server.pid, "berth-session"))
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits
        if not programs.sanitized:
            assert status["Seccomp"] == "2"
            assert f"Max address space         {256 * MIB}" in limits
            # Not dumpable: its files in /proc belong to root.
            assert Path(f"/proc/{pid}/mem").stat().st_uid == 0


def test_every_session_process_is_filtered(agent, ssh, unfiltered):
    server = agent()
    client = ssh(server)
    jobs = [client.start("echo $$; exec cat") for _ in range(4)]
    for job in jobs:
        ready(job)
    sessions = processes.named(server.pid, "berth-session")
    assert len(sessions) == 4
    assert {status_of(pid)["Seccomp"] for pid in sessions} == {"2"}
    assert {status_of(pid)["NoNewPrivs"] for pid in sessions} == {"1"}
    for job in jobs:
        job.stdin.close()
        assert job.wait(60) == 0


def test_jobs_are_not_confined(agent, ssh):
    server = agent()
    done = ssh(server).run("grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; ulimit -c; ulimit -v")
    inherited = Path("/proc/self/status").read_text()
    for line in done.stdout.decode().splitlines()[:2]:
        assert line in inherited


def test_rekeying_both_ways_under_the_filter(agent, ssh):
    payload = os.urandom(8 * MIB)
    done = ssh(agent()).run("cat", input=payload, options=REKEYING)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(payload).digest()
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com"])
def test_large_output_under_the_filter(agent, ssh, cipher):
    done = ssh(agent()).run("head -c 67108864 /dev/zero", options=["-c", cipher])
    assert done.stdout == bytes(64 * MIB)
    assert done.returncode == 0


def test_long_command_under_the_filter(agent, ssh):
    # The client's command is one argument of its exec call.
    done = ssh(agent()).run("printf %s " + "x" * 120_000)
    assert done.stdout == b"x" * 120_000


def test_unknown_user_and_wrong_key_do_not_kill_the_session(agent, ssh, tmp_path):
    from support.keys import KeyPair

    server = agent()
    client = ssh(server)
    other = KeyPair().write_private(tmp_path / "other")
    assert client.run("true", key_path=other).returncode == 255
    if os.geteuid() == 0:
        assert client.run("true", user="nobody-here").returncode == 255
    assert client.run("echo works").stdout == b"works\n"
    assert "SIGSYS" not in server.log()


def test_a_killed_session_does_not_affect_others(agent, ssh, until):
    server = agent(args=["--grace", "1s"])
    client = ssh(server)
    one = client.start("echo $$; exec sleep 1000")
    one_job = ready(one)
    (session,) = processes.named(server.pid, "berth-session")
    two = client.start("echo $$; cat; exit 7")
    ready(two)
    os.kill(session, signal.SIGKILL)
    assert one.wait(60) == 255
    until(lambda: not processes.alive(one_job), what="the end of the job without a client")
    assert two.communicate(b"still here\n", timeout=60)[0] == b"still here\n"
    assert two.returncode == 7
    until(lambda: "was killed by signal 9" in server.log())


def test_a_killed_monitor_stops_only_its_job(agent, ssh, until):
    server = agent(args=["--grace", "100s"])
    client = ssh(server)
    one = client.start("echo $$; trap '' TERM; sleep 1000 & sleep 1000; sleep 1000")
    one_job = ready(one)
    tree = until(lambda: len(below := processes.descendants(one_job)) == 2 and below) | {one_job}
    (monitor,) = processes.named(server.pid, "berth-job")
    two = client.start("echo $$; cat; exit 7")
    ready(two)
    bystander = subprocess.Popen(["sleep", "1000"])
    os.kill(monitor, signal.SIGKILL)
    until(lambda: not any(map(processes.alive, tree)), 60, what="the end of the dead monitor's job")
    assert one.wait(60) == 255  # OpenSSH's exit status for a signal
    assert two.communicate(b"still here\n", timeout=60)[0] == b"still here\n"
    assert two.returncode == 7
    assert client.run("echo new").stdout == b"new\n"
    assert processes.alive(bystander.pid)
    bystander.kill()
    bystander.wait()
    log = server.log()
    assert "was killed by signal 9" in log
    assert "reporting SIGKILL" in log


def test_a_killed_job_is_reported(agent, ssh):
    server = agent()
    job = ssh(server).start("echo $$; exec sleep 1000")
    os.kill(ready(job), signal.SIGKILL)
    assert job.wait(60) == 255
    assert ssh(server).run("echo works").stdout == b"works\n"


def test_a_killed_agent_stops_every_job(agent, ssh, until):
    server = agent(args=["--grace", "1s"])
    job = ssh(server).start("echo $$; trap '' TERM; sleep 1000 & while :; do sleep 1000; done")
    top = ready(job)
    tree = until(lambda: len(below := processes.descendants(top)) == 2 and below) | {top}
    tree |= set(processes.named(server.pid, "berth-session", "berth-job"))
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    until(lambda: not any(map(processes.alive, tree)), 60, what="the end of the job's tree")
    assert job.wait(60) == 255


def own_user():
    """A user ID of this process alone: a limit counts all processes of a user."""
    return 1_000_000_000 + os.getpid()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user of its own, so root")
def test_no_process_for_a_session(agent, ssh, programs, until):
    if programs.sanitized:
        pytest.skip("the sanitizer's own processes count")
    user = own_user()
    limited = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    server = agent(before=[*limited, "prlimit", "--nproc=4"])
    client = ssh(server)
    job = client.start("exec cat")  # agent, session, monitor, job: none left
    until(lambda: len(processes.descendants(server.pid)) == 3)
    assert client.run("echo never").returncode == 255
    until(lambda: "cannot fork a session" in server.log())
    job.stdin.close()
    assert job.wait(60) == 0
    until(lambda: not processes.descendants(server.pid))
    assert client.run("echo again").stdout == b"again\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user of its own, so root")
@pytest.mark.parametrize("processes_left", [2, 3])
def test_no_process_for_a_job(agent, ssh, programs, processes_left):
    if programs.sanitized:
        pytest.skip("the sanitizer's own processes count")
    user = own_user()
    limited = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    server = agent(before=[*limited, "prlimit", f"--nproc={processes_left}"])
    done = ssh(server).run("echo never")
    assert done.returncode == 126
    assert b"cannot start the command: Resource temporarily unavailable" in done.stderr
    assert "cannot fork" in server.log()
