# SPDX-License-Identifier: MIT
"""Bytes that no SSH client sends. Whatever comes, the connection ends and the agent serves on."""

import contextlib
import os
import socket
import struct
import threading
import time

import paramiko
import pytest

from support import processes
from support.attackers import BitFlipper, packet
from support.clients import run, start, transport
from support.waiting import until

DEADLINE_S = 8.0
AT_ONCE_S = 2.0  # a hundredth of a second by itself; the rest is for a loaded machine
BANNER = b"SSH-2.0-test\r\n"


def settle(started):
    """Connections of before are over, or the limit for one address counts them."""
    until(lambda: not processes.descendants(started.pid, True), DEADLINE_S, "the sessions' end")


def connect(started):
    settle(started)
    link = socket.create_connection(("127.0.0.1", started.port), DEADLINE_S)
    link.settimeout(DEADLINE_S)
    return link


def send(link, content):
    try:
        link.sendall(content)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it had enough already


def ended(link):
    """Reads to the end of the connection; a time-out fails the test."""
    text = b""
    try:
        while chunk := link.recv(65536):
            text += chunk
    except (ConnectionResetError, BrokenPipeError):
        pass
    return text


def serves_on(started):
    assert started.process.poll() is None
    assert "died of signal" not in started.log()
    settle(started)
    with transport(started) as link:
        assert run(link, "exit 17") == (17, b"")


def message(number, *values):
    """One message of RFC 4252 to 4254 as paramiko sends it."""
    result = paramiko.Message()
    result.add_byte(bytes([number]))
    for value in values:
        if isinstance(value, bool):
            result.add_boolean(value)
        elif isinstance(value, int):
            result.add_int(value)
        else:
            result.add_string(value)
    return result


OPENINGS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x55" * 200,
    "SSH 1": b"SSH-1.5-old\r\n",
    "no version": b"SSH-\r\n",
    "100 KB banner": b"SSH-2.0-" + b"x" * 100000,
    "100 KB banner with its end": b"SSH-2.0-" + b"x" * 100000 + b"\r\n",
    "NULs": b"\0" * 1000,
    "only newlines": b"\r\n" * 1000,
    "noise": bytes(range(256)) * 8 + b"\n",
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS.keys())
def test_wrong_opening(agent, opening):
    started = agent()
    with connect(started) as link:
        began = time.monotonic()
        send(link, opening)
        ended(link)
        assert time.monotonic() - began < AT_ONCE_S
    serves_on(started)


PACKETS = {
    "length 0": struct.pack(">I", 0) + b"\0" * 60,
    "length 1": struct.pack(">I", 1) + b"\0" * 60,
    "length 0x7fffffff": struct.pack(">I", 0x7FFFFFFF) + b"\x14" * 60,
    "length 0xffffffff": struct.pack(">I", 0xFFFFFFFF) + b"\x14" * 60,
    "length 262145": struct.pack(">I", 262145) + b"\x14" * 60,
    "all padding": struct.pack(">I", 12) + bytes([11]) + b"\x14" * 11,
    "more padding than packet": struct.pack(">I", 12) + bytes([255]) + b"\x14" * 11,
    "no payload": packet(b""),
    "KEXINIT cut off": packet(b"\x14" + b"\0" * 16 + struct.pack(">I", 1000) + b"abc"),
    "KEXINIT without algorithms": packet(b"\x14" + b"\0" * 16 + b"\0\0\0\0" * 10 + b"\0" * 5),
    "KEXINIT with a length of 4 GiB": packet(b"\x14" + b"\0" * 16 + b"\xff\xff\xff\xff" * 10),
    "disconnect": packet(b"\x01" + struct.pack(">III", 11, 0, 0)),
    "disconnect cut off": packet(b"\x01\0"),
}


@pytest.mark.parametrize("content", PACKETS.values(), ids=PACKETS.keys())
def test_wrong_packet(agent, content):
    started = agent()
    with connect(started) as link:
        began = time.monotonic()
        send(link, BANNER + content)
        ended(link)
        assert time.monotonic() - began < AT_ONCE_S
    serves_on(started)


def test_a_packet_that_may_be_ignored(agent):
    """RFC 4253, section 11.3: SSH_MSG_DEBUG, which says nothing, is not answered."""
    started = agent(args=["--login-grace", "3s"])
    with connect(started) as link:
        link.settimeout(1)
        send(link, BANNER + packet(b"\x04\x01" + struct.pack(">I", 0xFFFFFFF0)))
        with pytest.raises(TimeoutError):
            ended(link)
        link.settimeout(DEADLINE_S)
        ended(link)
    serves_on(started)


@pytest.mark.parametrize("first", range(1, 256, 51))
def test_every_message_before_the_key_exchange(agent, first):
    started = agent()
    for number in range(first, first + 51):
        with connect(started) as link:
            send(link, BANNER + packet(bytes([number]) + b"\0\0\0\x04abcd" * 3))
            link.shutdown(socket.SHUT_WR)
            ended(link)
    serves_on(started)


@pytest.mark.parametrize("first", range(1, 256, 51))
def test_every_message_before_the_login(agent, first):
    """Those of RFC 4252 and 4254 too: no USERAUTH_SUCCESS, CHANNEL_OPEN or exec gets anywhere."""
    started = agent()
    for number in range(first, first + 51):
        if number in (20, 21):
            continue  # a key exchange of paramiko's own
        settle(started)
        with transport(started, login=False) as link:
            link._send_message(message(number, "session", 0, 1 << 20, 32768, 0))
            assert not link.is_authenticated()
    serves_on(started)
    assert started.log().count("logged in") == 1 and started.log().count(" started\n") == 1


@pytest.mark.parametrize("number", [52, 90, 98, 80])
def test_what_only_a_server_or_a_known_user_may_say(agent, number):
    started = agent()
    with transport(started, login=False) as link:
        link._send_message(message(number, "session", 0, 1 << 20, 32768))
        link.join(DEADLINE_S)
        assert not link.is_active(), "the agent must end the connection"
    serves_on(started)


@pytest.mark.parametrize("first", range(1, 256, 51))
def test_every_message_after_the_login(agent, first):
    started = agent()
    for number in range(first, first + 51):
        if number in (20, 21):
            continue
        with transport(started) as link:
            link._send_message(message(number, 7, 1 << 20, 0xFFFFFFFF))
    serves_on(started)


@pytest.mark.parametrize("cipher", [
    "aes128-ctr", "aes256-ctr", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
])  # fmt: skip
@pytest.mark.parametrize("at", [0, 3, 9, 1000000])
@pytest.mark.parametrize("from_client", [True, False], ids=["sent", "received"])
def test_a_flipped_bit_ends_the_connection(agent, ssh, cipher, at, from_client):
    started = agent(args=["--grace", "500ms"])
    proxy = BitFlipper(started.port, from_client, at)
    client = ssh(started)
    client.port = proxy.port
    client.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {started.host_key.public}\n")
    process = client.start("echo up; cat", options=["-o", f"Ciphers={cipher}"])
    assert process.stdout.read(3) == b"up\n"
    proxy.armed.set()
    process.stdin.write(b"x" * 5000)
    process.stdin.flush()
    # A spoiled length leaves the reader waiting for bytes: more of them come.
    more = b"y" * 300000
    threading.Thread(target=write_ignoring, args=(process, more), daemon=True).start()
    assert process.wait(DEADLINE_S) == 255
    until(lambda: not started.jobs(), DEADLINE_S, "the session and its job to be gone")
    proxy.close()
    serves_on(started)


def write_ignoring(process, content):
    try:
        process.stdin.write(content)
        process.stdin.flush()
    except OSError:
        pass


def test_a_connection_that_breaks_off_anywhere(agent, client_key):
    """Reset after each number of bytes of a real conversation, which is cut to pieces too."""
    started = agent()
    with connect(started) as link:
        assert link.recv(8) == b"SSH-2.0-"
    for size in (1, 2, 7, 8, 9, 100, 500, 1000):
        with connect(started) as link:
            send(link, (BANNER + packet(b"\x14" + os.urandom(1200)))[:size])
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    serves_on(started)


def test_repeated_close_and_bytes_after_eof(agent):
    """The agent may end the connection over any of it, so the rest may find nobody."""
    started = agent()
    with transport(started) as link:
        channel = start(link, "sleep 1; cat")
        number = channel.remote_chanid
        late = [(96,), (94, b"late"), (97,), (97,), (94, b"late"), (98, "exec", True, "echo"),
                (93, 0xFFFFFFFF)]  # fmt: skip
        for code, *values in late:
            with contextlib.suppress(EOFError, OSError):
                link._send_user_message(message(code, number, *values))
    serves_on(started)
