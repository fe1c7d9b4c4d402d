# SPDX-License-Identifier: MIT
"""A whole job with a clone on a Docker Engine, with a helper container against without.

samples() takes the measures; called as a program (ROUNDS [--json]) it prints them. Needs root, for
the engine, and the tests' Python packages. The same image serves as the job's and as the helper's.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/blackbox")]

from runner.gitlab_runner import Runner  # noqa: E402
from runner.job import Job  # noqa: E402
from support.docker_engine import Engine  # noqa: E402
from support.driver import write_config  # noqa: E402
from support.git_server import GitServer  # noqa: E402
from support.host_image import helper_tar  # noqa: E402

IMAGE = "bench/git:1"
WITH, WITHOUT = "helper", "no helper"
FILES, FILE_BYTES = 200, 20_000
SCRIPT_S = 1.0  # of the job's own work


def samples(rounds=10, program=TOP / "build/release/bin/berth-driver"):
    """{contestant: [seconds of each round]}; the first round fills caches and is dropped."""
    engine = Engine(TOP / "build/bench/engine")
    engine.acquire()
    try:
        engine.import_image(IMAGE, helper_tar(), ["ENV PATH=/usr/bin:/bin"])
        with tempfile.TemporaryDirectory(prefix="berth-bench-") as scratch:
            return _rounds(engine, Path(scratch), rounds, program)
    finally:
        engine.release()


def _rounds(engine, scratch, rounds, program):
    taken = {WITH: [], WITHOUT: []}
    (scratch / "repositories").mkdir()
    with GitServer(scratch / "repositories", engine.address.partition("/")[0]) as server:
        content = {f"{i % 20}/{i}": f"{i}" * FILE_BYTES for i in range(FILES)}
        sha = server.repository("group/project", content)
        for number in range(rounds + 1):
            for name in sorted(taken, reverse=number % 2 == 1):
                seconds = _one(engine, scratch, server, sha, name, program)
                if number > 0:
                    taken[name].append(seconds)
    return taken


def _one(engine, scratch, server, sha, name, program):
    settings = {
        "Backend": "docker",
        "TaskMetadata": {"Directory": str(scratch / "metadata")},
        "Docker": {"Host": engine.url, "Image": IMAGE},
        "Helper": {"Use": "always" if name == WITH else "never", "Image": IMAGE},
    }
    config = write_config(scratch / "fargate.toml", settings)
    job = Job(
        script=["test -f 1/1", f"sleep {SCRIPT_S}"],
        repository_url=server.url("group/project"),
        sha=sha,
    )
    log = []
    began = time.monotonic()
    result = Runner([program, "--config", config, "custom"], job, log.append).run()
    seconds = time.monotonic() - began
    if result.status != "success":
        raise RuntimeError(b"".join(log).decode())
    return seconds


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    taken = samples(rounds)
    if "--json" in sys.argv:
        print(json.dumps(taken))
        return 0
    for name, seconds in taken.items():
        print(f"{name:<10} {statistics.median(seconds):6.2f} s   of {sorted(seconds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
