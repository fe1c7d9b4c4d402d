# SPDX-License-Identifier: MIT
"""A thousand jobs at once on one runner's host, a hundred of them in warm tasks.

Called by './dev bench' (measures/crowd.py), or as a program ([JOBS [WARM]] [--json PATH]). ECS is
the light stand-in of the tests (ecs_crowd.py): a task takes 15 s to RUNNING, its address is known
after 5 s, its agent starts after 10 s. It talks TLS, and the drivers load the CAs of the system.
Drivers and agents are the real ones, with default settings.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/blackbox")]

from bench import report  # noqa: E402
from bench.measures.crowd import rows_of  # noqa: E402
from support.certificates import Authority  # noqa: E402
from support.crowd_play import Play, busiest_second  # noqa: E402
from support.driver import Driver  # noqa: E402
from support.ecs_crowd import Crowd  # noqa: E402

BIN = TOP / "build/release/bin"
# The stand-in runs before all that it serves: a busy host must not make AWS slow.
PRIORITY = 10
# Metadata in memory: the play is about calls, and other users of a disk would decide its times.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(count, warm, scratch):
    (scratch / "crowd").mkdir()
    (scratch / "ca").mkdir()
    os.nice(-PRIORITY)
    before = ("nice", "-n", str(PRIORITY))
    crowd = Crowd(scratch / "crowd", str(BIN / "berth-agent"), Authority(scratch / "ca"), before)
    crowd.provisioning_s = crowd.pending_s = crowd.running_s = 5
    try:
        driver = Driver(BIN / "berth-driver", scratch)
        play = Play(crowd, driver, scratch, count, warm, before)
        if warm:
            play.fill()
        begun = len(crowd.calls)
        prepared = play.prepare()
        failed = [one for one in prepared if one.status != 0]
        calls = crowd.calls[begun:]
        found = None if failed else figures(play, prepared, calls)
        if found:
            show(found)
        play.clean_up()
    finally:
        problems = crowd.stop()
    if problems or failed:
        log = failed[0].log[-2000:] if failed else ""
        sys.exit(f"bench: prepare of {len(failed)} jobs failed: {log}{problems[:3]}")
    return found


def figures(play, prepared, calls):
    found = {"jobs": len(prepared), "warm": play.warm}
    for operation in ("RunTask", "DescribeTasks"):
        times = [at for at, name, _ in calls if name == operation]
        found[operation] = {"all": len(times), "busiest_second": busiest_second(times)}
    cold = [one for one in prepared if not one.is_warm]
    return found | {
        "claimed": len(prepared) - len(cold),
        "latency_s": play.latencies(cold),
        "private_kib": [one.private for one in cold],
        "prepare_s": [one.seconds for one in cold],
        "claim_s": [one.seconds for one in prepared if one.is_warm],
    }


def show(found):
    print(
        f"{found['jobs']} jobs, {found['warm']} warm tasks: {found['claimed']} claimed, "
        f"{found['jobs'] - found['claimed']} started cold"
    )
    for row in rows_of(found):
        bound = f"{row.target.words()}: {report.verdict(row)}" if row.target else ""
        print(f"  {row.measure:<70} {report.shown(row.median(row.ours)):>6} {row.unit:<6} {bound}")


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("jobs", type=int, nargs="?", default=1000)
    parser.add_argument("warm", type=int, nargs="?", default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not 1 <= options.jobs <= 2000 or not 0 <= options.warm <= options.jobs:
        parser.error("wanted from 1 to 2000 jobs, and no more warm tasks")
    with tempfile.TemporaryDirectory(prefix="berth-bench-", dir=MEMORY) as name:
        found = run(options.jobs, options.warm, Path(name))
    if options.json:
        options.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
