# SPDX-License-Identifier: MIT
"""Lines of a history, as 'cleanup' writes them, for jobs that never ran."""

import json
import random
import re
import time
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[3] / "docs/reference.md"

IMAGES = [
    "node:22",
    "ruby:3.3",
    "registry.example.com/group/tools/build-image:2026-11-01",
    "alpine",
]
REASONS = [
    ("script", "failed", "stage 'build_script' exited with code {n}"),
    ("memory", "failed", "stage 'build_script' exited with code 137, out of memory"),
    (
        "system",
        "system_failure",
        "the task ended while the script ran: SpotInterruption at 10.0.{n}.7",
    ),
    (
        "prepare",
        "system_failure",
        "ECS started no task in subnet 'subnet-0a{n}': Capacity is unavailable",
    ),
    ("canceled", "canceled", "stopped on request in stage 'build_script'"),
    ("lost", "lost", "no cleanup ended this job: its runner or its host died"),
]
STAGES = ["prepare", "get_sources", "restore_cache", "build_script", "archive_cache"]


def documented(command):
    """The members that docs/reference.md lists for 'COMMAND --json'."""
    text = REFERENCE.read_text()
    (part,) = re.findall(rf"### `{command} --json`\n(.*?)(?:\n#|\Z)", text, re.DOTALL)
    found = set(re.findall(r"(?m)^\| `(\w+)`", part))
    assert found
    return found


def line(job=1, ended_at=None, **more):
    """One line; 'more' replaces members, None removes them."""
    ended_at = int(time.time()) if ended_at is None else ended_at
    members = {
        "v": 1,
        "ended_at": ended_at,
        "key": f"job-{job}-{job:016x}",
        "job": job,
        "started_at": ended_at - 90,
        "name": "test",
        "project": "group/project",
        "ref": "main",
        "url": f"https://gitlab.example.com/group/project/-/jobs/{job}",
        "backend": "ecs",
        "image": "node:22",
        "vcpus": 1,
        "memory_gib": 2,
        "start": {
            "queued": 0.5,
            "placed": 8.5,
            "pulled": 12.25,
            "created": 0.5,
            "started": 1.0,
            "login": 0.25,
            "services": 0.75,
        },
        "start_seconds": 24.0,
        "task": f"arn:aws:ecs:eu-west-1:123456789012:task/c/{job:032x}",
        "result": "success",
        "cpu_seconds": 40.5,
        "output_bytes": 123456,
        "peak_bytes": 700 << 20,
        "limit_bytes": 2 << 30,
        "run_seconds": 60.0,
        "cost": 0.0123,
        "currency": "USD",
        "stages": [{"stage": name, "result": "success", "seconds": 5.5} for name in STAGES],
    } | more
    members["stages"] = members.pop("stages")  # always the last
    return json.dumps(
        {name: value for name, value in members.items() if value is not None},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def many(count, days=30, seed=1, now=None):
    """Lines of 'count' jobs over so many days, the oldest first."""
    dice = random.Random(seed)
    now = time.time() if now is None else now
    for at in range(count):
        ended_at = int(now - (count - at) * days * 86400 / (count + 1))
        run = dice.lognormvariate(4.5, 0.8)
        project = f"group/project-{min(int(dice.expovariate(0.35)), 40)}"
        pulled = dice.lognormvariate(2, 0.6)
        parts = [dice.lognormvariate(1.8, 0.4), pulled, dice.uniform(0.5, 3), dice.uniform(0.2, 1)]
        limit = dice.choice([2, 4, 8]) << 30
        more = {}
        if dice.random() < 0.12:
            failure, result, reason = dice.choice(REASONS)
            more = {
                "failure": failure,
                "result": result,
                "reason": reason.format(n=dice.randint(1, 99)),
            }
            if failure in ("script", "memory"):
                more["exit_code"] = dice.randint(1, 137)
        yield line(
            job=1000 + at,
            ended_at=ended_at,
            started_at=int(ended_at - run - sum(parts)),
            project=project,
            url=f"https://gitlab.example.com/{project}/-/jobs/{1000 + at}",
            ref=dice.choice(["main", "feature/a-long-name-of-a-branch", "v1.2.3"]),
            image=dice.choice(IMAGES),
            start=dict(
                zip(
                    ["placed", "pulled", "started", "login"],
                    [round(x, 3) for x in parts],
                    strict=True,
                )
            ),
            start_seconds=round(sum(parts), 3),
            run_seconds=round(run, 3),
            peak_bytes=int(limit * dice.betavariate(2, 4)),
            limit_bytes=limit,
            cost=round(run / 3600 * 0.05 * (limit >> 30), 6),
            **more,
        )
