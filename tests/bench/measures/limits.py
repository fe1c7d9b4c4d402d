# SPDX-License-Identifier: MIT
"""What this machine can do at most: the cipher alone, a copy in memory, a way there and back."""

import re
import socket
import statistics
import subprocess
import threading
import time

from bench.figures import Row

NAME = "limits"
MIB = 1 << 20
CIPHERS = ("aes-128-gcm", "aes-256-gcm", "chacha20-poly1305")


def cipher_speed(name):
    """MiB/s of openssl's own loop over packets of 32 KiB."""
    command = ["openssl", "speed", "-elapsed", "-seconds", "1", "-bytes", "32768", "-evp", name]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"([0-9.]+)k\s*$", shown, re.MULTILINE)
    return float(found[-1]) * 1000 / MIB


def copy_speed():
    block = bytearray(256 * MIB)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        _ = bytes(block)
        times.append(time.perf_counter() - started)
    return 256 / statistics.median(times)


def round_trip_us():
    """One byte there and back over TCP on loopback."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo():
        peer = listener.accept()[0]
        while piece := peer.recv(1):
            peer.sendall(piece)

    threading.Thread(target=echo, daemon=True).start()
    times = []
    with socket.create_connection(listener.getsockname()) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2000):
            started = time.perf_counter()
            link.sendall(b"x")
            link.recv(1)
            times.append(time.perf_counter() - started)
    listener.close()
    return statistics.median(times) * 1e6


def measure(_context):
    name = "this machine"
    rows = [
        Row(f"limit: {cipher} alone", "MiB/s", {name: [cipher_speed(cipher)]}, ours=name)
        for cipher in CIPHERS
    ]
    rows.append(Row("limit: a copy in memory", "MiB/s", {name: [copy_speed()]}, ours=name))
    rows.append(Row("limit: loopback there and back", "us", {name: [round_trip_us()]}, ours=name))
    return rows, []
