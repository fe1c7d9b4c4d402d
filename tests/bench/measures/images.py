# SPDX-License-Identifier: MIT
"""Containers of a Docker Engine: the agent's image against today's. See bench/images.py."""

import json
import subprocess

from bench.figures import Row

NAME = "images"


def measure(context):
    rounds = context.amount(10, 3)
    command = [context.python, "-B", context.top / "tests/bench/images.py", str(rounds), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        print(f"not measured: {lines[-1]}")
        return [], []
    found = json.loads(done.stdout.splitlines()[-1])
    return [Row(measure, unit, values, peer="legacy-sshd") for measure, unit, values in found], []
