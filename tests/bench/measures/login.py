# SPDX-License-Identifier: MIT
"""Connect, log in, run 'true': one after the other, and several at once."""

import concurrent.futures
import time

from bench import clients
from bench.figures import Growth, Row, Target

NAME = "login"
CONCURRENCY = (1, 2, 4, 8, 16)
DROPBEAR_AT_ONCE = 4  # it takes five unauthenticated connections from one address


def one_login(context, server):
    return clients.run_quietly(clients.ssh_command(context.fleet, server, "true"))


def rate(context, server, at_once):
    """Logins a second."""
    count = max(at_once, context.amount(32, 8))
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        started = time.perf_counter()
        for done in [pool.submit(one_login, context, server) for _ in range(count)]:
            done.result()
        return count / (time.perf_counter() - started)


def by_concurrency(context, server):
    most = DROPBEAR_AT_ONCE if server.name == "dropbear" else CONCURRENCY[-1]
    return [(count, rate(context, server, count)) for count in CONCURRENCY if count <= most]


def measure(context):
    fleet = context.fleet
    servers = [
        fleet.agent(),
        fleet.sshd(),
        fleet.sshd("sshd without PAM", pam="no"),
        fleet.dropbear(),
    ]
    for server in servers:
        one_login(context, server.wait_ready())
    costs = {server.name: [] for server in servers}

    def take(server):
        before = server.cpu_s()
        seconds = one_login(context, server)
        costs[server.name].append(server.cpu_s() - before)
        return seconds * 1e3

    rounds = context.amount(30, 8)
    samples = context.interleaved({s.name: lambda s=s: take(s) for s in servers}, rounds)
    total = {name: [sum(values) / len(values) * 1e3] for name, values in costs.items()}
    rows = [
        Row("connect, log in, true", "ms", samples, peer="sshd", target=Target(0.15)),
        Row("the same, server's CPU", "ms", total, peer="sshd"),
    ]
    lines = {
        server.name: by_concurrency(context, server)
        for server in (servers[0], servers[1], servers[3])
    }
    for server in servers:
        fleet.stop(server)
    growth = Growth(
        "login-rate", "logins a second, by how many at once", "at once", "logins a second",
        lines, log_x=True,
    )  # fmt: skip
    return rows, [growth]
