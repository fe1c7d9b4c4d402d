# SPDX-License-Identifier: MIT
"""'prepare' and a whole empty job in a warm task against a cold start; see warm_jobs.py. The engine
starts the replacement while the job runs, so the job is measured without one, too."""

from bench.figures import Row, Target

NAME = "warm"
WARM, COLD = "a warm task", "a cold start"
FULL = "a warm task, not replaced"


def rows_of(found):
    def pair(measure, name, most, ours=WARM):
        kind = "warm" if ours == WARM else "full"
        samples = {ours: found[name][kind], COLD: found[name]["cold"]}
        target = None if most is None else Target(most)
        return Row(measure, "ms", samples, ours=ours, peer=COLD, target=target)

    return [
        pair("docker: prepare", "prepare_ms", 0.15),
        pair("docker: a whole empty job", "job_ms", 0.5),
        pair("docker: the same without a replacement", "job_ms", None, FULL),
        Row("docker: CPU of claim and replacement", "ms", {WARM: found["cpu_ms"]["warm"]},
            ours=WARM, target=Target(20, absolute=True)),
        Row("ECS, 15 s to RUNNING: prepare", "ms", {WARM: found["ecs_ms"]}, ours=WARM,
            target=Target(300, absolute=True)),
    ]  # fmt: skip


def measure(context):
    return rows_of(context.run_program("warm_jobs", context.amount(10, 3))), []
