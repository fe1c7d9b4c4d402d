# SPDX-License-Identifier: MIT
"""A driver for the tests of the stand-in: records its calls and does what the test requests.

FAKE_RECORD  directory for one JSON file per call
FAKE_PLAN    JSON: {"STAGE": {"exit": N, "code": TEXT for BUILD_EXIT_CODE_FILE, "stdout": TEXT,
             "times": how many calls of that stage fail (all), "ignore_term": BOOL, "sleep": S}}
Scripts of the run stage are executed by bash, unless the plan gives that stage an exit status.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def record(stage):
    directory = Path(os.environ["FAKE_RECORD"])
    number = len(list(directory.iterdir()))
    response = Path(os.environ["JOB_RESPONSE_FILE"])
    (directory / f"{number:03d}").write_text(
        json.dumps(
            {
                "stage": stage,
                "env": dict(os.environ),
                "own_group": os.getpgid(0) == os.getpid(),
                "response": json.loads(response.read_text()),
                "response_mode": response.stat().st_mode & 0o777,
                "tmpdir_exists": Path(os.environ["TMPDIR"]).is_dir(),
                "script": Path(sys.argv[2]).read_text() if len(sys.argv) > 3 else None,
            }
        )
    )


def calls_of(stage):
    texts = (path.read_text() for path in Path(os.environ["FAKE_RECORD"]).iterdir())
    return sum(json.loads(text)["stage"] == stage for text in texts)


def main():
    stage = sys.argv[3] if sys.argv[1] == "run" else sys.argv[1]
    plan = json.loads(os.environ.get("FAKE_PLAN", "{}")).get(stage, {})
    if plan.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    record(stage)
    if "code" in plan:
        Path(os.environ["BUILD_EXIT_CODE_FILE"]).write_text(plan["code"])
    if "stdout" in plan:
        print(plan["stdout"], flush=True)
    if "sleep" in plan:
        time.sleep(plan["sleep"])
    if "exit" in plan and calls_of(stage) <= plan.get("times", 1000):
        if plan["exit"] < 0:
            os.kill(os.getpid(), -plan["exit"])
        return plan["exit"]
    if sys.argv[1] != "run":
        return 0
    status = subprocess.run(["bash", sys.argv[2]], check=False).returncode
    if status:
        Path(os.environ["BUILD_EXIT_CODE_FILE"]).write_text(f"{status}\n")
        return int(os.environ["BUILD_FAILURE_EXIT_CODE"])
    return 0


sys.exit(main())
