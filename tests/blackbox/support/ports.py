# SPDX-License-Identifier: MIT
"""Ports for servers of the tests."""

import socket


def free_port():
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
