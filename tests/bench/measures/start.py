# SPDX-License-Identifier: MIT
"""From the start of the server's process to the end of the first command."""

import time

from bench import clients
from bench.figures import Row, Target

NAME = "start"


def measure(context):
    fleet = context.fleet

    def take(start):
        started = time.perf_counter()
        server = start().wait_ready()
        clients.run_quietly(clients.ssh_command(fleet, server, "true"))
        seconds = time.perf_counter() - started
        fleet.stop(server)
        return seconds * 1e3

    contestants = {
        "berth-agent": lambda: take(fleet.agent),
        "sshd, ssh-keygen -A": lambda: take(lambda: fleet.sshd(keygen="all")),
        "sshd, Ed25519 only": lambda: take(lambda: fleet.sshd(keygen="ed25519")),
        "dropbear": lambda: take(fleet.dropbear),
    }
    samples = context.interleaved(contestants, context.amount(25, 3))
    own = {name: samples[name] for name in ("berth-agent", "sshd, Ed25519 only")}
    return [
        Row(
            "start to first command", "ms", samples,
            peer="sshd, ssh-keygen -A", target=Target(round(1 / 40, 3)),
        ),
        Row(
            "start to first command, one host key", "ms", own,
            peer="sshd, Ed25519 only", target=Target(0.25),
        ),
    ], []  # fmt: skip
