# SPDX-License-Identifier: MIT
"""Whole jobs on ECS: the driver against moto, the agent or a stock sshd in the tasks."""

import base64
import json

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE, prepare
from support.ecs import CONTAINER, FAMILY


def test_a_job_from_config_to_cleanup(ecs_job, cloud):
    config = json.loads(ecs_job.stage("config").stdout)
    assert "builds_dir" not in config, "config.toml's stays"
    assert b"reached by SSH at 127." in prepare(ecs_job).stdout
    done = ecs_job.run("echo out; echo err >&2; echo $CONTAINER_SAYS; env\n")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(b"out\nerr\nhello\n")
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


def test_the_request_of_a_plain_configuration(ecs_job, cloud):
    prepare(ecs_job)
    (request,) = cloud.requests("RunTask")
    state = ecs_job.metadata()["state"]
    assert request["startedBy"].startswith("berth/")
    assert request["startedBy"].split("/")[2].startswith("job-4711-")
    assert request["clientToken"] == state["client_token"]
    assert (request["cluster"], request["taskDefinition"]) == (cloud.cluster, FAMILY)
    assert "launchType" not in request and "capacityProviderStrategy" not in request
    assert "platformVersion" not in request and request["count"] == 1
    assert state["form"] == "default"
    assert request["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": [cloud.subnets[0]],
        "securityGroups": [cloud.group],
        "assignPublicIp": "DISABLED",
    }
    assert "tags" not in request and "propagateTags" not in request
    assert request["enableExecuteCommand"] is False
    ((container,),) = (request["overrides"].pop("containerOverrides"),)
    assert request["overrides"] == {} and container["name"] == CONTAINER
    names = [row["name"] for row in container["environment"]]
    assert names == ["SSH_PUBLIC_KEY", "BERTH_HOST_KEY_SEED", "BERTH_GRACE"]
    assert container["environment"][2]["value"] == "1000ms", "as CancelGrace here"


@pytest.mark.parametrize("timeout, variable", [("20m", "1260000ms"), ("0s", "60000ms")])
def test_a_lost_link_has_as_long_as_the_driver_tries(ecs_job, cloud, timeout, variable):
    """The agent parses it at startup and would refuse an invalid value."""
    ecs_job.driver.settings["SSH"]["ReattachTimeout"] = timeout
    prepare(ecs_job)
    assert cloud.task().environment["BERTH_DETACH_TIMEOUT"] == variable
    assert ecs_job.run("env\n").stdout.count(b"BERTH_") == 0


def test_the_private_key_stays_here(ecs_job, cloud):
    prepare(ecs_job)
    seed = ecs_job.metadata()["user_key_seed"]
    assert len(base64.b64decode(seed)) == 32
    assert seed not in json.dumps(cloud.calls)


def test_everything_that_can_be_asked_for(ecs_job, cloud):
    ecs_job.fargate |= {
        "SecurityGroups": [cloud.group],
        "PlatformVersion": "1.4.0",
        "PropagateTags": True,
        "EnableExecuteCommand": True,
        "EnableManagedTags": True,
        "Tags": ["team=ci", "job=$CI_JOB_ID", "path=${CI_PROJECT_PATH}", "odd=a$b#${NONE}z"],
        "Cpu": 2048,
        "EphemeralStorage": 30,
        "TaskRole": "arn:aws:iam::1:role/plain",
        "MaxCpu": 4096,
        "MaxMemory": 8192,
        "MaxEphemeralStorage": 100,
        "AllowedTaskRoles": ["arn:aws:iam::1:role/ci-*"],
        "AllowedExecutionRoles": ["arn:aws:iam::1:role/**"],
        "CapacityProviders": ["FARGATE_SPOT:3", "FARGATE:1:1"],
    }
    ecs_job.env |= {
        "CUSTOM_ENV_FARGATE_CPU": "4096",
        "CUSTOM_ENV_FARGATE_MEMORY": "8G",
        "CUSTOM_ENV_FARGATE_TASK_ROLE": "arn:aws:iam::1:role/ci-deploy",
        "CUSTOM_ENV_FARGATE_EXECUTION_ROLE": "arn:aws:iam::1:role/ci/pull-private",
        "CUSTOM_ENV_FARGATE_EPHEMERAL_STORAGE": "100",
        "CUSTOM_ENV_CI_PROJECT_PATH": "group/with späce;x",
    }
    prepare(ecs_job)
    (request,) = cloud.requests("RunTask")
    overrides = request["overrides"]
    overrides.pop("containerOverrides")
    assert overrides == {
        "cpu": "4096",
        "memory": "8192",
        "ephemeralStorage": {"sizeInGiB": 100},
        "taskRoleArn": "arn:aws:iam::1:role/ci-deploy",
        "executionRoleArn": "arn:aws:iam::1:role/ci/pull-private",
    }
    assert {row["key"]: row["value"] for row in request["tags"]} == {
        "team": "ci",
        "job": "4711",
        "path": "group/with sp__ce_x",
        "odd": "a_z",
    }
    assert request["capacityProviderStrategy"] == [
        {"capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 0},
        {"capacityProvider": "FARGATE", "weight": 1, "base": 1},
    ]
    assert "launchType" not in request
    assert request["propagateTags"] == "TASK_DEFINITION"
    assert request["enableExecuteCommand"] and request["enableECSManagedTags"]
    assert request["platformVersion"] == "1.4.0"


@pytest.mark.parametrize(
    "settings, variable, message",
    [
        ({}, ("FARGATE_CPU", "512"), "is not allowed on this runner"),
        ({"MaxCpu": 1024}, ("FARGATE_CPU", "2048"), "above this runner's [Fargate] MaxCpu = 1024"),
        ({"MaxMemory": 2048}, ("FARGATE_MEMORY", "lots"), "not a number from 512 to 2048"),
        ({"MaxMemory": 2048}, ("FARGATE_MEMORY", "3G"), "above this runner's"),
        ({"MaxEphemeralStorage": 50}, ("FARGATE_EPHEMERAL_STORAGE", "20"), "from 21 to 50"),
        ({}, ("FARGATE_TASK_ROLE", "arn:x"), "[Fargate] AllowedTaskRoles does not allow"),
        ({}, ("FARGATE_EXECUTION_ROLE", "arn:x"), "AllowedExecutionRoles does not allow"),
        ({"AllowedTaskDefinitions": ["ruby*"]}, ("FARGATE_TASK_DEFINITION", "miner"), "not allow"),
        ({"AllowedTaskDefinitions": []}, ("FARGATE_TASK_DEFINITION", "miner"), "not allow"),
        ({"AllowedPlatformVersions": ["1.4.*"]}, ("FARGATE_PLATFORM_VERSION", "1.3"), "not allow"),
        (
            {"AllowedTaskRoles": ["arn:aws:iam::1:role/*"]},
            ("FARGATE_TASK_ROLE", "arn:aws:iam::1:role/admins/all"),
            "AllowedTaskRoles does not allow",
        ),
        (
            {"AllowedExecutionRoles": ["arn:aws:iam::1:role/*"]},
            ("FARGATE_EXECUTION_ROLE", "arn:aws:iam::1:role/admins/all"),
            "AllowedExecutionRoles does not allow",
        ),
        (
            {"AllowedTaskDefinitions": ["arn:*"]},
            ("FARGATE_TASK_DEFINITION", "arn:aws:ecs:r:1:task-definition/miner"),
            "AllowedTaskDefinitions does not allow",
        ),
        ({"Tags": ["aws:x=y"]}, ("X", "y"), "Fargate.Tags: 'aws:x=y' is not KEY=VALUE"),
        (
            {"CapacityProviders": ["FARGATE:many"]},
            ("X", "y"),
            "Fargate.CapacityProviders: 'FARGATE:many' is not NAME, NAME:WEIGHT",
        ),
        ({"Spot": True, "CapacityProviders": ["FARGATE"]}, ("X", "y"), "exclude each other"),
        ({"TaskRole": "x" * 8192}, ("X", "y"), "ECS's limit of 8192"),
    ],
)
def test_what_a_job_may_not_have(ecs_job, cloud, settings, variable, message):
    ecs_job.fargate |= settings
    ecs_job.env[f"CUSTOM_ENV_{variable[0]}"] = variable[1]
    done = prepare(ecs_job, BUILD_FAILURE)
    assert message in done.stderr, "and the runner does not try again"
    assert cloud.count("RunTask") == 0
    ecs_job.env.pop(f"CUSTOM_ENV_{variable[0]}")


def test_job_variables_choose_within_the_lists(ecs_job, cloud):
    ecs_job.fargate |= {"TaskDefinition": "other", "AllowedTaskDefinitions": ["ruby330-*"]}
    ecs_job.env["CUSTOM_ENV_FARGATE_TASK_DEFINITION"] = FAMILY
    ecs_job.env["CUSTOM_ENV_FARGATE_PLATFORM_VERSION"] = "1.4.0"
    prepare(ecs_job)
    (request,) = cloud.requests("RunTask")
    assert (request["taskDefinition"], request["platformVersion"]) == (FAMILY, "1.4.0")


def test_the_container_may_have_another_name(ecs_job, cloud):
    ecs_job.fargate["ContainerName"] = "builder"
    prepare(ecs_job)
    (request,) = cloud.requests("RunTask")
    assert request["overrides"]["containerOverrides"][0]["name"] == "builder"


def test_progress_by_state(ecs_job, cloud):
    cloud.provisioning_s = 0.2
    cloud.pending_s = 1.2
    lines = prepare(ecs_job).stdout.decode().splitlines()
    name = cloud.task().id
    assert lines[1].startswith(f"berth: task {name} is PROVISIONING after 0.")
    assert any(f"task {name} is PENDING after " in line for line in lines)
    assert any("task has the address 127." in line for line in lines)


def test_ssh_is_tried_before_ecs_says_running(ecs_job, cloud):
    cloud.running_s = 60
    lines = prepare(ecs_job).stdout.decode()
    assert "RUNNING" not in lines and "reached by SSH" in lines
    assert ecs_job.run("echo works\n").stdout == b"works\n"


def test_a_shell_in_a_running_job(ecs_job, cloud, until):
    prepare(ecs_job)
    process = ecs_job.start(f"echo up\nuntil [ -e {ecs_job.directory}/go ]; do sleep 0.05; done\n")
    assert process.stdout.readline() == b"up\n"
    for name in ("4711", cloud.task().id):
        done = ecs_job.driver.run(
            "ssh", name, "--", "echo $CONTAINER_SAYS; exit 3", env=ecs_job.env
        )
        assert (done.returncode, done.stdout) == (3, b"hello\n"), done.stderr
    (ecs_job.directory / "go").write_text("")
    assert process.wait(60) == 0, "the job did not notice"
    process.stdout.close()


# --- host keys


def test_our_agents_key_is_known_and_not_pinned(ecs_job, cloud):
    ecs_job.driver.settings["SSH"]["HostKey"] = "strict"
    done = prepare(ecs_job)
    assert "host key" not in done.stderr and "host_key" not in ecs_job.metadata()


def test_the_old_images_key_is_pinned_with_a_warning(ecs_job, cloud):
    cloud.image = "sshd"
    done = prepare(ecs_job)
    assert "pinned the key it presented on first connection" in done.stderr
    pinned = ecs_job.metadata()["host_key"]
    public = (cloud.directory / f"task-{cloud.task().id}/host_key.pub").read_text()
    assert pinned == " ".join(public.split()[:2])
    assert ecs_job.run("echo $HOME; exit 5\n").returncode == BUILD_FAILURE
    assert ecs_job.exit_code() == "5\n"


def test_another_key_than_the_pinned_is_refused(ecs_job, cloud):
    cloud.image = "sshd"
    prepare(ecs_job)
    (path,) = ecs_job.driver.metadata.glob("job-*.json")
    data = json.loads(path.read_text())
    kind, key = data["host_key"].split()
    data["host_key"] = f"{kind} {key[:-6]}AAAAAA"
    path.write_text(json.dumps(data))
    done = ecs_job.run("touch should-not-exist\n")
    assert done.returncode == SYSTEM_FAILURE and "host key mismatch" in done.stderr


def test_strict_refuses_the_old_image(ecs_job, cloud):
    cloud.image = "sshd"
    ecs_job.driver.settings["SSH"]["HostKey"] = "strict"
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert "host key mismatch" in done.stderr
    assert cloud.running() == []
