# SPDX-License-Identifier: MIT
"""A TCP proxy on loopback that breaks connections where a test wants them broken.

Each connection takes one Fault from 'faults' (none left: it is passed on whole). Threads end with
close().
"""

import select
import socket
import struct
import threading
import time
from dataclasses import dataclass

PAUSE_S = 3.0
RESET = struct.pack("ii", 1, 0)


@dataclass
class Fault:
    """After 'at' bytes of one direction: 'reset' (RST), 'drop' (FIN), 'stall' (silence) or 'pause',
    after PAUSE_S of which it goes on."""

    at: int
    upload: bool = False
    kind: str = "reset"


def random_faults(dice, count, uploads, up_bytes, down_bytes):
    """Resets and drops, a share 'uploads' of them while the client sends."""
    return [
        Fault(dice.randrange(1, up_bytes), True, dice.choice(["reset", "drop"]))
        if dice.random() < uploads
        else Fault(dice.randrange(1, down_bytes), False, dice.choice(["reset", "drop"]))
        for _ in range(count)
    ]


class Proxy:
    def __init__(self, port, faults=(), address="127.0.0.1", own_port=0, server=None):
        """server: its address, if it is not the proxy's own."""
        self.target, self.server = port, server or address
        self.faults = list(faults)
        self.connections = 0
        self.refusing = False
        self.frozen = False  # nothing passes any more, and nothing is closed
        self.transferred = []
        self._sockets = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((address, own_port))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                _reset(client)
                continue
            try:
                server = socket.create_connection((self.server, self.target), 60)
            except OSError:
                client.close()
                continue
            with self._lock:
                self.connections += 1
                fault = self.faults.pop(0) if self.faults else None
                counts = [0, 0]
                self.transferred.append(counts)
                self._sockets += [client, server]
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(
                target=self._pump, args=(client, server, fault, counts), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _pump(self, client, server, fault, counts):
        ends = [client, server]
        try:
            if fault is not None and fault.kind == "stall" and fault.at == 0:
                _swallow(ends)
                return
            while True:
                ready, _, _ = select.select(ends, [], [])
                for source in ready:
                    upload = source is client
                    room = 262144
                    watched = fault is not None and fault.upload == upload
                    if watched:
                        room = max(1, min(room, fault.at - counts[upload]))
                    data = source.recv(room)
                    if not data:
                        return
                    if self.frozen:
                        _swallow(ends)
                        return
                    counts[upload] += len(data)
                    (server if upload else client).sendall(data)
                    if watched and counts[upload] >= fault.at and fault.kind == "pause":
                        time.sleep(PAUSE_S)  # how long is the case
                        fault = None
                    elif watched and counts[upload] >= fault.at:
                        if fault.kind == "reset":
                            _reset(client)
                            _reset(server)
                        if fault.kind == "stall":
                            _swallow(ends)
                        return
        except (OSError, ValueError):
            return
        finally:
            for end in ends:
                _shut(end)

    def cut(self):
        """Resets every connection there is."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for end in sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _swallow(ends):
    """Takes whatever comes and passes nothing on, until one side is closed."""
    while True:
        for source in select.select(ends, [], [])[0]:
            if not source.recv(65536):
                return


def _shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


def _reset(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.close()
    except OSError:
        pass
