# SPDX-License-Identifier: MIT
"""Load: memory and descriptors do not grow, and jobs do not mix.

BERTH_TEST_FULL=1 uses the numbers of docs/catalogue.md; without it the largest are reduced.
"""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import jobwire, processes
from support.clients import read_all, run, start, transport
from support.jobwire import Job
from support.processes import resident

MIB = 1 << 20
ENDS_AT_ONCE_S = 50  # takes under 1 s on an idle machine
FULL = os.environ.get("BERTH_TEST_FULL") == "1"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_channels_opened_and_closed(agent, programs):
    """On one connection: a new channel is never refused because the last one is not released."""
    cycles = 500 if programs.sanitized else 10_000
    started = agent()
    with transport(started) as link:
        assert run(link, "exit 3")[0] == 3
        (session,) = processes.named(started.pid, "berth-session")
        for cycle in range(cycles):
            if cycle == cycles // 10:  # after the initial growth
                before = [(resident(pid), descriptors(pid)) for pid in (session, started.pid)]
            link.open_session(timeout=60).close()
        assert run(link, "exit 4")[0] == 4
        after = [(resident(pid), descriptors(pid)) for pid in (session, started.pid)]
    for (memory, files), (memory_after, files_after) in zip(before, after, strict=True):
        assert files_after <= files + 2
        assert programs.sanitized or memory_after - memory < 256 * 1024


def test_connections_opened_and_closed(agent, programs, until):
    """Connections without a login, and now and then one with."""
    cycles = 10_000 if FULL else 200 if programs.sanitized else 1000
    started = agent(args=["--max-unauthenticated", "200", "--log-level", "error",
                          "--max-unauthenticated-per-address", "200"])  # fmt: skip
    for cycle in range(cycles):
        with socket.create_connection(("127.0.0.1", started.port), 60) as link:
            assert link.recv(4) == b"SSH-"
        if cycle == cycles // 10:
            before = resident(started.pid), descriptors(started.pid)
        if cycle % (cycles // 5) == 0:
            with transport(started) as link:
                assert run(link, "exit 5")[0] == 5
    until(lambda: not processes.descendants(started.pid, True), 60, "no process is left")
    assert descriptors(started.pid) <= before[1]
    assert programs.sanitized or resident(started.pid) - before[0] < 256 * 1024


def test_jobs_started_and_ended(agent, programs, until):
    cycles = 2000 if FULL else 100 if programs.sanitized else 300
    started = agent(args=["--log-level", "error"])
    with transport(started) as link:
        assert run(link, "exit 3")[0] == 3
        (session,) = processes.named(started.pid, "berth-session")
        for cycle in range(cycles):
            assert run(link, f"exit {cycle % 256}") == (cycle % 256, b"")
            if cycle == cycles // 10:
                before = [(resident(pid), descriptors(pid)) for pid in (session, started.pid)]
        after = [(resident(pid), descriptors(pid)) for pid in (session, started.pid)]
        until(lambda: not processes.named(started.pid, "berth-job"), 60, "no monitor is left")
    for (memory, files), (memory_after, files_after) in zip(before, after, strict=True):
        assert files_after <= files + 4
        assert programs.sanitized or memory_after - memory < 256 * 1024


def test_sent_output_uses_no_memory(agent, ssh, programs, until):
    """A session frees its output buffer, since most jobs are silent most of the time."""
    if programs.sanitized:
        pytest.skip("the sanitizer's own memory counts")
    started = agent()
    process = ssh(started).start("echo up; read x; head -c 20000000 /dev/zero; read x; exit 4")
    assert process.stdout.read(3) == b"up\n"
    (session,) = processes.named(started.pid, "berth-session")
    before = resident(session)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.read(20_000_000) == bytes(20_000_000)
    # libssh's packets for one piece of output, and what it keeps.
    until(lambda: resident(session) - before < 300 * 1024, 60, "memory to be given back")
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 4


def transfer_mib(programs):
    return 1024 if FULL else 64 if programs.sanitized else 512


BLOCK = os.urandom(MIB)


def hash_of(count):
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(BLOCK)
    return digest.hexdigest()


def test_a_large_transfer_to_the_job(agent, ssh, programs):
    count = transfer_mib(programs)
    process = ssh(agent()).start("sha256sum", options=["-c", "aes128-gcm@openssh.com"])
    for _ in range(count):
        process.stdin.write(BLOCK)
    process.stdin.close()
    assert process.stdout.read().split()[0].decode() == hash_of(count)
    assert process.wait(60) == 0


def test_a_large_transfer_from_the_job(agent, ssh, programs, tmp_path):
    count = transfer_mib(programs)
    block = tmp_path / "block"
    block.write_bytes(BLOCK)
    command = f"i=0; while [ $i -lt {count} ]; do cat {block}; i=$((i+1)); done; exit 7"
    process = ssh(agent()).start(command, options=["-c", "aes128-gcm@openssh.com"])
    digest = hashlib.sha256()
    while chunk := process.stdout.read(MIB):
        digest.update(chunk)
    assert digest.hexdigest() == hash_of(count)
    assert process.wait(60) == 7


@pytest.mark.parametrize("kind", ["plain", "resumable"])
def test_a_stopped_reader_with_5_gb_waiting(agent, ssh, private_key, until, kind):
    """The job blocks; no process of the agent keeps unread output. The spool of a resumable job
    holds 64 MiB, in a memory file."""
    started = agent()
    command = "head -c 5000000000 /dev/zero"
    if kind == "plain":
        process = ssh(started).start(command)
        assert process.stdout.read(1) == b"\0"
        process.send_signal(signal.SIGSTOP)
    else:
        job = Job(started.port, private_key, acknowledge=False)
        job.start(os.urandom(16).hex(), command)
    try:
        (head,) = until(lambda: writers(started), 60, "the job")
        least = 64 * MIB if kind == "resumable" else 0
        until(lambda: processes.written([head]) > least, 60, "the job to fill what there is")
        until(lambda: processes.stand_still(started.jobs()), 60, "the job to block")
        assert processes.written([head]) < (64 + 36) * MIB
        for pid in [started.pid, *processes.named(started.pid, "berth-session", "berth-job")]:
            with open(f"/proc/{pid}/status") as file:
                assert int(file.read().split("VmHWM:")[1].split()[0]) < 64 * 1024, pid
    finally:
        if kind == "plain":
            process.kill()
            process.send_signal(signal.SIGCONT)
        else:
            job.send(jobwire.SIGNAL, b"KILL")
            job.close()
    until(lambda: not writers(started), 60, "the job of a client that is gone ends")


def writers(started):
    return [pid for pid in started.jobs() if "head -c 5" in processes.command_line(pid)][-1:]


def test_a_hundred_jobs_at_once(agent, programs):
    """Ten connections with ten concurrent jobs each."""
    connections, lines = 10, 200 if programs.sanitized else 2000
    started = agent(args=["--max-unauthenticated-per-address", "10"])
    texts, codes, problems = {}, {}, []
    ready = threading.Barrier(connections * 10 + 1, timeout=60)

    def collect(channel, number):
        try:
            assert channel.recv(3) == b"up\n"
            ready.wait()  # wait until all hundred run
            channel.sendall(b"go\n")
            texts[number] = read_all(channel)
            codes[number] = channel.recv_exit_status()
        except Exception as problem:  # noqa: BLE001 - reported below
            problems.append((number, problem))

    with contextlib.ExitStack() as stack:
        threads = []
        for number in range(connections * 10):
            if number % 10 == 0:
                link = stack.enter_context(transport(started))
            command = f"echo up; read x; yes {number} | head -n {lines}; exit {number}"
            channel = start(link, command)
            channel.settimeout(60)
            threads.append(threading.Thread(target=collect, args=(channel, number)))
            threads[-1].start()
        with contextlib.suppress(threading.BrokenBarrierError):
            ready.wait()
        for thread in threads:
            thread.join(60)
    assert problems == []
    assert codes == {number: number for number in range(connections * 10)}
    for number, text in texts.items():
        assert text == f"{number}\n".encode() * lines


# A login gets in after about 6 s on an idle machine, while those before it had their turn.
GETS_IN_S = 30


class SlowSenders:
    """Connections that send a byte a second, each from one of many addresses."""

    def __init__(self, port, count):
        self.links = []
        for number in range(count):
            source = (f"127.0.1.{1 + number % 200}", 0)
            with contextlib.suppress(OSError):
                link = socket.create_connection(("127.0.0.1", port), 60, source)
                link.setblocking(False)
                self.links.append(link)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send)
        self.thread.start()

    def _send(self):
        text = b"SSH-2.0-slow" + b"w" * 100
        for at in range(len(text)):
            for link in self.links:
                with contextlib.suppress(OSError):
                    link.send(text[at : at + 1])
            if self.over.wait(1):
                return

    def close(self):
        self.over.set()
        self.thread.join()
        for link in self.links:
            link.close()


@pytest.mark.waits
def test_200_slow_connections_do_not_prevent_a_login(agent, ssh):
    """They use all places for logins; the oldest is displaced before its login grace ends."""
    started = agent()
    senders = SlowSenders(started.port, 200)
    try:
        client = ssh(started)
        began = time.monotonic()
        while client.run("exit 6").returncode != 6:
            assert time.monotonic() - began < GETS_IN_S, "kept out"
        while client.run("exit 6").returncode != 6:
            assert time.monotonic() - began < GETS_IN_S, "kept out"
    finally:
        senders.close()
    assert "making room" in started.log()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"], ids=["its own", "another"])
def test_silent_connections_of_an_address(agent, ssh, address):
    started = agent()
    links = []
    try:
        for _ in range(5):
            links.append(socket.create_connection(("127.0.0.1", started.port), 60, (address, 0)))
        client = ssh(started)
        began = time.monotonic()
        while client.run("exit 6").returncode != 6:
            assert time.monotonic() - began < GETS_IN_S, "kept out"
    finally:
        for link in links:
            link.close()


def test_a_stop_of_an_idle_agent_as_pid_1(agent, ssh, until):
    """As 'docker stop' does: SIGTERM to PID 1, which exits within a second."""
    before = ("unshare", "-pf", "--mount-proc", "--kill-child=TERM")
    probe = subprocess.run([*before[:-1], "true"], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("needs the right to make a PID namespace (unshare -pf)")
    started = agent(before=before, args=["--grace", "100s"])
    assert ssh(started).run("exit 3").returncode == 3
    (init,) = processes.named(started.pid, "berth-agent")
    began = time.monotonic()
    os.kill(init, signal.SIGTERM)
    assert started.wait(60) == 0
    assert time.monotonic() - began < ENDS_AT_ONCE_S, "not the grace period"
