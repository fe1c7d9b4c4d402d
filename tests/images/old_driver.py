# SPDX-License-Identifier: MIT
"""The driver as it was before Berth, for jobs in a container that is there already: prepare waits
for the SSH server, run sends the script to a shell. Called as tests/runner calls a driver.

OLD_DRIVER_SSH    JSON: argv of the SSH client, up to the address
"""

import json
import os
import subprocess
import sys
import time

WAIT_S = 30


def ssh(command, **how):
    return subprocess.run([*json.loads(os.environ["OLD_DRIVER_SSH"]), command], check=False, **how)


def prepare():
    end = time.monotonic() + WAIT_S
    while ssh("true").returncode != 0:
        if time.monotonic() > end:
            return int(os.environ["SYSTEM_FAILURE_EXIT_CODE"])
        time.sleep(0.1)
    return 0


def run(script):
    with open(script, "rb") as text:
        # Read to its end before any of it runs, since the script's commands share the input.
        shell = "$(command -v bash || command -v sh)"
        status = ssh(f'f=$(mktemp); cat >"$f"; {shell} "$f" </dev/null', stdin=text).returncode
    if status == 255:
        return int(os.environ["SYSTEM_FAILURE_EXIT_CODE"])
    if status:
        with open(os.environ["BUILD_EXIT_CODE_FILE"], "w") as file:
            file.write(f"{status}\n")
        return int(os.environ["BUILD_FAILURE_EXIT_CODE"])
    return 0


def main():
    stage = sys.argv[1]
    if stage == "config":
        print(json.dumps({"builds_dir": "/builds", "cache_dir": "/cache"}))
        return 0
    if stage == "prepare":
        return prepare()
    return run(sys.argv[2]) if stage == "run" else 0


sys.exit(main())
