# SPDX-License-Identifier: MIT
"""A stage ends in time whatever its task does; once asked to stop within CancelGrace + 20 s."""

import contextlib
import functools
import os
import signal
import struct
import subprocess
import time

import paramiko
import pytest

from support import jobwire
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.rude_server import Command, Flood, Growth, Place, RudeServer, exit_status

GRACE_S = 1
LIMIT_S = GRACE_S + 20
SLACK_S = 10  # of a loaded machine
MIB = 1 << 20


@pytest.fixture
def rude(job):
    """rude(subsystem, command, prepared=True): a job whose task is that server."""
    servers = []

    def start(subsystem=None, command=None, prepared=True, **how):
        servers.append(RudeServer(functools.partial(Place, job), subsystem, command, **how))
        job.driver.settings.setdefault("SSH", {"ReattachTimeout": "60s"})
        if prepared:
            job.prepare()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def stop(process, number=signal.SIGTERM):
    """Returns the exit code and how long it took."""
    began = time.monotonic()
    os.kill(process.pid, number)
    code = process.wait(LIMIT_S + 60)
    return code, time.monotonic() - began


def attach(link):
    """Answers a START or an ATTACH; returns the offsets."""
    kind, offsets = link.introduction()
    if kind == jobwire.START:
        link.started()
        offsets = (0, 0)
    else:
        link.started(*offsets, kind=jobwire.ATTACHED)
    link.offsets = list(offsets)


def hang_up(link):
    attach(link)
    link.drop()


def a_byte_each_time(link):
    attach(link)
    link.output(b"x")
    link.drop()


def key_exchanges(link):
    attach(link)
    while True:
        link.transport.renegotiate_keys()


def output_without_end(link):
    attach(link)
    while True:
        link.output(bytes(32768))


def unread_upload(link):
    """Takes the script once, and never again."""
    if link.number == 2:
        link.introduction()
        link.drop()
    else:
        link.wait()


@pytest.mark.parametrize(
    "play, connections, most_s",
    [
        pytest.param(hang_up, 4, 10, marks=pytest.mark.waits),
        pytest.param(a_byte_each_time, 4, LIMIT_S, marks=pytest.mark.waits),
        (key_exchanges, 2, LIMIT_S),
        (output_without_end, 2, GRACE_S + 7),
        pytest.param(unread_upload, 3, LIMIT_S, marks=pytest.mark.waits),
    ],
)
def test_a_stop_ends_in_time(job, rude, until, play, connections, most_s):
    server = rude(play)
    script = job.script(": " + "x" * (8 * MIB) + "\n" if play is unread_upload else "exit 0\n")
    with open(job.directory / "reported", "wb") as reported:  # read, as a runner does
        process = job.driver.start(
            "custom", "run", script, "build_script", env=job.env,
            stdout=subprocess.DEVNULL, stderr=reported,
        )  # fmt: skip
    until(lambda: server.connections >= connections, 60, "the driver's links")
    until(lambda: any(link.introduced for link in server.links), 60, "the script")
    code, took_s = stop(process)
    assert code == SYSTEM_FAILURE, (job.directory / "reported").read_bytes()[-2000:]
    assert took_s < most_s + SLACK_S
    assert job.exit_code() is None


def silent(connection):
    """Reads, and never replies."""
    while connection.recv(4096):
        pass


@pytest.mark.parametrize(
    "kind",
    ["no EOF", pytest.param("no answer", marks=pytest.mark.waits), "no login"],
)
def test_the_end_of_a_plain_job_ends_in_time(job, rude, until, kind):
    """legacy_sshd_kill's own connection is as rude as the job's."""
    jobs = []

    def command(channel, words, number):
        if not jobs:
            jobs.append(Command(channel, words))
            return
        jobs[0].process.kill()
        if kind == "no EOF":
            exit_status(channel, Command(channel, words).wait())

    server = rude(None, command)
    process = job.start("echo up; exec sleep 1000\n")
    assert process.stdout.readline() == b"up\n"
    if kind == "no login":
        server.answer = lambda connection, number: silent(connection)
    try:
        code, took_s = stop(process)
    finally:
        jobs[0].process.kill()
        jobs[0].wait()
    reported = process.stderr.read().decode()
    if kind == "no EOF":  # its processes are gone, as the exit status says
        assert code == BUILD_FAILURE and "stopped on request" in reported, reported
        assert took_s < GRACE_S + 2 + SLACK_S
    else:
        assert code == SYSTEM_FAILURE and "cannot end the job" in reported, reported
        assert took_s < (LIMIT_S if kind == "no answer" else 10) + SLACK_S


def test_attach_loops_pause_and_are_logged_once(job, rude):
    job.driver.settings["SSH"] = {"ReattachTimeout": "4s"}
    server = rude(hang_up)
    began = time.monotonic()
    done = job.run("exit 0\n")
    assert done.returncode == SYSTEM_FAILURE
    assert 3.5 < time.monotonic() - began < 4 + 2 * SLACK_S
    assert done.stderr.count("is lost") == 1 and "resumed after" not in done.stderr
    assert 2 <= server.connections <= 10


def test_a_job_that_ignores_term_gets_kill_after_the_grace_period(job, rude, until):
    """After the first connection was lost with its TERM, the second one gets TERM again."""
    links = []

    def play(link):
        links.append(link)
        if link.number == 2:
            link.honest_start()
        else:
            attach(link)
        while "KILL" not in link.signals:
            link.next()
            if link.number == 2 and link.signals:
                link.drop()
                return
        link.exit(0, "KILL")
        link.listen()

    rude(play)
    process = job.start("echo up\n")
    assert process.stdout.readline() == b"up\n"
    code, took_s = stop(process)
    reported = process.stderr.read().decode()
    assert code == BUILD_FAILURE and "stopped on request" in reported, reported
    assert links[0].signals == ["TERM"] and links[1].signals == ["TERM", "KILL"]
    assert GRACE_S + 1.5 < took_s < GRACE_S + 2 + SLACK_S


# --- floods ---


def packet(kind, size=0):
    """A packet in the clear, RFC 4253 section 6."""
    payload = bytes([kind]) + bytes(size)
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def endless(connection, piece, first=b""):
    connection.sendall(first)
    while True:
        connection.sendall(piece)


def drop_by_drop(connection, piece, first=b"", pause_s=0.2):
    connection.sendall(first)
    while True:
        connection.sendall(piece)
        time.sleep(pause_s)  # bytes that come in, but slowly, are the case


BANNER = b"SSH-2.0-rude\r\n"
FLOODS = {
    "lines": (endless, b"what is this\r\n" * 500),
    "unknown": (endless, packet(200) * 500, BANNER),
    "ignore": (endless, packet(2, 4) * 500, BANNER),
    "large": (endless, packet(200, 200_000), BANNER),
    "debug": (endless, packet(4, 9) * 500, BANNER),
    "slow lines": (drop_by_drop, b"a\r\n"),
    "slow ignore": (drop_by_drop, packet(2, 4), BANNER),
    "half a packet": (drop_by_drop, b"\0", BANNER + packet(2, 200_000)[:5]),
    "nothing": (silent,),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_before_the_key_exchange(job, programs, name):
    function, *words = FLOODS[name]
    job.driver.settings["SSH"] = {"ConnectTimeout": "4s"}
    with Flood(lambda connection, number: function(connection, *words)) as flood:
        Place(job, flood.port)
        check_prepare(job, programs, flood)


def check_prepare(job, programs, server):
    began = time.monotonic()
    process = job.driver.start("custom", "prepare", env=job.env)
    while not server.connections:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)
    with Growth(process.pid) as growth:
        code = process.wait(60)
    assert time.monotonic() - began < 4 + 2 * SLACK_S
    assert code == SYSTEM_FAILURE, process.stderr.read()
    if not programs.sanitized:
        assert growth.mib < 8


def send(transport, kind, *fields):
    message = paramiko.Message()
    message.add_byte(bytes([kind]))
    for field in fields:
        message.add(field)
    transport.packetizer.send_message(message)  # also in the middle of a key exchange


def global_request(transport):
    send(transport, 80, "what@example.com", True)


def channel_open(transport):
    send(transport, 90, "forwarded-tcpip", 7, MIB, 32768, "here", 1, "there", 2)


def channel_request(transport):
    send(transport, 98, 0, "shell", True)


MESSAGES = {
    "unknown": lambda transport: send(transport, 200),
    "ignore": lambda transport: send(transport, 2, b"x" * 100),
    "debug": lambda transport: send(transport, 4, True, "x" * 100, ""),
    "ext-info": lambda transport: send(transport, 7, 1, "server-sig-algs", "ssh-ed25519"),
}
LATER = {
    "global request": global_request,
    "channel open": channel_open,
    "channel request": channel_request,
    "exit": lambda transport: send(transport, 98, 0, "exit-signal", False, "KILL", False, "", ""),
    "data": lambda transport: send(transport, 94, 0, b"x" * 30000),
    "stderr": lambda transport: send(transport, 95, 0, 1, b"x" * 30000),
}


def flood_by(message):
    def flood(transport):
        with contextlib.suppress(OSError, EOFError):
            while True:
                message(transport)

    return flood


def in_a_key_exchange(transport):
    """Replies of the driver's are put off until its end, which does not come."""
    transport._send_kex_init()
    flood_by(MESSAGES["unknown"])(transport)


@pytest.mark.parametrize("name", MESSAGES)
def test_floods_before_the_login(job, programs, rude, name):
    """From the server's reading thread, which thereby reads no more."""
    job.driver.settings["SSH"] = {"ConnectTimeout": "4s"}
    server = rude(prepared=False)
    server.authenticating = flood_by(MESSAGES[name])
    check_prepare(job, programs, server)


@pytest.mark.parametrize("name", [*MESSAGES, *LATER, "key exchange"])
def test_floods_after_the_login(job, programs, rude, name):
    job.driver.settings["SSH"] = {"ReattachTimeout": "3s"}
    messages = {**MESSAGES, **LATER}
    server = rude(opened=None)
    flood = in_a_key_exchange if name == "key exchange" else flood_by(messages[name])
    server.opened = lambda channel: flood(channel.transport)
    process = job.start("exit 0\n", stdout=subprocess.DEVNULL)
    while server.connections < 2:
        assert process.poll() is None
        time.sleep(0.001)
    with Growth(process.pid) as growth:
        code = process.wait(60)
    assert code == SYSTEM_FAILURE, process.stderr.read()
    if not programs.sanitized:
        assert growth.mib < 16
