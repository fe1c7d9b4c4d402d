# SPDX-License-Identifier: MIT
"""GitLab's Fargate driver as tests/runner calls a driver: ECS by boto3, scripts by x/crypto/ssh.

It polls until the task is RUNNING, takes the private address, accepts any host key, sends a script
as the command of an exec request, calls every failure of a script the system's, and stops the task
without a reason. (The settings come as JSON in OLD_DRIVER.)
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SETTINGS = json.loads(os.environ["OLD_DRIVER"])
STATE = Path(SETTINGS["state"])
NETWORK = "awsvpcConfiguration"
WAIT_S = 60


def ecs():
    import boto3  # 'run' needs none of it

    return boto3.client("ecs", endpoint_url=SETTINGS["url"], region_name=SETTINGS["region"])


def prepare():
    environment = [{"name": "SSH_PUBLIC_KEY", "value": Path(SETTINGS["key"] + ".pub").read_text()}]
    client = ecs()
    answer = client.run_task(
        cluster=SETTINGS["cluster"],
        taskDefinition=SETTINGS["family"],
        launchType="FARGATE",
        platformVersion="LATEST",
        startedBy=f"old/job-{os.environ['CUSTOM_ENV_CI_JOB_ID']}",
        networkConfiguration={NETWORK: {**SETTINGS["network"], "assignPublicIp": "DISABLED"}},
        overrides={
            "containerOverrides": [{"name": SETTINGS["container"], "environment": environment}]
        },
    )
    arn = answer["tasks"][0]["taskArn"]
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        (task,) = client.describe_tasks(cluster=SETTINGS["cluster"], tasks=[arn])["tasks"]
        if task["lastStatus"] == "RUNNING":
            details = [row for one in task["attachments"] for row in one["details"]]
            (address,) = [row["value"] for row in details if row["name"] == "privateIPv4Address"]
            STATE.write_text(json.dumps({"arn": arn, "address": address}))
            return 0
        time.sleep(0.1)
    return int(os.environ["SYSTEM_FAILURE_EXIT_CODE"])


def run(script):
    address = f"{json.loads(STATE.read_text())['address']}:{SETTINGS['port']}"
    text = Path(script).read_text()
    words = [address, SETTINGS["user"], SETTINGS["key"], "", "", "", text]
    done = subprocess.run([*SETTINGS["client"], *words], check=False)
    return int(os.environ["SYSTEM_FAILURE_EXIT_CODE"]) if done.returncode else 0


def cleanup():
    ecs().stop_task(cluster=SETTINGS["cluster"], task=json.loads(STATE.read_text())["arn"])
    STATE.unlink()
    return 0


def main():
    stage = sys.argv[1]
    if stage == "config":
        print("{}")
        return 0
    return run(sys.argv[2]) if stage == "run" else {"prepare": prepare, "cleanup": cleanup}[stage]()


sys.exit(main())
