# SPDX-License-Identifier: MIT
"""The output of a job after its shell has exited: it is complete, and it always ends."""

import os
import signal
import time

import pytest

from support.clients import read_all, start, transport
from support.jobwire import Job

KINDS = ["plain", "resumable"]


def result(agent, private_key, kind, command):
    """(status, stdout) of a command, as a job of that kind."""
    if kind == "plain":
        with transport(agent) as link:
            channel = start(link, command)
            channel.settimeout(60)
            text = b""
            while chunk := channel.recv(1 << 16):
                text += chunk
            return channel.recv_exit_status(), text
    with Job(agent.port, private_key) as job:
        job.start(os.urandom(16).hex(), command)
        status, _ = job.collect().exit
        job.release()
        return status, bytes(job.outputs[0])


@pytest.mark.parametrize("kind", KINDS)
def test_silence_ends_held_output(agent, private_key, kind):
    """A process that writes now and then is waited for, though its pipe is mostly empty."""
    started = agent(args=["--drain", "10s"])
    command = "(for i in 1 2 3 4 5 6 7 8; do sleep 0.5; echo $i; done) & exit 5"
    assert result(started, private_key, kind, command) == (5, b"1\n2\n3\n4\n5\n6\n7\n8\n")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pause", ["sleep 0.02", ":"], ids=["now and then", "without pause"])
def test_a_writing_daemon_does_not_hold_a_job_forever(agent, private_key, kind, pause):
    started = agent(args=["--drain", "200ms"])
    began = time.monotonic()
    command = f"echo first; (while :; do echo more; {pause}; done) & exit 5"
    status, text = result(started, private_key, kind, command)
    assert status == 5 and text.startswith(b"first\n")
    assert time.monotonic() - began < 60, "ten times --drain is two seconds"


def test_a_late_reader_gets_all_of_the_pipe(agent):
    """It reads later than the drain time; its window holds a third of the output."""
    started = agent(args=["--drain", "50ms"])
    with transport(started) as link:
        channel = link.open_session(window_size=65536, timeout=60)
        channel.settimeout(60)
        channel.exec_command("head -c 200000 /dev/zero; sleep 300 & exit 5")
        time.sleep(1.5)  # three times the limit of a daemon
        assert read_all(channel) == bytes(200_000)
        assert channel.recv_exit_status() == 5


def test_a_late_reader_gets_output_held_by_a_key_exchange(agent, ssh, until, tmp_path):
    """The last line waits for a key exchange that the client does not answer for a while."""
    go, gone = tmp_path / "go", tmp_path / "gone"
    started = agent(args=["--drain", "50ms", "--rekey-bytes", "32KiB", "--keepalive", "0"])
    process = ssh(started).start(
        f"echo up; until [ -e {go} ]; do sleep 0.02; done; head -c 40000 /dev/zero; sleep 0.3;"
        f"echo last; : >{gone}; sleep 300 & exit 5"
    )
    assert process.stdout.read(3) == b"up\n"
    process.send_signal(signal.SIGSTOP)
    try:
        go.touch()
        until(gone.exists, 60, "the shell's last command")
        time.sleep(1.5)  # three times the limit of a daemon
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.stdout.read() == bytes(40_000) + b"last\n"
    assert process.wait(60) == 5


def test_a_late_reader_of_a_resumable_job_gets_all_of_it(agent, private_key):
    """The spool is full and the pipe holds the rest, which exceeds the client's window."""
    started = agent(args=["--drain", "50ms", "--spool-limit", "256KiB"])
    with Job(started.port, private_key) as job:
        job.start(os.urandom(16).hex(), "head -c 6000000 /dev/zero; sleep 300 & exit 5")
        time.sleep(1.5)  # so its acknowledgements are late too
        assert job.collect().exit == (5, "")
        job.release()
    assert bytes(job.outputs[0]) == bytes(6_000_000)
