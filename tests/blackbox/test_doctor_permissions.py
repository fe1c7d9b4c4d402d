# SPDX-License-Identifier: MIT
"""'berth-driver doctor': each permission, simulated by IAM or tried by a call without an effect."""

import json
import os
import re

import pytest

from support.doctor import answered, assert_reported, decision, mistakes

BAD = [
    # name, change, the line, what to do
    (
        "denied",
        answered("SimulatePrincipalPolicy", decision("implicitDeny")),
        "FAIL ecs:RunTask is not allowed on arn:aws:ecs:.*:task-definition/doctor-.*:\\*",
        "--policy",
    ),
]


@mistakes(BAD)
def test_reports_a_denied_permission(place, change, line, remedy):
    os.umask(0o022)
    change(place)
    assert_reported(place, line, remedy)


TRIED = {
    "ecs:RunTask": "RunTask",
    "ecs:DescribeTasks": "DescribeTasks",
    "ecs:StopTask": "StopTask",
    "ecs:ListTasks": "ListTasks",
    "ec2:DescribeNetworkInterfaces": "DescribeNetworkInterfaces",
}


@pytest.fixture
def no_simulation(place):
    """IAM does not simulate; a dry run and an unknown task are answered as AWS does."""
    place.faults.always["StopTask"] = "code:400,InvalidParameterException"
    place.faults.always["SimulatePrincipalPolicy"] = "code:403,AccessDenied"
    place.faults.always["DescribeNetworkInterfaces"] = "code:412,DryRunOperation"
    place.fargate.update(UsePublicIP=True, Tags=["a=b"])
    return place


def test_permissions_are_tried(no_simulation):
    before = len(no_simulation.moto.ecs.list_tasks(cluster=no_simulation.name)["taskArns"])
    code, out, _ = no_simulation.run()
    assert code == 0, out
    for action in TRIED:
        assert f"  ok    {action} is allowed\n" in out
    for action in ("iam:PassRole", "ecs:TagResource"):
        assert re.search(rf"  skip  {action}: cannot be tried without a launch", out), out
    assert len(no_simulation.moto.ecs.list_tasks(cluster=no_simulation.name)["taskArns"]) == before
    (run,) = [call for call in no_simulation.faults.calls if call.operation == "RunTask"]
    assert json.loads(run.body)["taskDefinition"] == f"{no_simulation.name}:2147483647"


def test_lookup_of_the_public_address_is_optional(no_simulation):
    """Without UsePublicIP the private address may be enough."""
    del no_simulation.fargate["UsePublicIP"]
    no_simulation.faults.always["DescribeNetworkInterfaces"] = "code:403,UnauthorizedOperation"
    status, out, _ = no_simulation.run()
    assert status == 0, out
    assert "  warn  ec2:DescribeNetworkInterfaces is not allowed\n" in out


@pytest.mark.parametrize("action", TRIED)
def test_reports_a_missing_permission(no_simulation, action):
    code = "403,UnauthorizedOperation" if action.startswith("ec2") else "400,AccessDeniedException"
    no_simulation.faults.always[TRIED[action]] = f"code:{code}"
    status, out, _ = no_simulation.run()
    assert status == 1 and f"  FAIL  {action} is not allowed\n" in out
    assert "'berth-driver doctor --policy' prints" in out


def test_a_pinned_revision_is_not_tried(no_simulation):
    no_simulation.fargate["TaskDefinition"] += ":1"
    code, out, _ = no_simulation.run()
    assert code == 0 and "  skip  ecs:RunTask: cannot be tried" in out
    assert "RunTask" not in [call.operation for call in no_simulation.faults.calls]
