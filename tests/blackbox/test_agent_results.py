# SPDX-License-Identifier: MIT
"""A job's result and bytes: exit codes, signals, both streams, sizes, long commands."""

import hashlib
import os
import threading
import time

import pytest

from support import processes
from support.clients import read_all, run, start, transport

MEGABYTE = 1 << 20
# The shell ignores some signals; a program that it executes does not.
COMMAND = "ulimit -c 0; (sleep 0.1; kill -{} $$) & exec sleep 60"


@pytest.fixture
def link(agent):
    with transport(agent()) as opened:
        yield opened


@pytest.mark.parametrize("first", range(0, 256, 32))
def test_every_exit_code(link, first):
    for code in range(first, first + 32):
        assert run(link, f"exit {code}") == (code, b"")


@pytest.mark.parametrize("command", [
    "exec >&-; exec 2>&-; exit 42",
    "exec <&- >&- 2>&-; sleep 0.2; exit 42",
    "echo x >&2; exec >&-; exit 42",
    "exec >&-; sleep 0.2; echo late >&2; exit 42",
])  # fmt: skip
def test_streams_closed_before_the_exit(link, command):
    channel = start(link, command)
    assert read_all(channel) == b""
    assert channel.recv_exit_status() == 42


@pytest.mark.parametrize("name", [
    "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1",
    "USR2",
])  # fmt: skip
def test_exit_signal(agent, event_loop_run, name):
    async def check(connection):
        done = await connection.run(COMMAND.format(name))
        return done.exit_signal, done.exit_status

    signal, status = event_loop_run(agent(), check)
    assert (signal[0], status) == (name, -1)


def test_signal_without_a_name_in_ssh(link):
    """RFC 4254 has no name for SIGSYS: the client gets a shell's status."""
    assert run(link, "ulimit -c 0; kill -SYS $$; sleep 5") == (128 + 31, b"")


def test_streams_are_separate(agent, ssh):
    done = ssh(agent()).run("echo out; echo err >&2; echo out2; exit 9")
    assert (done.returncode, done.stdout, done.stderr) == (9, b"out\nout2\n", b"err\n")


def test_stderr_after_the_end_of_stdout(agent, ssh):
    done = ssh(agent()).run("echo out; exec >&-; sleep 0.3; echo err >&2; exit 8")
    assert (done.returncode, done.stdout, done.stderr) == (8, b"out\n", b"err\n")


def test_large_stderr(agent, ssh):
    done = ssh(agent()).run("head -c 3000000 /dev/zero >&2; echo out")
    assert (done.returncode, done.stdout, len(done.stderr)) == (0, b"out\n", 3000000)


@pytest.mark.parametrize("size", [0, 1, 2, 100, 5000, 32768, 65537, 200000, 64 * MEGABYTE])
def test_sizes_both_ways(agent, ssh, size):
    """Each direction by hash, then an echo of the smaller sizes."""
    client = ssh(agent())
    block = os.urandom(min(size, MEGABYTE))
    content = (block * (size // max(len(block), 1) + 1))[:size]
    wanted = hashlib.sha256(content).hexdigest().encode()
    done = client.run("sha256sum", input=content)
    assert done.stdout.split()[0] == wanted
    done = client.run("cat", input=content)
    assert hashlib.sha256(done.stdout).hexdigest().encode() == wanted
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["true", "head -c 10 >/dev/null", "exec <&-; sleep 0.3"])
def test_unread_input(agent, ssh, command):
    done = ssh(agent()).run(command, input=b"x" * (8 * MEGABYTE))
    assert (done.returncode, done.stdout) == (0, b"")


def test_end_of_input(agent, ssh):
    done = ssh(agent()).run("cat; echo end; exit 4", input=b"text")
    assert (done.returncode, done.stdout) == (4, b"textend\n")


@pytest.mark.parametrize("length", [100, 131000, 131070, 131071, 131072, 131073, 200000, 262000])
def test_long_commands(link, length):
    head = "x='"
    tail = "'; echo ${#x}; ls /proc/self/fd | tr '\\n' ' '; exit 7"
    room = length - len(head) - len(tail)
    code, text = run(link, head + "y" * room + tail)
    assert (code, text) == (7, f"{room}\n0 1 2 3 ".encode()), "3 is ls itself reading"


def test_long_command_with_input(link):
    """If the shell reads the command from a file, the job still gets standard input."""
    channel = start(link, ":" + " " * 200000 + "\ncat; exit 6")
    channel.sendall(b"hello")
    channel.shutdown_write()
    assert read_all(channel) == b"hello"
    assert channel.recv_exit_status() == 6


def test_concurrent_jobs_do_not_mix(link):
    channels = [start(link, f"yes {i} | head -n 20000; exit {i}") for i in range(10)]
    texts = [None] * 10

    def collect(i):
        texts[i] = read_all(channels[i])

    threads = [threading.Thread(target=collect, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for i in range(10):
        assert texts[i] == f"{i}\n".encode() * 20000
        assert channels[i].recv_exit_status() == i


def test_output_arrives_at_once(link):
    channel = start(link, "echo first; read x; echo $x")
    assert channel.recv(100) == b"first\n"
    channel.sendall(b"second\n")
    assert read_all(channel) == b"second\n"


def test_shell_request(link):
    """No command: the user's shell reads its commands from standard input."""
    channel = link.open_session()
    channel.settimeout(60)
    channel.invoke_shell()
    channel.sendall(b"echo hello\nexit 11\n")
    channel.shutdown_write()
    assert read_all(channel) == b"hello\n"
    assert channel.recv_exit_status() == 11


def test_background_child_does_not_hold_the_result(agent, ssh):
    client = ssh(agent())
    began = time.monotonic()
    done = client.run("sleep 30 & echo hello")
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    assert time.monotonic() - began < 25, "the sleeper holds stdout; the result must not wait"


def test_last_output_of_a_pipeline(agent, ssh):
    """Output from before the exit arrives, even if other processes hold the pipe open."""
    started = agent(args=["--drain", "30s"])  # not so that a busy machine finds a second of silence
    done = ssh(started).run("(sleep 0.3; echo late) & echo early")
    assert done.stdout == b"early\nlate\n"


def test_slow_reader_stops_the_job(agent, ssh, until):
    """Unread output stays in the job's pipe, not in the agent's memory."""
    started = agent()
    client = ssh(started)
    process = client.start("yes | head -c 50000000; echo end >&2")
    assert process.stdout.read(10) == b"y\n" * 5
    before = memory(started)
    until(lambda: processes.stand_still(started.jobs()), 60, "the flow to stop")
    assert memory(started) - before < 24 << 20
    # The rest arrives once the client reads again.
    rest = 10 + len(process.stdout.read())
    assert (rest, process.wait(60), process.stderr.read()) == (50000000, 0, b"end\n")


def memory(started):
    """Resident bytes of the agent and its sessions together."""
    total = 0
    for pid in {started.pid} | started.jobs():
        try:
            text = open(f"/proc/{pid}/status").read()
        except OSError:
            continue
        if "berth" in text.splitlines()[0]:
            total += int(text.split("VmRSS:")[1].split()[0]) * 1024
    return total
