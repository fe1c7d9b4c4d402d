# SPDX-License-Identifier: MIT
"""Times of the stages of an empty job on the 'local' backend. Called by './dev bench REPEATS'."""

import statistics
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "cmake/dev/demo")]

from local_driver import driver_command  # noqa: E402
from runner.gitlab_runner import Runner  # noqa: E402
from runner.job import Job  # noqa: E402

BEFORE_FIRST_COMMAND = ("config", "prepare", "prepare_script", "get_sources")


def one_job(number):
    """Seconds by stage."""
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as name:
        log = bytearray()
        scratch = Path(name)
        command = driver_command(TOP / "build/release/bin/berth-driver", scratch)
        runner = Runner(command, Job(script=["true"], id=number), log.extend, directory=scratch)
        result = runner.run()
        if result.status != "success":
            sys.exit(f"bench: job failed: {result.message}\n{log.decode(errors='replace')}")
        return {phase.name: phase.seconds for phase in result.phases}


def main():
    try:
        repeats = int(sys.argv[1])
        if not 1 <= repeats <= 10000:
            raise ValueError
    except ValueError:
        print(f"bench: '{sys.argv[1]}' is no number from 1 to 10000", file=sys.stderr)
        return 2
    one_job(0)  # not counted: fills the page cache
    runs = [one_job(number) for number in range(1, repeats + 1)]
    rows = {name: [run[name] for run in runs] for name in runs[0]}
    rows["start to first command"] = [
        sum(run[name] for name in BEFORE_FIRST_COMMAND) for run in runs
    ]
    rows["all stages"] = [sum(run.values()) for run in runs]
    print(f"{repeats} jobs, milliseconds{'':<8}  median  quickest  slowest")
    for name, seconds in rows.items():
        middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
        print(f"  {name:<26}  {middle * 1e3:6.1f}  {low * 1e3:8.1f}  {high * 1e3:7.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
