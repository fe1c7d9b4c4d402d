# SPDX-License-Identifier: MIT
"""A machine in the middle: passes one connection on, and changes one direction of it.

Attacker       the part they share; a subclass says what it does to the direction under attack
BitFlipper     spoils one bit of a piece, once armed
PacketForger   puts a packet into a key exchange, and drops the first protected one
"""

import socket
import struct
import threading

NEWKEYS = 21


def packet(payload, padding=None):
    """A packet in the clear, RFC 4253 section 6."""
    size = 8 - (len(payload) + 5) % 8
    size += 8 if size < 4 else 0
    size = size if padding is None else padding
    content = bytes([size & 255]) + payload + b"\0" * size
    return struct.pack(">I", len(content)) + content


def take(stream, count):
    """So many bytes; ConnectionResetError at the end of the stream."""
    content = b""
    while len(content) < count:
        chunk = stream.recv(count - len(content))
        if not chunk:
            raise ConnectionResetError
        content += chunk
    return content


class Attacker:
    """Listens on 'port' for one connection. 'from_client': that direction is under attack, else
    the other one."""

    def __init__(self, target, from_client):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target, self.from_client = target, from_client
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def pass_on(self, source, sink, attacked):
        """Both directions come through here, until the source ends."""
        raise NotImplementedError

    def _run(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.target))
        ways = [
            threading.Thread(target=self._way, args=(client, server, self.from_client)),
            threading.Thread(target=self._way, args=(server, client, not self.from_client)),
        ]
        for way in ways:
            way.daemon = True
            way.start()
        for way in ways:
            way.join()
        client.close()
        server.close()

    def _way(self, source, sink, attacked):
        try:
            self.pass_on(source, sink, attacked)
        except OSError:
            pass
        for end in (source, sink):  # close() would not wake the other thread
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        self.thread.join(60)


class BitFlipper(Attacker):
    """Once 'armed', one bit of the next piece is wrong, in its byte 'at' modulo its length."""

    def __init__(self, target, from_client, at):
        self.at = at
        self.armed = threading.Event()
        super().__init__(target, from_client)

    def pass_on(self, source, sink, attacked):
        while chunk := source.recv(65536):
            if attacked and self.armed.is_set():
                at = self.at % len(chunk)
                chunk = chunk[:at] + bytes([chunk[at] ^ 0x10]) + chunk[at + 1 :]
                attacked = False
            sink.sendall(chunk)


class PacketForger(Attacker):
    """Puts 'inserted' (bytes) in before the first packet of type 'before', and then drops the first
    protected packet, as far as it can be reported from the cipher's own framing: chacha20-poly1305
    hides lengths, so it is the first piece that comes."""

    def __init__(self, target, from_client, inserted=b"", before=NEWKEYS, drop=True):
        self.inserted, self.before, self.drop = inserted, before, drop
        self.reached = False  # the place where something was to be put in
        super().__init__(target, from_client)

    def pass_on(self, source, sink, attacked):
        line = b""
        while not line.endswith(b"\n"):
            line += take(source, 1)
        sink.sendall(line)
        kind = 0
        while kind != NEWKEYS:
            head = take(source, 4)
            body = take(source, struct.unpack(">I", head)[0])
            kind = body[1]
            if attacked and kind == self.before and not self.reached:
                self.reached = True
                sink.sendall(self.inserted)
            sink.sendall(head + body)
        if attacked and self.drop:
            source.recv(65536)
        while chunk := source.recv(65536):
            sink.sendall(chunk)
