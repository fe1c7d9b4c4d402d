# SPDX-License-Identifier: MIT
"""Many jobs at once on ECS as moto plays it, and stages that need no call of AWS.

The play needs the packages of the tests, so it runs in their Python.
"""

from bench.figures import Row, Target

NAME = "ecs"
DRIVER = "berth-driver"
MEMORY_KIB = 8 * 1024
PRIVATE_KIB = 4 * 1024
# Tasks a second that Fargate launches for long (Amazon ECS Developer Guide, request throttling).
FARGATE_RATE = 20


def rows_of(found):
    """Rows of the report from what ecs_jobs.py has found."""
    count = found["jobs"]

    def row(measure, unit, samples, most=None):
        target = None if most is None else Target(most, absolute=True)
        return Row(measure, unit, {DRIVER: samples}, ours=DRIVER, target=target)

    many = f"{count} jobs at once on ECS"
    rows = [
        row("ECS: config, whole stage", "ms", found["config_ms"], 5),
        row("ECS: run, start to connection", "ms", found["connect_ms"], 5),
        row("ECS: config, largest resident set", "KiB", [max(found["config_kib"])], MEMORY_KIB),
        row("ECS: run, largest resident set", "KiB", [max(found["run_kib"])], MEMORY_KIB),
        row("ECS: run of an empty script", "ms", found["run_ms"]),
        row(f"{many}: CPU of a prepare", "ms", found["prepare_cpu_ms"], 50),
        row("the same, the most", "ms", [max(found["prepare_cpu_ms"])], 50),
        row(f"{many}: memory of a waiting driver, the most", "KiB", [max(found["prepare_kib"])],
            MEMORY_KIB),
        row(f"{many}: the slowest prepare", "s", [max(found["prepare_s"])]),
    ]  # fmt: skip
    for operation, calls in found["calls"].items():
        once = operation in ("RunTask", "StopTask")
        rows.append(row(f"{many}: {operation}", "calls", [calls["all"]], count if once else None))
        rows.append(
            row(f"{many}: {operation}, busiest second", "calls", [calls["busiest_second"]],
                FARGATE_RATE if operation != "StopTask" else None)
        )  # fmt: skip
    return rows + (_own_rows(found["own"], count) if "own" in found else [])


def _own_rows(own, count):
    """Of jobs with images of their own, for which definitions are registered."""
    many = f"{count} jobs at once on ECS with {own['images']} images"

    def row(measure, unit, samples, most=None):
        target = None if most is None else Target(most, absolute=True)
        return Row(f"{many}: {measure}", unit, {DRIVER: samples}, ours=DRIVER, target=target)

    return [
        row("task definitions registered", "calls", [own["registrations"]], own["images"]),
        row("calls that were throttled", "calls", [own["throttled"]], 0),
        row("RunTask", "calls", [own["calls"]["RunTask"]["all"]], count),
        row("CPU of a prepare", "ms", own["prepare_cpu_ms"]),
        row("private memory of a waiting driver, the most", "KiB", [max(own["private_kib"])],
            PRIVATE_KIB),
        row("the slowest prepare", "s", [max(own["prepare_s"])]),
    ]  # fmt: skip


def measure(context):
    return rows_of(context.run_program("ecs_jobs", context.amount(200, 20))), []
