# SPDX-License-Identifier: MIT
"""The stages of an empty job on the 'local' backend, as the runner calls them, against those of a
driver of four lines that runs each script with bash in the runner's own place: the stages alone,
and with what the runner's stand-in does between them, a twentieth of what GitLab Runner does."""

import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Row, Target

NAME = "stages"
TOP = Path(__file__).resolve().parents[3]
BEFORE_FIRST_COMMAND = ("config", "prepare", "prepare_script", "get_sources")
WHOLE = "whole"
OURS, BASH = "berth-driver", "four lines of bash"
BASH_DRIVER = """\
#!/bin/bash
case $1 in
    config) echo '{{"builds_dir": "{scratch}/builds", "cache_dir": "{scratch}/cache"}}' ;;
    run) exec bash "$2" ;;
esac
"""
sys.path.append(str(TOP / "scripts/demo"))

from local_driver import driver_command  # noqa: E402
from runner.gitlab_runner import Runner  # noqa: E402
from runner.job import Job  # noqa: E402


def bash_command(scratch):
    program = scratch / "driver"
    program.write_text(BASH_DRIVER.format(scratch=scratch))
    program.chmod(0o700)
    return [str(program)]


def one_job(context, number, contestant):
    """Milliseconds by stage, and of the whole job."""
    with tempfile.TemporaryDirectory(dir=context.scratch) as name:
        log = bytearray()
        scratch = Path(name)
        command = (
            driver_command(context.bin / "berth-driver", scratch)
            if contestant == OURS
            else bash_command(scratch)
        )
        job = Job(script=["true"], id=number)
        begun = time.perf_counter()
        result = Runner(command, job, log.extend, directory=scratch).run()
        whole = time.perf_counter() - begun
        if result.status != "success":
            raise RuntimeError(f"job failed: {result.message}\n{log.decode(errors='replace')}")
        stages = {phase.name: phase.seconds * 1e3 for phase in result.phases}
        return stages | {WHOLE: whole * 1e3}


def measure(context):
    contestants = (OURS, BASH)
    for name in contestants:
        one_job(context, 0, name)  # not counted: fills the page cache
    number = iter(range(1, 1000))
    runs = context.interleaved(
        {name: lambda n=name: one_job(context, next(number), n) for name in contestants},
        context.amount(15, 4),
    )

    def row(measure, stages, target=None):
        samples = {
            name: [sum(run[stage] for stage in stages) for run in runs[name]]
            for name in contestants
        }
        return Row(measure, "ms", samples, ours=OURS, peer=BASH, target=target)

    return [
        row("an empty job, start to first command", BEFORE_FIRST_COMMAND),
        row("an empty job, all stages", set(runs[OURS][0]) - {WHOLE}, Target(1.3)),
        row("the same with the runner's stand-in", (WHOLE,), Target(1.3)),
    ], []
