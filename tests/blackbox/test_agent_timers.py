# SPDX-License-Identifier: MIT
"""Limits of connections, and the automatic exit of an unused agent."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import paramiko
import pytest

from support import processes
from support.clients import start, transport


def banner(port, deadline_s=60.0):
    """A connection without a login, and the server's version line; b'' when refused."""
    connection = socket.create_connection(("127.0.0.1", port), deadline_s)
    try:
        return connection, connection.recv(256)
    except ConnectionResetError:
        return connection, b""


def test_no_login(agent):
    started = time.monotonic()
    target = agent(args=["--connect-timeout", "700ms"])
    assert target.wait(60) == 0
    assert time.monotonic() - started >= 0.6
    assert "no login within 0.7 s (--connect-timeout)" in target.log()


def test_a_port_scan_is_not_a_login(agent):
    target = agent(args=["--connect-timeout", "4s"])  # on a busy machine a banner takes long
    connection, text = banner(target.port)
    with connection:
        assert text.startswith(b"SSH-2.0-")
        assert target.wait(60) == 0


def test_a_login_ends_the_connect_timeout(agent, ssh):
    target = agent(args=["--connect-timeout", "5s", "--idle-timeout", "0"])
    assert ssh(target).run("sleep 5; echo there").stdout == b"there\n"
    assert target.process.poll() is None
    assert ssh(target).run("echo again").stdout == b"again\n"


def test_idle_after_the_last_job(agent, ssh):
    target = agent(args=["--idle-timeout", "4s"])  # a login on a busy machine takes seconds
    client = ssh(target)
    ended = float(client.run("sleep 5; date +%s.%N").stdout)  # longer than the timeout
    assert target.wait(60) == 0
    assert time.time() - ended >= 4
    assert "no job and no login for 4.0 s (--idle-timeout)" in target.log()


@pytest.mark.parametrize("claims", [False, True])
def test_until_a_claim(agent, claims):
    """Logins before it, of the launch, leave the timeout as it is."""
    started = time.monotonic()
    target = agent(args=["--claim-timeout", "4s", "--idle-timeout", "5s"])
    with transport(target) as client:
        if claims:
            client.open_session().invoke_subsystem("berth-claim")
    assert target.wait(60) == 0
    option, at_least_s = ("--idle-timeout", 5) if claims else ("--claim-timeout", 3.9)
    assert f"({option})" in target.log() and time.monotonic() - started >= at_least_s
    assert ("a client has claimed this task" in target.log()) == claims


def test_leftovers_do_not_prevent_the_idle_exit(agent, ssh, until):
    target = agent(args=["--idle-timeout", "4s", "--grace", "1s"])
    assert ssh(target).run("setsid sleep 300 >/dev/null 2>&1 & echo on").stdout == b"on\n"
    assert target.jobs()
    assert target.wait(60) == 0
    until(lambda: not target.jobs(), 60)


def test_lifetime_stops_a_running_job(agent, ssh):
    target = agent(args=["--max-lifetime", "1s", "--grace", "1s"])
    client = ssh(target)
    process = client.start("sleep 300")
    assert target.wait(60) == 0
    assert process.wait(60) != 0
    assert "lifetime limit reached after 1.0 s (--max-lifetime)" in target.log()


def test_option_by_variable(agent):
    target = agent(env={"BERTH_CONNECT_TIMEOUT": "300ms"})
    assert target.wait(60) == 0


def test_invalid_number_names_the_option(programs):
    got = subprocess.run(
        [programs.agent, "--login-tries", "0"],
        env={"SSH_PUBLIC_KEY": "x"},
        capture_output=True,
        check=False,
    )
    assert got.returncode == 2
    assert b"--login-tries: '0' is not a whole number, from 1 to 1000" in got.stderr


def test_login_grace(agent):
    target = agent(args=["--login-grace", "1s"])
    started = time.monotonic()
    connection, text = banner(target.port)
    with connection:
        assert text.startswith(b"SSH-2.0-")
        while connection.recv(4096):
            pass
        assert 0.9 < time.monotonic() - started < 60
    assert "logging in took too long" in target.log()


@pytest.mark.parametrize(
    "args,reason",
    [
        (["--max-unauthenticated", "2"], "too many connections that have not logged in"),
        (
            ["--max-unauthenticated-per-address", "2"],
            "too many connections from this address that have not logged in",
        ),
    ],
)
def test_unauthenticated_connections(agent, args, reason):
    slow = True
    while slow:  # on a busy machine: after two seconds the first makes room for another
        target = agent(args=args)
        began = time.monotonic()
        opened = [banner(target.port) for _ in range(3)]
        slow = time.monotonic() - began > 1.9
        for connection, _ in opened:
            connection.close()
    assert [text.startswith(b"SSH-2.0-") for _, text in opened] == [True, True, False]
    assert reason in target.log()


def test_a_closed_session_makes_room_at_once(agent):
    """Both requests arrive together, since the session process is stopped meanwhile."""
    target = agent(args=["--max-sessions", "3"])
    with transport(target) as link:
        channels = [start(link, "cat") for _ in range(3)]
        with pytest.raises(paramiko.ChannelException):
            link.open_session(timeout=60)
        (session,) = processes.named(target.pid, "berth-session")
        for _ in range(5):
            os.kill(session, signal.SIGSTOP)
            threading.Timer(0.1, os.kill, (session, signal.SIGCONT)).start()
            channels.pop(0).close()
            channels.append(start(link, "echo in; cat"))
            assert channels[-1].recv(3) == b"in\n"
        with pytest.raises(paramiko.ChannelException):
            link.open_session(timeout=60)


def test_sessions_of_one_connection(agent, ssh, tmp_path):
    target = agent(args=["--max-sessions", "2"])
    client = ssh(target)
    control = ["-o", f"ControlPath={tmp_path}/mux"]
    master = client.start("sleep 300", options=[*control, "-o", "ControlMaster=yes"])
    try:
        while not (tmp_path / "mux").exists():
            assert master.poll() is None
            time.sleep(0.01)
        second = client.start("cat", options=control)
        second.stdin.write(b"x")
        second.stdin.flush()
        assert second.stdout.read(1) == b"x"
        third = client.run("echo no", options=control)
        assert third.stdout != b"no\n" or b"refused" in third.stderr
        second.stdin.close()
        assert second.wait(60) == 0
        assert client.run("echo yes", options=control).stdout == b"yes\n"
    finally:
        master.terminate()
        master.wait(60)


def test_keepalive_detects_a_dead_client(agent, ssh, until):
    target = agent(args=["--keepalive", "1s", "--keepalive-count", "3"])
    process = ssh(target).start("sleep 300")
    until(lambda: "started" in target.log(), 60)
    process.send_signal(19)  # SIGSTOP: connected, but without replies
    try:
        until(lambda: "no answer to 3 keepalives" in target.log(), 60)
        until(lambda: not target.jobs(), 60)
    finally:
        process.send_signal(18)
    process.wait(60)


def test_rekey_by_volume(agent, ssh):
    target = agent(args=["--rekey-bytes", "1M"])
    text = "".join(f"{number}\n" for number in range(1, 1000001)).encode()
    options = ["-v"]
    out = ssh(target).run("seq 1 1000000; seq 1 100000 >&2", options=options)
    assert hashlib.sha256(out.stdout).digest() == hashlib.sha256(text).digest()
    assert out.stderr.count(b"SSH2_MSG_NEWKEYS received") >= 4
    into = ssh(target).run("sha256sum", input=text, options=options)
    assert into.stdout.split()[0].decode() == hashlib.sha256(text).hexdigest()
    assert into.stderr.count(b"SSH2_MSG_NEWKEYS received") >= 4


IDLE_S = 60 if os.environ.get("BERTH_TEST_FULL") == "1" else 4


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_idle_agent_makes_no_system_call(agent, ssh, until, tmp_path):
    target = agent()
    assert ssh(target).run("echo there").stdout == b"there\n"
    until(lambda: not processes.descendants(target.pid, True), what="the agent reaps the session")
    trace = tmp_path / "trace"
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(target.pid), "-o", trace], stderr=subprocess.PIPE
    )
    try:
        assert b"attached" in tracer.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            target.wait(IDLE_S)  # time in which nothing happens
    finally:
        tracer.terminate()
        tracer.wait()
        tracer.stderr.close()
    calls = [line for line in trace.read_text().splitlines() if "(" in line]
    assert len(calls) <= 1, calls  # the poll() in which the tracer attached
    assert os.path.exists(f"/proc/{target.pid}")
