# SPDX-License-Identifier: MIT
"""Orphans that process 1 of a PID namespace has to reap, without any SSH server."""

import subprocess

from bench.figures import Row, Target

NAME = "reaping"


def measure(context):
    count = context.amount(10000, 2000)
    agent = [str(context.bin / "berth-agent"), "--init-only", "--log-level", "error", "--"]
    inits = {"berth-agent": agent, "tini": ["tini", "--"], "dumb-init": ["dumb-init"]}
    cpu = {name: [] for name in inits}

    def take(name):
        command = ["unshare", "-pf", "--mount-proc", *inits[name]]
        command += [str(context.tools / "orphans"), str(count)]
        shown = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
        wall_ns, cpu_ns = (int(word) for word in shown.split())
        cpu[name].append(cpu_ns / 1e6)
        return wall_ns / 1e6

    wall = context.interleaved({name: lambda name=name: take(name) for name in inits})
    most = Target(1.0)
    return [
        Row(f"{count} orphans made and reaped", "ms", wall, peer="tini", target=most),
        Row("the same, CPU of process 1", "ms", cpu, peer="tini", target=most),
    ], []
