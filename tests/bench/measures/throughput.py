# SPDX-License-Identifier: MIT
"""Bytes a second from a job's stdout to OpenSSH's client, cipher by cipher and chunk by chunk.

The client writes to a pipe of the usual 64 KiB, as in 'ssh ... | cat'.
"""

import hashlib

from bench import clients
from bench.figures import Growth, Row, Target

NAME = "throughput"
CIPHERS = {
    "aes128-gcm": "aes128-gcm@openssh.com",
    "aes256-gcm": "aes256-gcm@openssh.com",
    "chacha20-poly1305": "chacha20-poly1305@openssh.com",
}
MIB = 1 << 20
CHUNKS = (512, 4096, 16384, 65536, 262144, 1048576)


def check_hashes(context, servers):
    """The same connections, compared by hash: 32 MiB of noise down each cipher."""
    path = context.random_file("noise", 32 * MIB)
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    for server in servers:
        for label, cipher in CIPHERS.items():
            if server.name == "dropbear" and "gcm" in label:
                continue
            command = clients.ssh_command(context.fleet, server, f"cat {path}", cipher)
            if clients.hash_output(command) != wanted:
                raise RuntimeError(f"{server.name}, {label}: what arrived is not what was sent")


def one_transfer(context, server, command, length, cipher, costs):
    def take():
        before = server.cpu_s()
        words = clients.ssh_command(context.fleet, server, command, cipher)
        seconds = clients.count_output(words, length)
        if costs is not None:
            costs.setdefault(server.name, []).append((server.cpu_s() - before) * 1e3)
        return length / seconds / MIB

    return take


def of_cipher(context, servers, label):
    length = context.amount(1024, 256) * MIB
    command = f"head -c {length} /dev/zero"
    costs = {}
    samples = context.interleaved(
        {
            server.name: one_transfer(context, server, command, length, CIPHERS[label], costs)
            for server in servers
            if server.name != "dropbear" or "gcm" not in label
        }
    )
    target = Target(1.15, at_least=True)
    return [
        Row(f"stdout, {label}", "MiB/s", samples, peer="sshd", target=target),
        Row(f"the same, server's CPU for {length // MIB} MiB", "ms", costs, peer="sshd"),
    ]


def by_chunk(context, servers):
    length = context.amount(256, 64) * MIB
    lines = {server.name: [] for server in servers}
    for chunk in CHUNKS:
        command = f"dd if=/dev/zero bs={chunk} count={length // chunk} status=none"
        cipher = CIPHERS["aes128-gcm"]
        samples = context.interleaved(
            {
                server.name: one_transfer(context, server, command, length, cipher, None)
                for server in servers
            },
            context.amount(3, 1),
        )
        for name, values in samples.items():
            lines[name].append((chunk, sorted(values)[len(values) // 2]))
    return Growth(
        "throughput-by-chunk", "stdout, aes128-gcm, by the job's write size",
        "bytes a write", "MiB/s", lines, log_x=True,
    )  # fmt: skip


def measure(context):
    servers = [context.fleet.agent(), context.fleet.sshd(), context.fleet.dropbear()]
    for server in servers:
        server.wait_ready()
    check_hashes(context, servers)
    rows = []
    for label in CIPHERS:
        rows += of_cipher(context, servers, label)
    growth = by_chunk(context, servers[:2])
    for server in servers:
        context.fleet.stop(server)
    return rows, [growth]
