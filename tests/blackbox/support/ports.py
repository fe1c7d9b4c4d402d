# SPDX-License-Identifier: MIT
"""Ports for servers of the tests."""

import collections
import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST = 10000

# Names that this process holds. By the time the oldest goes, its port is in use or was never used.
_held = collections.deque(maxlen=200)
_dice = random.SystemRandom()


def free_port():
    """A TCP port on loopback that nothing listens on, and that nothing else takes before its user.

    It is below those that the kernel gives to connections: one of them could take the port of a
    server that starts, or be the client that polls for it. A name in the abstract namespace keeps
    other test processes from it, for that one belongs to a network, as ports do.
    """
    end = int(RANGE.read_text().split()[0])
    assert end > FIRST + 1000, f"{RANGE}: no ports are left below those of connections"
    while True:
        port = _dice.randrange(FIRST, end)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0berth-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            name.close()
            continue
        _held.append(name)
        return port
