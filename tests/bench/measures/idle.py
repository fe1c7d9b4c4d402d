# SPDX-License-Identifier: MIT
"""Memory with sessions that do nothing, wake-ups without any, and the size on disk."""

import subprocess
import time

from bench import clients
from bench.figures import Growth, Row, Target

NAME = "idle"
SESSIONS = (1, 10, 50, 100, 200)
AT_ONCE = 4  # dropbear takes five unauthenticated connections from one address
DEADLINE_S = 60


class Sleepers:
    """Clients whose jobs wait."""

    def __init__(self, context, server):
        self.command = clients.ssh_command(context.fleet, server, "echo up; exec sleep 1000")
        self.children = []

    def grow_to(self, count):
        while len(self.children) < count:
            some = [
                subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                for _ in range(min(AT_ONCE, count - len(self.children)))
            ]
            self.children += some
            for child in some:
                if child.stdout.readline() != b"up\n":
                    raise RuntimeError("a session did not come up")

    def end(self):
        for child in self.children:
            child.kill()
            child.wait()
            child.stdout.close()


def memory(context, servers):
    lines = {server.name: [] for server in servers}
    counts = SESSIONS if not context.quick else SESSIONS[:2]
    for server in servers:
        sleepers = Sleepers(context, server)
        try:
            for count in counts:
                sleepers.grow_to(count)
                lines[server.name].append((count, server.pss_kib()))
        finally:
            sleepers.end()
    return lines


def wakeups(context, server):
    """Once it has become quiet after the last client."""
    deadline = time.monotonic() + DEADLINE_S
    while len(server.own_pids()) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    before = server.wakeups()
    time.sleep(context.amount(60, 5))  # the measure is what happens in this time
    return server.wakeups() - before


def measure(context):
    fleet = context.fleet
    servers = [fleet.agent(), fleet.sshd(), fleet.dropbear()]
    for server in servers:
        clients.run_quietly(clients.ssh_command(fleet, server.wait_ready(), "true"))
    lines = memory(context, servers)
    one = {name: [points[0][1]] for name, points in lines.items()}
    quiet = {"berth-agent": [wakeups(context, servers[0])]}
    for server in servers:
        fleet.stop(server)
    sizes = {
        name: [(context.bin / name).stat().st_size / 1e6]
        for name in ("berth-agent", "berth-driver")
    }
    rows = [
        Row("PSS with one session", "KiB", one, peer="sshd", target=Target(0.45)),
        Row("wake-ups of an idle agent", f"in {context.amount(60, 5)} s", quiet,
            target=Target(0, absolute=True)),
        Row("size of berth-agent", "MB", {"berth-agent": sizes["berth-agent"]},
            target=Target(3.7, absolute=True)),
        Row("size of berth-driver with the agent inside", "MB",
            {"berth-driver": sizes["berth-driver"]}, ours="berth-driver",
            target=Target(8.8, absolute=True)),
    ]  # fmt: skip
    growth = Growth(
        "memory-by-sessions", "PSS of the server, by sessions", "sessions", "KiB", lines
    )
    return rows, [growth]
