# SPDX-License-Identifier: MIT
"""What the driver offers a server before it logs in (RFC 4253, section 7.1)."""

import queue
import struct

from support.attackers import take
from support.rude_server import Flood, Place

SSH_MSG_KEXINIT = 20


def read_name_lists(connection):
    """Of the client's first packet, which must be its KEXINIT."""
    while take(connection, 1) != b"\n":
        pass
    length = struct.unpack(">I", take(connection, 4))[0]
    packet = take(connection, length)
    assert packet[1] == SSH_MSG_KEXINIT
    rest, lists = packet[2 + 16 :], []
    for _ in range(10):
        size = struct.unpack(">I", rest[:4])[0]
        lists.append(rest[4 : 4 + size].decode().split(","))
        rest = rest[4 + size :]
    return lists


def test_the_order_of_key_exchanges(job):
    """The hybrid with ML-KEM first; sntrup761, which costs tens of milliseconds a login, last."""
    job.driver.settings["SSH"] = {"ConnectTimeout": "2s"}
    offers = queue.Queue()

    def answer(connection, _):
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        offers.put(read_name_lists(connection))

    with Flood(answer) as server:
        Place(job, server.port)
        process = job.driver.start("custom", "prepare", env=job.env)
        exchanges, host_keys, *_ = offers.get(timeout=100)
        process.wait(100)
    assert [name for name in exchanges if "@" not in name and "ext-info" not in name] == [
        "mlkem768x25519-sha256",
        "curve25519-sha256",
        "sntrup761x25519-sha512",
    ]
    assert exchanges.index("curve25519-sha256@libssh.org") < exchanges.index(
        "sntrup761x25519-sha512"
    )
    assert host_keys == ["ssh-ed25519"]
