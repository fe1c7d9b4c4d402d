# SPDX-License-Identifier: MIT
"""Checks the stand-in for ECS with AWS's own client."""

import pytest
from botocore.exceptions import ClientError

from support import aws_model
from support.ecs import CONTAINER, FAMILY
from support.ecs_moto import REGION
from support.ecs_requests import Fault
from support.ecs_skeleton import ecs_client


@pytest.fixture
def client(cloud):
    return ecs_client(cloud)


def run(cloud, client, token="token", **more):
    environment = [{"name": "X", "value": "y"}]
    network = {"subnets": [cloud.subnets[0]], "securityGroups": [cloud.group]}
    return client.run_task(
        cluster=cloud.cluster,
        taskDefinition=FAMILY,
        launchType="FARGATE",
        clientToken=token,
        networkConfiguration={"awsvpcConfiguration": {**network, "assignPublicIp": "DISABLED"}},
        overrides={"containerOverrides": [{"name": CONTAINER, "environment": environment}]},
        **more,
    )


def test_a_tasks_life(cloud, client, until):
    cloud.image = ""
    arn = run(cloud, client)["tasks"][0]["taskArn"]

    def state():
        (task,) = client.describe_tasks(cluster=cloud.cluster, tasks=[arn])["tasks"]
        return task["lastStatus"]

    seen = set()
    until(lambda: seen.add(state()) or "RUNNING" in seen)
    assert seen >= {"PENDING", "RUNNING"}
    assert run(cloud, client)["tasks"][0]["taskArn"] == arn, "the same token"
    client.stop_task(cluster=cloud.cluster, task=arn, reason="enough")
    until(lambda: state() == "STOPPED")
    (task,) = client.describe_tasks(cluster=cloud.cluster, tasks=[arn])["tasks"]
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert cloud.running() == []


def test_pages_unknown_tasks_and_faults(cloud, client):
    cloud.image, cloud.page = "", 2
    for number in range(5):
        run(cloud, client, str(number), startedBy="me")
    pages = client.get_paginator("list_tasks").paginate(cluster=cloud.cluster, startedBy="me")
    assert [len(page["taskArns"]) for page in pages] == [2, 2, 1]
    arn = f"arn:aws:ecs:{REGION}:123456789012:task/{cloud.cluster}/{'0' * 32}"
    with pytest.raises(ClientError, match="task was not found"):
        client.stop_task(cluster=cloud.cluster, task=arn)
    answer = client.describe_tasks(cluster=cloud.cluster, tasks=[arn])
    assert answer["failures"][0]["reason"] == "MISSING"
    cloud.faults.append(Fault("DescribeTasks", reset="after"))
    client.describe_tasks(cluster=cloud.cluster, tasks=[arn])
    assert cloud.count("DescribeTasks") == 3, "the client tried again"
    for arn in cloud.running():
        client.stop_task(cluster=cloud.cluster, task=arn)


def test_what_is_not_in_the_model_is_a_problem(cloud, client):
    cloud.check("RunTask", "input_shape", {"taskDefinition": "x", "launchTyp": "FARGATE"})
    cloud.check("RunTask", "input_shape", {"taskDefinition": 1})
    assert len(cloud.problems) == 2, cloud.problems
    cloud.problems.clear()


@pytest.mark.parametrize(
    "form",
    [
        "NetworkInterfaceIds.1=eni-1",
        "NetworkInterfaceId.2=eni-1",
        "NetworkInterfaceId.member.1=eni-1",
        "NetworkInterfaceId=eni-1",
        "Filter.1.Values.1=a",
        "MaxResults=many",
    ],
)
def test_forms_that_are_not_in_the_model(form):
    body = f"Action=DescribeNetworkInterfaces&Version=2016-11-15&{form}".encode()
    assert aws_model.form_problems("ec2", "DescribeNetworkInterfaces", body)


@pytest.mark.parametrize("body", [b"<html>", b"<R/>", b"not XML", b"<R><a>b</a></R>"])
def test_answers_that_are_not_in_the_model(body):
    assert aws_model.xml_problems("ec2", "DescribeNetworkInterfaces", body)
