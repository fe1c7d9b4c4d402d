# SPDX-License-Identifier: MIT
"""Addresses and network namespaces of the tasks of ecs_play.py; needs root.

Each task has an address of its own in 198.18.0.0/15 (RFC 2544, private use), which this machine
reaches over a veth pair without a bridge: some time after the last process in the namespace the
pair is gone, also after a killed test. HOST is this machine as tasks see it: a server of a test
that listens there, or on all addresses, is reached by them. Nothing else can be reached.
"""

import atexit
import contextlib
import fcntl
import itertools
import socket
import subprocess
import threading

SLOTS = 32  # test processes side by side
SLOT_ADDRESSES = 4096
FIRST = (198 << 24) | (18 << 16)


def _text(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def _ip(lines, namespace=()):
    done = subprocess.run(
        [*namespace, "ip", "-batch", "-"], input="\n".join(lines), text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"ip {lines}: {done.stderr.strip()}")


class Network:
    """The slot of this process. host: see above."""

    _instance = None
    _creating = threading.Lock()

    @classmethod
    def of_this_process(cls):
        with cls._creating:
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    def __init__(self):
        for self.slot in range(SLOTS):
            self._lock = open(f"/run/berth-ecs-play-{self.slot}.lock", "w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                self._lock.close()
        else:
            raise OSError(f"{SLOTS} processes play ECS already")
        self._remove_links()
        self._first = FIRST + self.slot * SLOT_ADDRESSES
        self.host = _text(self._first + 1)
        _ip([f"address replace {self.host}/32 dev lo"])
        atexit.register(self._release)
        self._numbers = itertools.count()

    def _remove_links(self):
        """Those of an earlier process: the kernel takes its time to remove them."""
        for _, name in socket.if_nameindex():
            if name.startswith(f"ep{self.slot}-"):
                subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)

    def _release(self):
        with contextlib.suppress(OSError):
            _ip([f"address del {self.host}/32 dev lo"])
        self._lock.close()

    def number(self):
        """Of a task. They come again after some thousand, when the first ones are long gone."""
        return next(self._numbers) % ((SLOT_ADDRESSES - 16) // 2)

    def addresses(self, number):
        """(private, public) address of a task."""
        return [_text(self._first + 16 + 2 * number + offset) for offset in (0, 1)]


class Namespace:
    """A task's network. path: of the namespace, for setns()."""

    def __init__(self, tool, network, number):
        self.process = subprocess.Popen(
            [tool, "pause"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout.read(1) == b"\n", "ecs-container pause ended"
        self.path = f"/proc/{self.process.pid}/ns/net"
        link = f"ep{network.slot}-{number}"
        addresses = network.addresses(number)
        _ip(
            [f"link add {link} type veth peer name eth0 netns {self.process.pid}"]
            + [f"link set {link} up"]
            + [f"route add {address}/32 dev {link} src {network.host}" for address in addresses]
        )
        _ip(
            [f"address add {address}/32 dev eth0" for address in addresses]
            + ["link set eth0 up", f"route add {network.host} dev eth0 src {addresses[0]}"]
            + [f"route add default via {network.host} src {addresses[0]}"],
            ["nsenter", f"--net={self.path}"],
        )

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
