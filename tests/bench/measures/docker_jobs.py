# SPDX-License-Identifier: MIT
"""Whole jobs on a Docker Engine with a helper container. See bench/docker_jobs.py."""

import json
import subprocess

from bench.figures import Row, Target

NAME = "docker"
MOST = 1.25
WITH, WITHOUT = "helper", "no helper"


def rows_of(found):
    """Rows of the report from what docker_jobs.py has found."""
    measure = "a whole docker job with a clone and 1 s of its own"
    return [Row(measure, "s", found, ours=WITH, peer=WITHOUT, target=Target(MOST))]


def measure(context):
    program = context.top / "tests/bench/docker_jobs.py"
    command = [context.python, "-B", program, str(context.amount(10, 3)), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        print(f"not measured: {lines[-1]}")
        return [], []
    return rows_of(json.loads(done.stdout.splitlines()[-1])), []
