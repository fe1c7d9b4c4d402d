# SPDX-License-Identifier: MIT
"""100 connections at once, each with a job that puts out 10 MB; every byte is compared."""

import hashlib
import os
import subprocess
import threading
import time

from bench import clients
from bench.figures import Row, Target

NAME = "connections"
JOB_BYTES = 10 * 1000 * 1000


class Reader(threading.Thread):
    """One client: notes when all bytes are there, goes on until its end."""

    def __init__(self, command, wanted):
        super().__init__()
        self.command, self.wanted = command, wanted
        self.full = threading.Event()
        self.failure = None

    def run(self):
        child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        digest, total = hashlib.sha256(), 0
        while piece := os.read(child.stdout.fileno(), 1 << 18):
            digest.update(piece)
            total += len(piece)
            if total == JOB_BYTES:
                self.full.set()
        child.stdout.close()
        status = child.wait()
        if status != 0 or total != JOB_BYTES or digest.hexdigest() != self.wanted:
            self.failure = f"status {status}, {total} bytes"
        self.full.set()


def measure(context):
    count = context.amount(100, 20)
    path = context.random_file("job", JOB_BYTES)
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    gate = context.scratch / "gate"
    memory = {"berth-agent": [], "sshd": []}

    def take(start):
        server = start().wait_ready()
        gate.unlink(missing_ok=True)
        os.mkfifo(gate)
        # The jobs wait at the end, so that memory is taken with all of them connected.
        words = clients.ssh_command(context.fleet, server, f"cat {path}; exec cat {gate}")
        readers = [Reader(words, wanted) for _ in range(count)]
        started = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.full.wait()
        seconds = time.perf_counter() - started
        memory[server.name].append(server.pss_kib() / 1024)
        release(gate, readers)
        context.fleet.stop(server)
        failures = [reader.failure for reader in readers if reader.failure]
        if failures:
            raise RuntimeError(f"{server.name}: {len(failures)} of {count} failed: {failures[0]}")
        return seconds

    contestants = {"berth-agent": context.fleet.agent, "sshd": context.fleet.sshd}
    rounds = context.amount(3, 1)
    wall = context.interleaved({n: lambda f=f: take(f) for n, f in contestants.items()}, rounds)
    return [
        Row(f"{count} connections with 10 MB each", "s", wall, peer="sshd", target=Target(1.0)),
        Row("the same, PSS of the server at their end", "MiB", memory, peer="sshd",
            target=Target(0.5)),
    ], []  # fmt: skip


def release(gate, readers):
    """A job that opens the FIFO after the others have gone needs its own end of file."""
    while any(reader.is_alive() for reader in readers):
        try:
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            pass  # no client waits at this moment
        time.sleep(0.01)
