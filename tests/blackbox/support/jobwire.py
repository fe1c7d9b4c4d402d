# SPDX-License-Identifier: MIT
"""A client of the subsystem "berth-job" that is not ours: frames in Python over paramiko.

Job        one attachment: start() or attach(), then collect() or single frames by next()
encode()   one frame
"""

import contextlib
import socket
import struct
import time

import paramiko

START, INPUT, INPUT_END, ATTACH, ACK, SIGNAL, RELEASE = range(1, 8)
STARTED, ATTACHED, OUTPUT, EXIT, NOTICE, REFUSED = range(65, 71)
DEADLINE_S = 60.0


class LinkLost(Exception):
    """The connection ended before the frame that was waited for."""


class Refused(Exception):
    """The agent's REFUSED frame: code and text."""


def encode(kind, payload=b""):
    return struct.pack(">BI", kind, len(payload)) + payload


class Job:
    """One SSH connection with one subsystem channel on it.

    outputs   bytes of stdout and stderr received in this life of the object
    offsets   where they go on
    exit      (status, signal name) once the EXIT frame came
    usage     CPU ms, peak, limit, largest process, OOM kills; then as well
    """

    def __init__(self, port, private_key, offsets=(0, 0), acknowledge=True, user="root"):
        self.outputs = [bytearray(), bytearray()]
        self.offsets = list(offsets)
        self.exit = None
        self.totals = None
        self.usage = None
        self.notices = []
        self.first = None
        self._acknowledge = acknowledge
        self._pending = b""
        try:
            connection = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
            self.transport = paramiko.Transport(connection)
            self.transport.banner_timeout = self.transport.auth_timeout = DEADLINE_S
            self.transport.start_client(timeout=DEADLINE_S)
            self.transport.auth_publickey(user, private_key)
            self.channel = self.transport.open_session(window_size=2 << 20, timeout=DEADLINE_S)
            self.channel.settimeout(DEADLINE_S)
            self.channel.invoke_subsystem("berth-job")
        except (OSError, EOFError, paramiko.SSHException) as problem:
            self.close()
            raise LinkLost(str(problem)) from problem

    def close(self):
        if hasattr(self, "transport"):
            self.transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, kind, payload=b""):
        self.send_raw(encode(kind, payload))

    def send_raw(self, data):
        try:
            self.channel.sendall(data)
        except (OSError, EOFError, paramiko.SSHException) as problem:
            self._raise_refusal()
            raise LinkLost(str(problem)) from problem

    def _raise_refusal(self):
        """Raises Refused if the agent sent REFUSED before it closed the channel."""
        if self.channel.closed or self.channel.eof_received:
            with contextlib.suppress(LinkLost):
                while True:
                    self.next()

    def start(self, name, command, data=b""):
        self.send(START, name.encode() + command.encode())
        for at in range(0, len(data), 65536):
            self.send(INPUT, data[at : at + 65536])
        self.send(INPUT_END, struct.pack(">Q", len(data)))
        return self._introduction()

    def attach(self, name):
        self.send(ATTACH, name.encode() + struct.pack(">QQ", *self.offsets))
        return self._introduction()

    def _introduction(self):
        kind, payload = self.next()
        assert kind in (STARTED, ATTACHED), kind
        self.first = kind
        self.offsets = list(struct.unpack(">QQ", payload))
        return kind

    def _receive(self, wanted):
        while len(self._pending) < wanted:
            try:
                chunk = self.channel.recv(262144)
            except (OSError, EOFError, paramiko.SSHException) as problem:
                raise LinkLost(str(problem)) from problem
            if not chunk:
                raise LinkLost("end of the channel")
            self._pending += chunk
        data, self._pending = self._pending[:wanted], self._pending[wanted:]
        return data

    def next(self):
        """The next frame as (type, payload); REFUSED raises."""
        kind, length = struct.unpack(">BI", self._receive(5))
        payload = self._receive(length)
        if kind == REFUSED:
            raise Refused(struct.unpack(">I", payload[:4])[0], payload[4:].decode())
        return kind, payload

    def step(self):
        """Takes in one frame; asserts that output goes on exactly where it stopped."""
        kind, payload = self.next()
        if kind == OUTPUT:
            stream, offset = struct.unpack(">BQ", payload[:9])
            assert offset == self.offsets[stream], (offset, self.offsets)
            self.outputs[stream] += payload[9:]
            self.offsets[stream] += len(payload) - 9
            if self._acknowledge:
                self.ack()
        elif kind == EXIT:
            status, *numbers = struct.unpack(">I7Q", payload[:60])
            self.usage, self.totals = numbers[:5], numbers[5:]
            self.exit = (status, payload[60:].decode())
            assert list(self.totals) == self.offsets
        elif kind == NOTICE:
            self.notices.append((payload[0], payload[1:].decode()))
        return kind

    def ack(self):
        self.send(ACK, struct.pack(">QQ", *self.offsets))

    def collect(self, deadline_s=DEADLINE_S):
        """Everything up to the exit report."""
        end = time.monotonic() + deadline_s
        while self.exit is None:
            left = end - time.monotonic()
            assert left > 0, "no exit report in time"
            self.channel.settimeout(left)
            self.step()
        return self

    def release(self):
        """Says that the result is safe, and waits until the agent closed the channel."""
        self.send(RELEASE)
        try:
            while self.channel.recv(4096):
                pass
        except OSError as problem:
            raise LinkLost(str(problem)) from problem
