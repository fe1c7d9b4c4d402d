# SPDX-License-Identifier: MIT
"""The capacity of a task: the cluster's default strategy, else launch type FARGATE."""

import json
import os
import time

import pytest

from support.driver import BUILD_FAILURE, prepare
from support.ecs_requests import Fault, refusal

HOUR_S = 3600
NO_INSTANCES = "No Container Instances were found in your cluster."
# ECS takes launch type EC2 where nothing else is said; which rule it finds broken first differs.
WANTING = [
    NO_INSTANCES,
    "Task definition does not support launch_type EC2.",
    "The platform version must be null when specifying an EC2 launch type.",
    "Assign public IP is not supported for this launch type.",
]


def again(ecs_job):
    """The RunTask requests of one more attempt."""
    before = ecs_job.cloud.count("RunTask")
    assert ecs_job.stage("cleanup").returncode == 0
    done = prepare(ecs_job)
    return ecs_job.cloud.requests("RunTask")[before:], done


def form(request):
    assert not {"launchType", "capacityProviderStrategy"} <= request.keys()
    return request.get("launchType") or request.get("capacityProviderStrategy")


def memories(ecs_job):
    return list((ecs_job.driver.metadata / ".ecs-definitions").glob("launch-type-*"))


@pytest.mark.parametrize("text", WANTING)
def test_a_cluster_without_a_default_strategy(ecs_job, cloud, text):
    cloud.no_default = text
    done = prepare(ecs_job)
    plain, typed = cloud.requests("RunTask")
    assert form(plain) is None and form(typed) == "FARGATE"
    assert plain["clientToken"] != typed["clientToken"]
    same = {"clientToken": "", "launchType": ""}
    assert plain | same == typed | same, "nothing else differs"
    state = ecs_job.metadata()["state"]
    assert state["client_token"] == typed["clientToken"] and state["form"] == "launch-type"
    assert 'LaunchType = "FARGATE"' in done.stderr and "error" not in done.stderr
    assert ecs_job.run("exit 3\n").returncode == BUILD_FAILURE


@pytest.mark.parametrize("text", WANTING[1:])
def test_a_default_strategy_of_other_capacity_is_not_replaced(ecs_job, cloud, text):
    """A provider of Managed Instances or of EC2: the same texts as without a strategy."""
    cloud.no_default = text
    (cluster,) = cloud.moto.ecs.describe_clusters(clusters=[cloud.cluster])["clusters"]
    cluster["defaultCapacityProviderStrategy"] = [
        {"capacityProvider": "instances", "weight": 1, "base": 0}
    ]
    answer = json.dumps({"clusters": [cluster], "failures": []}).encode()
    cloud.faults.append(Fault("DescribeClusters", raw=answer))
    done = prepare(ecs_job, BUILD_FAILURE)
    assert cloud.count("RunTask") == 1 and memories(ecs_job) == []
    assert "default capacity provider 'instances' is not Fargate's" in done.stderr
    assert 'set [Fargate] LaunchType = "FARGATE"; or for that provider' in done.stderr
    assert text in done.stderr


def test_a_default_strategy_that_may_not_be_read(ecs_job, cloud):
    """The policy of an earlier version's runner has no ecs:DescribeClusters."""
    cloud.no_default = WANTING[-1]
    body = refusal("AccessDeniedException", "not authorized to perform: ecs:DescribeClusters")
    cloud.faults.append(Fault("DescribeClusters", status=400, body=body))
    prepare(ecs_job)
    assert [form(request) for request in cloud.requests("RunTask")] == [None, "FARGATE"]


def test_it_is_remembered_for_an_hour(ecs_job, cloud):
    cloud.no_default = NO_INSTANCES
    prepare(ecs_job)
    requests, done = again(ecs_job)
    assert [form(request) for request in requests] == ["FARGATE"] and done.stderr == ""
    (memory,) = memories(ecs_job)
    assert memory.stat().st_mode & 0o777 == 0o600
    for age_s in (HOUR_S + 5, -60):  # and a time to come is none
        then = time.time() - age_s
        os.utime(memory, (then, then))
        requests, _ = again(ecs_job)
        assert [form(request) for request in requests] == [None, "FARGATE"], age_s
    then = time.time() - HOUR_S + 60
    os.utime(memory, (then, then))
    assert len(again(ecs_job)[0]) == 1


def test_it_is_remembered_of_one_cluster(ecs_job, cloud):
    cloud.no_default = NO_INSTANCES
    prepare(ecs_job)
    assert ecs_job.stage("cleanup").returncode == 0
    own, other = cloud.cluster, cloud.cluster + "-2"
    cloud.make_cluster(other)
    ecs_job.fargate["Cluster"] = cloud.cluster = other
    try:
        requests, _ = again(ecs_job)
        assert [form(request) for request in requests] == [None, "FARGATE"]
        assert len(memories(ecs_job)) == 2
        assert ecs_job.stage("cleanup").returncode == 0
    finally:
        ecs_job.fargate["Cluster"] = cloud.cluster = own


def test_a_default_strategy_of_instances_is_the_clusters_matter(ecs_job, cloud):
    """Without capacity of the strategy's provider, no other provider is used."""
    text = "No Container Instances were found in your capacity provider."
    body = refusal("InvalidParameterException", text)
    cloud.faults.append(Fault("RunTask", status=400, body=body))
    done = prepare(ecs_job, BUILD_FAILURE)
    assert cloud.count("RunTask") == 1 and memories(ecs_job) == []
    assert 'set [Fargate] LaunchType = "FARGATE"' in done.stderr


def test_the_launch_type_of_the_file(ecs_job, cloud):
    cloud.no_default = NO_INSTANCES
    ecs_job.fargate["LaunchType"] = "FARGATE"
    done = prepare(ecs_job)
    (request,) = cloud.requests("RunTask")
    assert form(request) == "FARGATE" and "platformVersion" not in request
    assert done.stderr == "" and memories(ecs_job) == []


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"LaunchType": "EC2"}, "LaunchType is 'EC2'"),
        ({"LaunchType": "FARGATE", "Spot": True}, "LaunchType and Spot exclude each other"),
        (
            {"LaunchType": "FARGATE", "CapacityProviders": ["FARGATE"]},
            "LaunchType and CapacityProviders exclude each other",
        ),
    ],
)
def test_what_excludes_each_other(ecs_job, cloud, settings, message):
    ecs_job.fargate |= settings
    assert message in prepare(ecs_job, BUILD_FAILURE).stderr
    assert cloud.count("RunTask") == 0
    for key in settings:
        del ecs_job.fargate[key]


def test_a_strategy_that_was_asked_for_is_not_replaced(ecs_job, cloud):
    """The refusal is reported."""
    ecs_job.fargate["CapacityProviders"] = ["instances"]
    body = refusal("InvalidParameterException", NO_INSTANCES)
    cloud.faults.append(Fault("RunTask", status=400, body=body))
    prepare(ecs_job, BUILD_FAILURE)
    (request,) = cloud.requests("RunTask")
    assert form(request)[0]["capacityProvider"] == "instances" and memories(ecs_job) == []


def test_every_subnet_is_asked_in_the_second_form(ecs_job, cloud):
    cloud.no_default = NO_INSTANCES
    ecs_job.fargate["Subnets"] = cloud.subnets
    capacity = [{"reason": "Capacity is unavailable at this time. Please try again later"}]
    first = cloud.hold("4711", "RunTask", "before")
    process = ecs_job.driver.start("custom", "prepare", env=ecs_job.env)
    assert first.reached.wait(60)
    second = cloud.hold("4711", "RunTask", "before")
    first.open.set()
    assert second.reached.wait(60)
    cloud.faults.append(Fault("RunTask", failures=capacity))
    second.open.set()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    requests = cloud.requests("RunTask")
    assert [form(request) for request in requests] == [None, "FARGATE", "FARGATE"]
    assert len({request["clientToken"] for request in requests}) == 3


# --- a prepare that is killed in the second form, and metadata without a form


def second_call(cloud, process, when):
    first = cloud.hold("4711", "RunTask", "after")
    second = cloud.hold("4711", "RunTask", when)
    first.open.set()
    start = process()
    assert second.reached.wait(60)
    start.kill()
    start.wait()
    return second


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_in_the_second_form(ecs_job, cloud, when):
    cloud.no_default = NO_INSTANCES
    gate = second_call(
        cloud, lambda: ecs_job.driver.start("custom", "prepare", env=ecs_job.env), when
    )
    _, typed = cloud.requests("RunTask")
    state = ecs_job.metadata()["state"]
    assert (state["client_token"], state["form"]) == (typed["clientToken"], "launch-type")
    cloud.listing = False
    done = ecs_job.stage("cleanup")
    assert done.returncode == 0, done.stderr
    assert cloud.requests("RunTask")[2] == typed
    gate.open.set()
    assert gate.passed.wait(60)
    assert len(cloud.tasks) == 1 and cloud.running() == []
    cloud.listing = True


def test_metadata_of_the_version_before(ecs_job, cloud):
    """All stages read it, and RunTask is repeated with the parameters of that version."""
    prepare(ecs_job)
    (path,) = ecs_job.driver.metadata.glob("job-*.json")
    data = json.loads(path.read_text())
    del data["state"]["form"]
    path.write_text(json.dumps(data))
    assert ecs_job.run("exit 3\n").returncode == BUILD_FAILURE
    arn = data["state"].pop("arn")
    data["state"]["client_token"] = "of-the-version-before-1"
    path.write_text(json.dumps(data))
    cloud.listing = False
    assert ecs_job.stage("cleanup").returncode == 0
    cloud.listing = True
    repeated = cloud.requests("RunTask")[-1]
    assert repeated["clientToken"] == "of-the-version-before-1"
    assert repeated["launchType"] == "FARGATE" and repeated["platformVersion"] == "LATEST"
    assert cloud.running() == [arn], "which the changed metadata does not name"
    cloud.tasks[arn].stop("UserInitiated", "")
    cloud.moto.ecs.stop_task(cluster=cloud.cluster, task=arn)


def test_a_default_strategy_of_managed_instances(ecs_job, cloud):
    """The definition is for Fargate: the hint names both ways out."""
    text = "Task definition does not support launch_type MANAGED_INSTANCES."
    cloud.faults.append(Fault("RunTask", 400, refusal("InvalidParameterException", text)))
    done = prepare(ecs_job, BUILD_FAILURE)
    assert "name the capacity provider in [Fargate] CapacityProviders" in done.stderr
    assert 'or set [Fargate] LaunchType = "FARGATE"' in done.stderr
    assert "check [Fargate] TaskDefinition" not in done.stderr
    assert cloud.count("RunTask") == 1 and memories(ecs_job) == []
