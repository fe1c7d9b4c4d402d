# SPDX-License-Identifier: MIT
"""OpenSSH's client, and counting what comes out of it."""

import hashlib
import os
import subprocess
import time

PIECE = 1 << 20


def ssh_command(fleet, server, command, cipher=None, kex="curve25519-sha256"):
    words = ["ssh", "-F", "none", "-i", str(fleet.key), "-p", str(server.port), "-q"]
    words += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    words += ["-o", "IdentitiesOnly=yes", "-o", f"KexAlgorithms={kex}", "-o", "BatchMode=yes"]
    words += ["-c", cipher] if cipher else []
    return [*words, "root@127.0.0.1", command]


def count_output(command, expected, env=None):
    """Seconds until 'expected' bytes and a status of 0 arrived; RuntimeError for anything else."""
    buffer = bytearray(PIECE)
    total = 0
    started = time.perf_counter()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env)
    with child.stdout as pipe:
        while got := os.readv(pipe.fileno(), [buffer]):
            total += got
    status = child.wait()
    seconds = time.perf_counter() - started
    if total != expected or status != 0:
        raise RuntimeError(f"{command[0]}: {total} of {expected} bytes, status {status}")
    return seconds


def hash_output(command, stdin=None, env=None):
    child = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, check=True, env=env)
    return hashlib.sha256(child.stdout).hexdigest()


def run_quietly(command, stdin=subprocess.DEVNULL, env=None):
    """Seconds of wall time; CalledProcessError when it fails."""
    started = time.perf_counter()
    subprocess.run(command, stdin=stdin, stdout=subprocess.DEVNULL, check=True, env=env)
    return time.perf_counter() - started


def timed(tools, command, scratch, env=None):
    """(wall seconds, CPU seconds, largest resident KiB) of a command with status 0."""
    report = scratch / "timed"
    subprocess.run(
        [str(tools / "timed"), str(report), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, env=env,
    )  # fmt: skip
    wall_ns, user_us, system_us, resident_kib, _ = (int(x) for x in report.read_text().split())
    return wall_ns / 1e9, (user_us + system_us) / 1e6, resident_kib
