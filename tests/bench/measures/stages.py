# SPDX-License-Identifier: MIT
"""The stages of an empty job on the 'local' backend, as the runner calls them."""

import sys
import tempfile
from pathlib import Path

from bench.figures import Row

NAME = "stages"
TOP = Path(__file__).resolve().parents[3]
BEFORE_FIRST_COMMAND = ("config", "prepare", "prepare_script", "get_sources")
sys.path.append(str(TOP / "scripts/demo"))

from local_driver import driver_command  # noqa: E402
from runner.gitlab_runner import Runner  # noqa: E402
from runner.job import Job  # noqa: E402


def one_job(context, number):
    """Milliseconds by stage."""
    with tempfile.TemporaryDirectory(dir=context.scratch) as name:
        log = bytearray()
        command = driver_command(context.bin / "berth-driver", Path(name))
        job = Job(script=["true"], id=number)
        result = Runner(command, job, log.extend, directory=Path(name)).run()
        if result.status != "success":
            raise RuntimeError(f"job failed: {result.message}\n{log.decode(errors='replace')}")
        return {phase.name: phase.seconds * 1e3 for phase in result.phases}


def measure(context):
    one_job(context, 0)  # not counted: fills the page cache
    runs = [one_job(context, number) for number in range(1, context.amount(11, 4))]
    sums = {
        "an empty job, start to first command": BEFORE_FIRST_COMMAND,
        "an empty job, all stages": tuple(runs[0]),
    }
    ours = "berth-driver"
    return [
        Row(name, "ms", {ours: [sum(run[stage] for stage in stages) for run in runs]}, ours=ours)
        for name, stages in sums.items()
    ], []
