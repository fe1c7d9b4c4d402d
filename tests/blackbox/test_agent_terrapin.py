# SPDX-License-Identifier: MIT
"""An attacker in the network path who changes the key exchange, which is not authenticated yet.

Terrapin (CVE-2023-48795): a packet inserted before NEWKEYS shifts the sequence numbers, so that the
first protected packet of the other side can be dropped unnoticed. Strict key exchange prevents it:
sequence numbers restart, and no unexpected packet is allowed before NEWKEYS. Another test inserts
every message number during a key exchange.
"""

import os
import socket
import struct

import pytest

from support import processes
from support.attackers import NEWKEYS, PacketForger, packet
from support.clients import run, transport
from support.waiting import until

IGNORE, DEBUG, KEXINIT = 2, 4, 20
BANNER = b"SSH-2.0-test\r\n"
DEADLINE_S = 25.0  # the login grace is 30 s


def connect_through(started, client, attacker):
    """The result of a command through the attacker, by OpenSSH."""
    client.port = attacker.port
    client.known_hosts.write_text(f"[127.0.0.1]:{attacker.port} {started.host_key.public}\n")
    options = ["-o", "Ciphers=chacha20-poly1305@openssh.com", "-v"]
    try:
        return client.run("echo through; exit 9", options=options, timeout=60)
    finally:
        attacker.close()


INSERTED = {
    "IGNORE": packet(bytes([IGNORE]) + struct.pack(">I", 4) + b"xxxx"),
    "DEBUG": packet(bytes([DEBUG, 0]) + struct.pack(">I", 1) + b"x" + struct.pack(">I", 0)),
    "UNIMPLEMENTED": packet(bytes([3]) + struct.pack(">I", 0)),
    "an unknown message": packet(bytes([192]) + b"xxxx"),
}


@pytest.mark.parametrize("inserted", INSERTED.values(), ids=INSERTED.keys())
@pytest.mark.parametrize("before", [KEXINIT, NEWKEYS, 30], ids=["KEXINIT", "NEWKEYS", "KEX_INIT"])
def test_terrapin_towards_the_agent(agent, ssh, inserted, before):
    """The agent must disconnect: no login succeeds."""
    started = agent()
    attacker = PacketForger(started.port, True, inserted, before)
    done = connect_through(started, ssh(started), attacker)
    assert attacker.reached and done.returncode == 255 and b"through" not in done.stdout
    assert "logged in" not in started.log()
    until(lambda: not processes.descendants(started.pid), DEADLINE_S, "the session's end")


@pytest.mark.parametrize("inserted", INSERTED.values(), ids=INSERTED.keys())
def test_an_inserted_packet_alone_disconnects(agent, ssh, inserted):
    """Strict key exchange restarts the sequence numbers, so no MAC would fail: the agent must
    check, and does so at NEWKEYS."""
    started = agent()
    attacker = PacketForger(started.port, True, inserted, NEWKEYS, drop=False)
    done = connect_through(started, ssh(started), attacker)
    assert attacker.reached and done.returncode == 255
    assert "logged in" not in started.log()


@pytest.mark.parametrize("before", [NEWKEYS, 31], ids=["NEWKEYS", "KEX_REPLY"])
def test_terrapin_towards_the_client(agent, ssh, before):
    """The agent offers strict key exchange, so that the client detects the attack."""
    started = agent()
    attacker = PacketForger(started.port, False, INSERTED["IGNORE"], before)
    done = connect_through(started, ssh(started), attacker)
    assert attacker.reached and done.returncode == 255 and b"through" not in done.stdout
    assert "logged in" not in started.log()


def test_proxy_without_an_attack(agent, ssh):
    started = agent()
    attacker = PacketForger(started.port, True, b"", NEWKEYS, drop=False)
    done = connect_through(started, ssh(started), attacker)
    assert (attacker.reached, done.returncode, done.stdout) == (True, 9, b"through\n")


def test_a_dropped_packet_alone_is_detected(agent, ssh):
    started = agent(args=["--login-grace", "2s"])
    attacker = PacketForger(started.port, True, b"", NEWKEYS, drop=True)
    assert connect_through(started, ssh(started), attacker).returncode == 255
    assert "logged in" not in started.log()


def kexinit(strict):
    exchange = b"curve25519-sha256" + (b",kex-strict-c-v00@openssh.com" if strict else b"")
    mac = b"hmac-sha2-256-etm@openssh.com"
    lists = [exchange, b"ssh-ed25519", b"aes128-ctr", b"aes128-ctr", mac, mac, b"none", b"none",
             b"", b""]  # fmt: skip
    payload = bytes([KEXINIT]) + os.urandom(16)
    for words in lists:
        payload += struct.pack(">I", len(words)) + words
    return packet(payload + b"\0" * 5)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
@pytest.mark.parametrize("first", range(1, 256, 51))
def test_every_message_during_a_key_exchange(agent, first, strict):
    started = agent(args=["--max-unauthenticated-per-address", "10"])
    for number in range(first, first + 51):
        with socket.create_connection(("127.0.0.1", started.port), DEADLINE_S) as link:
            link.settimeout(DEADLINE_S)
            message = packet(bytes([number]) + b"\0\0\0\x04abcd" * 3)
            link.sendall(BANNER + kexinit(strict) + message)
            link.shutdown(socket.SHUT_WR)
            try:
                while link.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        until(lambda: not processes.descendants(started.pid, True), DEADLINE_S, "its end")
    assert "was killed by signal" not in started.log() and "logged in" not in started.log()
    with transport(started) as link:
        assert run(link, "exit 17") == (17, b"")
