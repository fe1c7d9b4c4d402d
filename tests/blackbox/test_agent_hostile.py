# SPDX-License-Identifier: MIT
"""Bytes that no SSH client sends: the connection is closed and the agent keeps serving."""

import contextlib
import getpass
import os
import socket
import struct
import threading
import time

import paramiko
import pytest

from support import processes
from support.attackers import BitFlipper, packet
from support.clients import paramiko_key, run, start, transport
from support.processes import resident
from support.waiting import until

DEADLINE_S = 60.0
AT_ONCE_S = 25.0  # takes 10 ms on an idle machine; the login grace is 30 s
BANNER = b"SSH-2.0-test\r\n"


def settle(started):
    """Waits for earlier connections to end, since the limit per address counts them."""
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
        pass  # it has already disconnected


def ended(link):
    """Reads until the connection is closed; a timeout fails the test."""
    text = b""
    try:
        while chunk := link.recv(65536):
            text += chunk
    except (ConnectionResetError, BrokenPipeError):
        pass
    return text


def serves_on(started):
    assert started.process.poll() is None
    assert "was killed by signal" not in started.log()
    settle(started)
    with transport(started) as link:
        assert run(link, "exit 17") == (17, b"")


def message(number, *values):
    """A message of RFC 4252 to 4254 as paramiko sends it."""
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
    """RFC 4253, section 11.3: SSH_MSG_DEBUG gets no reply."""
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
    """Also those of RFC 4252 and 4254: USERAUTH_SUCCESS, CHANNEL_OPEN and exec have no effect."""
    started = agent()
    for number in range(first, first + 51):
        if number in (20, 21):
            continue  # paramiko's key exchange
        settle(started)
        with transport(started, login=False) as link:
            link._send_message(message(number, "session", 0, 1 << 20, 32768, 0))
            assert not link.is_authenticated()
    serves_on(started)
    assert started.log().count("logged in") == 1 and started.log().count(" started\n") == 1


@pytest.mark.parametrize("number", [52, 90, 98, 80])
def test_messages_of_a_server_or_a_logged_in_user(agent, number):
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
def test_a_flipped_bit(agent, ssh, cipher, at, from_client):
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
    # After a wrong length the agent waits for more bytes: send some.
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


def test_a_connection_reset_at_any_byte(agent, client_key):
    """A reset after each number of bytes of a real connection, sent in pieces too."""
    started = agent()
    with connect(started) as link:
        assert link.recv(8) == b"SSH-2.0-"
    for size in (1, 2, 7, 8, 9, 100, 500, 1000):
        with connect(started) as link:
            send(link, (BANNER + packet(b"\x14" + os.urandom(1200)))[:size])
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    serves_on(started)


def test_repeated_close_and_bytes_after_eof(agent):
    """Sends all of it; the agent may disconnect before the end."""
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


class Flood:
    """A client that repeats one message and reads nothing, before the key exchange (raw) or
    after it; 'sent' counts the bytes."""

    def __init__(self, started, payload, raw, source="127.0.0.1"):
        self.payload, self.sent, self.over = payload, 0, False
        self.link = socket.socket()
        self.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # a small socket buffer
        self.link.bind((source, 0))
        self.link.settimeout(DEADLINE_S)
        self.link.connect(("127.0.0.1", started.port))
        self.transport = None
        self.reads = threading.Event()
        if raw:
            self.link.sendall(BANNER)
        else:
            self.transport = paramiko.Transport(self.link)
            self.transport.start_client(timeout=DEADLINE_S)
        self.thread = threading.Thread(target=self._send, daemon=True)

    def log_in(self, client_key):
        self.transport.auth_publickey(getpass.getuser(), paramiko_key(client_key))

    def start(self):
        if self.transport:  # the limit is reached at the next message
            read = self.transport.packetizer.read_message
            self.transport.packetizer.read_message = lambda: (self.reads.wait(), read())[1]
        self.thread.start()

    def _send(self):
        content = packet(self.payload)
        try:
            while not self.over:
                if self.transport:
                    self.transport._send_message(paramiko.Message(self.payload))
                else:
                    self.link.sendall(content)
                self.sent += 1
        except (OSError, EOFError, paramiko.SSHException):
            pass

    def ended(self):
        return not self.thread.is_alive()

    def close(self):
        self.over = True
        self.reads.set()
        if self.transport:
            self.transport.close()
        self.link.close()
        self.thread.join(60)


# Messages without effect or of unknown type: the number, then the payload.
ENDLESS = {
    "unknown": b"\xc0",
    "unknown, of the login's range": b"\x45",
    "IGNORE": b"\x02" + struct.pack(">I", 0),
    "IGNORE of 200 KiB": b"\x02" + struct.pack(">I", 200000) + b"x" * 200000,
    "UNIMPLEMENTED": b"\x03" + struct.pack(">I", 0),
    "DEBUG": b"\x04\0" + struct.pack(">II", 0, 0),
}
# Only after the key exchange.
ENDLESS_ENCRYPTED = {
    "EXT_INFO": b"\x07" + struct.pack(">I", 0),
    "SERVICE_REQUEST": b"\x05" + struct.pack(">I", 12) + b"ssh-userauth",
}
SESSION_GROWTH = 4 << 20  # bytes; the memory of one session before its login


@pytest.mark.parametrize("kind, raw", [
    *((kind, True) for kind in ENDLESS), *((kind, False) for kind in [*ENDLESS, *ENDLESS_ENCRYPTED])
])  # fmt: skip
def test_endless_messages_before_the_login(agent, programs, kind, raw):
    """Ten concurrent connections that read nothing: each is closed soon, and none has grown."""
    started = agent(args=["--max-unauthenticated", "20"])
    payload = {**ENDLESS, **ENDLESS_ENCRYPTED}[kind]
    most = 0
    with connect(started) as silent:
        assert silent.recv(4) == b"SSH-"
        usual = max(map(resident, processes.named(started.pid, "berth-session")))
    floods = [Flood(started, payload, raw, f"127.0.0.{2 + i}") for i in range(10)]
    try:
        for flood in floods:
            flood.start()

        def all_ended():
            nonlocal most
            sizes = map(resident, processes.named(started.pid, "berth-session"))
            most = max(most, *sizes, 0)
            return all(flood.ended() for flood in floods)

        until(all_ended, DEADLINE_S, "the end of the connections")
    finally:
        for flood in floods:
            flood.close()
    assert programs.sanitized or most < usual + SESSION_GROWTH
    assert started.log().count("too many ") == 10, started.log()
    serves_on(started)


@pytest.mark.parametrize("count, alive", [(15, True), (16, False)])
def test_sixteen_unknown_messages(agent, count, alive):
    """The limit of a connection; the agent replies to each until then."""
    started = agent()
    with transport(started) as link:
        for _ in range(count):
            link._send_message(message(192))
        if alive:
            assert run(link, "exit 5")[0] == 5
        else:
            link.join(DEADLINE_S)
            assert not link.is_active()
    assert ("too many unknown messages" in started.log()) is not alive


def test_a_few_messages_without_effect_are_allowed(agent, client_key):
    """Some clients send IGNORE against traffic analysis, and EXT_INFO."""
    with transport(agent(), login=False) as link:
        for payload in [*[ENDLESS["IGNORE"]] * 10, ENDLESS["DEBUG"], ENDLESS_ENCRYPTED["EXT_INFO"]]:
            link._send_message(paramiko.Message(payload))
        link.auth_publickey(getpass.getuser(), paramiko_key(client_key))
        assert run(link, "exit 6")[0] == 6


def test_unread_replies_pause_a_logged_in_client(agent, client_key):
    """The agent stops reading while too much is queued, and sends every reply in the end."""
    started = agent()
    flood = Flood(started, b"\x50" + struct.pack(">I", 3) + b"abc\x01", raw=False)
    try:
        flood.log_in(client_key)
        answers = []
        flood.transport._handler_table = {**flood.transport._handler_table, 82: answers.append}
        flood.start()
        last = -1

        def stands_still():
            nonlocal last
            before, last = last, flood.sent
            time.sleep(0.5)  # time in which nothing must happen
            return before == last == flood.sent

        until(stands_still, 60, "the client to be stopped")
        flood.over = True
        flood.reads.set()
        until(lambda: flood.ended() and len(answers) >= flood.sent, 60, "every answer")
        assert run(flood.transport, "exit 7")[0] == 7
    finally:
        flood.close()
