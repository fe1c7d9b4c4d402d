# SPDX-License-Identifier: MIT
"""'prepare' and a whole empty job in a warm task against a cold start; see warm_jobs.py."""

from bench.figures import Row, Target

NAME = "warm"
WARM, COLD = "a warm task", "a cold start"


def rows_of(found):
    def pair(measure, name, most):
        samples = {WARM: found[name]["warm"], COLD: found[name]["cold"]}
        return Row(measure, "ms", samples, ours=WARM, peer=COLD, target=Target(most))

    return [
        pair("docker: prepare", "prepare_ms", 0.15),
        pair("docker: a whole empty job", "job_ms", 0.5),
        Row("docker: CPU of claim and replacement", "ms", {WARM: found["cpu_ms"]["warm"]},
            ours=WARM, target=Target(20, absolute=True)),
        Row("ECS, 15 s to RUNNING: prepare", "ms", {WARM: found["ecs_ms"]}, ours=WARM,
            target=Target(300, absolute=True)),
    ]  # fmt: skip


def measure(context):
    return rows_of(context.run_program("warm_jobs", context.amount(10, 3))), []
