# SPDX-License-Identifier: MIT
"""A large standard input, from OpenSSH's client to a job."""

import hashlib
import subprocess

from bench import clients
from bench.figures import Row, Target

NAME = "upload"
MIB = 1 << 20


def measure(context):
    length = context.amount(200, 50) * MIB
    path = context.random_file("upload", length)
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    servers = [context.fleet.agent().wait_ready(), context.fleet.sshd().wait_ready()]
    cipher = "aes128-gcm@openssh.com"

    def take(server):
        command = clients.ssh_command(context.fleet, server, "cat >/dev/null", cipher)
        with open(path, "rb") as stream:
            return length / clients.run_quietly(command, stream) / MIB

    for server in servers:
        command = clients.ssh_command(context.fleet, server, "sha256sum", cipher)
        with open(path, "rb") as stream:
            shown = subprocess.run(command, stdin=stream, capture_output=True, check=True).stdout
        if shown.split()[0].decode() != wanted:
            raise RuntimeError(f"{server.name}: the job read something else than was sent")
    samples = context.interleaved({server.name: lambda s=server: take(s) for server in servers})
    for server in servers:
        context.fleet.stop(server)
    name = f"upload of {length // MIB} MiB"
    return [Row(name, "MiB/s", samples, peer="sshd", target=Target(1.0, at_least=True))], []
