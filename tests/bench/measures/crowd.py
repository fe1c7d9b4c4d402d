# SPDX-License-Identifier: MIT
"""A thousand jobs at once on one host, of which a hundred find a warm task; see crowd_jobs.py."""

import json
import math
import subprocess

from bench.figures import Row, Target

NAME = "crowd"
DRIVER = "berth-driver"
CALLS_A_SECOND = 20
PRIVATE_KIB = 4 * 1024
LATENCY_S = 5


def rows_of(found):
    many = f"{found['jobs']} jobs at once on ECS, {found['warm']} warm"

    def row(measure, unit, samples, most=None):
        target = None if most is None else Target(most, absolute=True)
        return Row(f"{many}: {measure}", unit, {DRIVER: samples}, ours=DRIVER, target=target)

    latencies = sorted(found["latency_s"])
    slow = latencies[math.ceil(0.95 * len(latencies)) - 1]
    rows = []
    for operation in ("RunTask", "DescribeTasks"):
        calls = found[operation]
        rows.append(row(f"{operation}, busiest second", "calls", [calls["busiest_second"]],
                        CALLS_A_SECOND))  # fmt: skip
        rows.append(row(operation, "calls", [calls["all"]]))
    rows += [
        row("address known to ECS to its driver, 95th percentile", "s", [slow], LATENCY_S),
        row("private memory of a waiting driver, the most", "KiB", [max(found["private_kib"])],
            PRIVATE_KIB),
        row("claimed a warm task", "jobs", [found["claimed"]]),
        row("the slowest cold prepare", "s", [max(found["prepare_s"])]),
    ]  # fmt: skip
    if found["claim_s"]:
        rows.append(row("the slowest warm prepare", "s", [max(found["claim_s"])]))
    return rows


def measure(context):
    path = context.scratch / "crowd.json"
    program = context.top / "tests/bench/crowd_jobs.py"
    jobs, warm = context.amount((1000, 100), (60, 10))
    done = subprocess.run(
        [str(context.python), "-B", str(program), str(jobs), str(warm), "--json", str(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"crowd: {done.stderr[-2000:]}")
    return rows_of(json.loads(path.read_text())), []
