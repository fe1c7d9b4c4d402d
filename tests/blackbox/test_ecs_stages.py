# SPDX-License-Identifier: MIT
"""Whole jobs on ECS: the driver against moto, the agent or a stock sshd in the tasks."""

import json

from support.driver import BUILD_FAILURE


def test_a_job_from_config_to_cleanup(ecs_job, cloud):
    config = json.loads(ecs_job.stage("config").stdout)
    assert "builds_dir" not in config, "config.toml's stays"
    prepared = ecs_job.stage("prepare")
    assert prepared.returncode == 0, prepared.stderr
    assert b"reached by SSH at 127." in prepared.stdout
    done = ecs_job.run("echo out; echo err >&2; echo $CONTAINER_SAYS; env\n")
    assert done.returncode == 0 and done.stderr == "err\n"
    assert done.stdout.startswith(b"out\nhello\n")
    assert b"SSH_PUBLIC_KEY" not in done.stdout and b"SEED" not in done.stdout
    assert ecs_job.run("exit 42\n").returncode == BUILD_FAILURE
    assert ecs_job.exit_code() == "42\n"
    (arn,) = cloud.running()
    cleaned = ecs_job.stage("cleanup")
    assert cleaned.returncode == 0 and cleaned.stderr == ""
    assert cloud.running() == []
    (stop,) = cloud.requests("StopTask")
    assert stop["task"] == arn and ecs_job.url in stop["reason"]
    assert ecs_job.stage("cleanup").returncode == 0, "and again"
