# SPDX-License-Identifier: MIT
"""Floods of clients without a key: logins still succeed, and the flood costs little CPU.

The floods run in their own process (support/flood.py). A login is OpenSSH's, retried at once when
it fails. It takes under 5 s from everywhere: about 3 s from an address that floods and has never
logged in, because it waits until the connections before it had their turn of half a second each.
"""

import contextlib
import math
import os
import re
import socket
import subprocess
import time

import pytest

from support.flood import KINDS, Flood

IN_TIME_S = 5.0
USUAL_LOGIN_S = 0.3
USUAL_IDLE = 0.3  # of all processors; a flood that stays connected leaves nearly all of them idle
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 32)]
ELSEWHERE = "127.0.0.200"


def log_in(client, source):
    """Logs in from that address, with retries for a minute; returns how long it took."""
    began = time.monotonic()
    while client.run("exit 6", options=["-b", source]).returncode != 6:
        if time.monotonic() - began > 60:
            return math.inf
    return time.monotonic() - began


def is_busy(client):
    """Whether this machine is so busy that a login without a flood is slow. Then the number of
    attempts is not limited."""
    return max(log_in(client, "127.0.0.100") for _ in range(3)) > USUAL_LOGIN_S


class Idle:
    """busy(): whether the processors had too little rest since this was made. Then a login takes
    longer than the half second of its turn, so that none may get in."""

    def __init__(self):
        self.before, self.began = self._seconds(), time.monotonic()

    @staticmethod
    def _seconds():
        """Of all processors together, since the machine started."""
        with open("/proc/stat") as file:
            return int(file.readline().split()[4]) / os.sysconf("SC_CLK_TCK")

    def busy(self):
        passed = (time.monotonic() - self.began) * os.cpu_count()
        return (self._seconds() - self.before) / passed < USUAL_IDLE


def check_logins(started, client, flood, sources):
    """Logs in from each address in turn, within the limit, while the flood runs."""
    busy = is_busy(client)
    with flood():
        idle = Idle()
        took = [(source, log_in(client, source)) for source in sources]
        busy = idle.busy() or busy  # also with load only between those two checks
    late = [pair for pair in took if pair[1] >= IN_TIME_S]
    assert not late or busy or is_busy(client), late
    assert log_in(client, ELSEWHERE) < math.inf  # the flood is over: also on a busy machine
    assert started.process.poll() is None
    # Logins are always logged. There is one more if a login on a slow machine took so long
    # that it was displaced, and was retried.
    reported = re.findall(r"info: (\S+) port \d+: '\S+' logged in with ", started.log())
    in_time = [source for source, seconds in took if seconds < math.inf]
    assert all(reported.count(source) >= in_time.count(source) for source in in_time), reported


def cpu_seconds(pid):
    """CPU time of a process and its reaped children."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.waits
@pytest.mark.parametrize("kind", KINDS)
def test_a_login_under_60_loops_from_30_addresses(agent, ssh, kind):
    """From another address, and from a flooding one before and after its first login."""
    started = agent()
    sources = [ELSEWHERE, ADDRESSES[0], ADDRESSES[0]]
    check_logins(started, ssh(started), lambda: Flood(started.port, kind, 60, ADDRESSES), sources)


@pytest.mark.waits
@pytest.mark.parametrize("kind", ["stays silent", "greets and stays", "exchanges keys and stays"])
def test_a_login_under_two_addresses_with_20_loops_each(agent, ssh, kind):
    started = agent()
    sources = [ELSEWHERE, ADDRESSES[0], ADDRESSES[0]]
    flood = lambda: Flood(started.port, kind, 40, ADDRESSES[:2])  # noqa: E731
    check_logins(started, ssh(started), flood, sources)


@pytest.mark.waits
@pytest.mark.parametrize("trusted", [False, True], ids=["strangers", "logged in lately"])
def test_key_exchanges_without_a_login_cost_little(agent, ssh, programs, trusted):
    """Without limits a client with 0.07 of a CPU could keep all CPUs busy; with them the agent
    uses 0.3 of one at most, also when the address has logged in before, and serves some."""
    if programs.sanitized:
        pytest.skip("a key exchange under AddressSanitizer costs ten times as much")
    started = agent()
    if trusted:
        assert log_in(ssh(started), ADDRESSES[0]) < math.inf
    idle = Idle()
    before, began = cpu_seconds(started.pid), time.monotonic()
    with Flood(started.port, "exchanges keys", 60, ADDRESSES[: 1 if trusted else 30]) as flood:
        time.sleep(6)  # the time over which CPU usage is measured
        cost = (cpu_seconds(started.pid) - before) / (time.monotonic() - began)
        busy = idle.busy()
    assert cost < 0.3
    assert flood.finished > 30 or busy


@pytest.mark.waits
def test_refused_connections_are_summed_up(agent, ssh, until):
    """Thousands of them in a few lines that count them all."""
    started = agent()
    with Flood(started.port, "stays silent", 300, ADDRESSES[:3]):
        log_in(ssh(started), ELSEWHERE)
        until(lambda: re.search(r"refused \d+ more connections", started.log()), 60, "a summary")
    assert started.terminate() == 0
    lines = [line for line in started.log().splitlines() if ": warn: " in line]
    assert len([line for line in lines if line.endswith(", refusing")]) == 1
    sums = re.findall(
        r"refused (\d+) more connections in 10 s, from (\d) addresses, most \((\d+)\) from (\S+)",
        "\n".join(lines),
    )
    assert sums and all(int(most) <= int(total) for total, _, most, _ in sums)
    assert max(int(count) for _, count, _, _ in sums) == 3
    assert {address for *_, address in sums} <= set(ADDRESSES[:3])
    assert sum(int(total) for total, *_ in sums) > 500
    assert len(started.log().splitlines()) < 40


def test_health_check_during_a_flood_from_its_address(agent, programs, ssh):
    started = agent()
    busy, idle = is_busy(ssh(started)), Idle()
    with Flood(started.port, "exchanges keys and stays", 40, ["127.0.0.1"]):
        for _ in range(20):
            done = subprocess.run(
                [programs.agent, "health", "--listen", f"127.0.0.1:{started.port}"],
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0 or busy or idle.busy(), done.stderr


def test_a_refused_connection_is_closed_at_once(agent, ssh):
    """Only init holds a waiting connection open, no session that starts meanwhile."""
    started = agent(args=["--max-unauthenticated-per-address", "1"])
    with (
        socket.create_connection(("127.0.0.1", started.port), 60, ("127.0.0.2", 0)) as first,
        socket.create_connection(("127.0.0.1", started.port), 60, ("127.0.0.2", 0)) as second,
    ):
        assert first.recv(4) == b"SSH-"
        process = ssh(started).start("echo up; cat")
        assert process.stdout.read(3) == b"up\n"
        second.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            while second.recv(4096):  # closed, even if it was served
                pass
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_waiting_client_that_leaves_gets_no_session(agent, ssh, until):
    """A client that disconnects while it waits gets no session process."""
    started = agent(args=["--max-unauthenticated-per-address", "1", "--log-level", "debug"])
    with socket.create_connection(("127.0.0.1", started.port), 60) as first:
        assert first.recv(4) == b"SSH-"
        for _ in range(5):
            socket.create_connection(("127.0.0.1", started.port), 60).close()
        until(lambda: ssh(started).run("exit 4").returncode == 4, 60, "a login")
    assert started.terminate() == 0
    assert started.log().count(": connected") == 2
