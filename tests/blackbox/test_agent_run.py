# SPDX-License-Identifier: MIT
"""Jobs that the agent starts without the user's login shell: frame RUN, subsystem "berth-exec"."""

import os
import struct

import paramiko
import pytest

from support.clients import transport
from support.jobwire import INPUT, INPUT_END, START, Job, Refused, encode

RUN = 8
PROTOCOL = 1  # of REFUSED


def words(*texts):
    return b"".join(text.encode() + b"\0" for text in texts)


@pytest.fixture
def run_resumable(agent, private_key, tmp_path):
    """run_resumable(payload, data): runs a resumable job; returns (status, stdout, stderr)."""
    (tmp_path / ".bashrc").write_text("echo noise; exit 0\n")
    started = agent(env={"HOME": str(tmp_path), "SHELL": "/bin/false"})

    def run(payload, data=b""):
        with Job(started.port, private_key) as job:
            job.send(RUN, os.urandom(16).hex().encode() + payload)
            if data:
                job.send(INPUT, data)
            job.send(INPUT_END, struct.pack(">Q", len(data)))
            job._introduction()
            job.collect()
            job.release()
            return job.exit[0], bytes(job.outputs[0]), bytes(job.outputs[1])

    run.agent = started
    return run


def test_shell_text(run_resumable, tmp_path):
    text = 'echo "$0 $PWD ${SSH_CLIENT-none}"; cat; cat <&3; exit 5'
    assert run_resumable(words("", text), b"input") == (
        5, f"bash {tmp_path} none\ninput".encode(), b"",
    )  # fmt: skip
    assert run_resumable(words("/usr", "pwd; cat; exit 6")) == (6, b"/usr\n", b"")
    status, out, err = run_resumable(words("/nonexistent", "echo no"))
    assert (status, out) == (126, b"") and b"cannot enter '/nonexistent'" in err


def test_shell_text_too_long_for_an_argument(run_resumable):
    text = f"# {'x' * 140_000}\necho out; ls /proc/self/fd\n"
    status, out, _ = run_resumable(words("", text))
    assert (status, out.split()[:4]) == (0, [b"out", b"0", b"1", b"2"])


def test_a_program(run_resumable):
    assert run_resumable(words("/usr", "printf", "%s|", "a b", "", "'")) == (0, b"a b||'|", b"")
    assert run_resumable(words("/", "nonexistent", "x"))[0] == 127
    status, out, err = run_resumable(words("/", "/etc/passwd", "x"))
    assert (status, out) == (126, b"") and b"Permission denied" in err


@pytest.mark.parametrize("payload", [b"", b"\0", b"/", b"/\0", b"/\0\0", b"/\0echo"], ids=repr)
def test_invalid_words(run_resumable, payload):
    with pytest.raises(Refused) as refused:
        run_resumable(payload)
    assert refused.value.args[0] == PROTOCOL


def exec_channel(link):
    channel = link.open_session()
    channel.settimeout(20)
    channel.invoke_subsystem("berth-exec")
    return channel


def read(channel):
    out = b""
    while chunk := channel.recv(65536):
        out += chunk
    return out


@pytest.mark.parametrize("piece", [1, 7, 60, 1 << 20])
def test_a_command_and_its_input_in_pieces(run_resumable, piece):
    content = b"input\nmore\n" * 20
    data = encode(RUN, b"0" * 32 + words("", "cat; exit 9")) + content
    with transport(run_resumable.agent) as link:
        channel = exec_channel(link)
        for at in range(0, len(data), piece):
            channel.sendall(data[at : at + piece])
        channel.shutdown_write()
        assert (read(channel), channel.recv_exit_status()) == (content, 9)


@pytest.mark.parametrize(
    "raw",
    [
        encode(START, b"0" * 32 + b"echo no"),
        encode(RUN, b"0" * 32 + b"/\0"),
        encode(RUN, b"Z" * 32 + words("", "echo no")),
        encode(RUN, b"0" * 32 + words("", "echo no"))[:-1],
        b"\x08\xff\xff\xff\xff",
        b"\x63\0\0\0\0",
        b"",
    ],
    ids=["START", "no word", "no id", "cut off", "too long", "no type", "nothing"],
)
def test_an_invalid_command_closes_only_its_channel(run_resumable, raw):
    with transport(run_resumable.agent) as link:
        channel = exec_channel(link)
        channel.sendall(raw)
        channel.shutdown_write()
        assert read(channel) == b""
        assert channel.recv_exit_status() == -1, "nothing ended, as nothing began"
        again = exec_channel(link)
        again.sendall(encode(RUN, b"0" * 32 + words("", "echo yes")))
        assert (read(again), again.recv_exit_status()) == (b"yes\n", 0)


def test_one_command_per_channel(run_resumable):
    with transport(run_resumable.agent) as link:
        channel = exec_channel(link)
        with pytest.raises(paramiko.SSHException):
            channel.exec_command("echo no")
