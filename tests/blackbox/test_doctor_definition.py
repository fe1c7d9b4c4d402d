# SPDX-License-Identifier: MIT
"""'berth-driver doctor': mistakes in the task definition. The image is in test_doctor_image.py."""

import json
import os

from support.doctor import answered, assert_reported, mistakes


def defined(**how):
    return lambda place: place.define(**how)


def without(*keys):
    return lambda place: [place.fargate.pop(key) for key in keys]


def set_up(**fargate):
    return lambda place: place.fargate.update(fargate)


def definition_answer(**fields):
    definition = {
        "taskDefinitionArn": "arn:aws:ecs:r:1:task-definition/x:1",
        "networkMode": "awsvpc",
        "compatibilities": ["FARGATE"],
        "containerDefinitions": [],
        **fields,
    }
    return "body:" + json.dumps({"taskDefinition": definition})


def other_port(place):
    place.ssh["Port"] = 2022
    place.let_in(place.group, port=2022, IpRanges=[{"CidrIp": "127.0.0.0/8"}])


BAD = [
    # name, change, the line, what to do
    (
        "no definition named",
        without("TaskDefinition"),
        "FAIL no task definition",
        "set [Fargate] TaskDefinition",
    ),
    (
        "no definition",
        set_up(TaskDefinition="nothing"),
        "FAIL .*DescribeTaskDefinition",
        "register-task-definition",
    ),
    (
        "inactive",
        answered("DescribeTaskDefinition", definition_answer(status="INACTIVE")),
        "FAIL task definition '.*' is INACTIVE",
        "register",
    ),
    (
        "bridge",
        answered("DescribeTaskDefinition", definition_answer(networkMode="bridge")),
        "FAIL its network mode is 'bridge'",
        "awsvpc",
    ),
    (
        "EC2 alone",
        answered("DescribeTaskDefinition", definition_answer(compatibilities=["EC2"])),
        "FAIL it is not compatible with Fargate",
        "requiresCompatibilities",
    ),
    (
        "windows",
        defined(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
        "FAIL its operating system is 'WINDOWS",
        "Linux",
    ),
    (
        "container",
        set_up(ContainerName="web"),
        "FAIL it has no container 'web'; there are: 'ci-coordinator'",
        "ContainerName",
    ),
    (
        "port",
        other_port,
        "warn the container maps no TCP port 2022",
        "portMappings",
    ),
    (
        "not essential",
        answered(
            "DescribeTaskDefinition",
            definition_answer(
                containerDefinitions=[{"name": "ci-coordinator", "essential": False}]
            ),
        ),
        "warn the container is not essential",
        "essential",
    ),
    (
        "no health check",
        defined(drop=("healthCheck",)),
        "warn the container has no health check",
        "berth-agent",
    ),
    (
        "no log",
        defined(drop=("logConfiguration",)),
        "warn the container has no log",
        "logConfiguration",
    ),
    (
        "no execution role",
        defined(drop=("executionRoleArn",)),
        "FAIL it has no execution role",
        "AmazonECSTaskExecutionRolePolicy",
    ),
    (
        "no task role for ECS Exec",
        lambda p: (p.fargate.update(EnableExecuteCommand=True), p.define(drop=("taskRoleArn",))),
        "FAIL it has no task role, and EnableExecuteCommand needs one",
        "ssmmessages",
    ),
    (
        "stop timeout",
        defined(container={"stopTimeout": 1}),
        "warn stopTimeout is 1 s: ECS kills",
        "CancelGrace",
    ),
    (
        "spot timeout",
        lambda p: (p.fargate.update(Spot=True), p.define(drop=("stopTimeout",))),
        "warn stopTimeout is 30 s: a job has no more",
        "120",
    ),
]


@mistakes(BAD)
def test_reports_definition_mistakes(place, change, line, remedy):
    os.umask(0o022)
    change(place)
    assert_reported(place, line, remedy)
