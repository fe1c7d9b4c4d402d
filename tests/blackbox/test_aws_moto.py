# SPDX-License-Identifier: MIT
"""Each AWS operation of a job, with Berth's client and boto3 against moto.

A proxy in between has botocore check each signature and each request against AWS's model.
"""

import datetime
import json
import os
import re
import subprocess

import boto3
import pytest

from support import aws_model
from support.aws_faults import AwsFaults
from support.ecs import CONTAINER, FAMILY, Cloud
from support.ecs_moto import KEYS, REGION

ROLE = "arn:aws:iam::123456789012:role/runner-role"


@pytest.fixture
def proxy(moto):
    key, secret = KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]
    with AwsFaults(moto.url, secrets={key: secret}) as running:
        yield running
        assert running.model_problems() == []
        assert running.calls
        assert {call.signature for call in running.calls if call.service} == {"good"}


@pytest.fixture
def probe(programs, tmp_path, proxy):
    """probe(*arguments, env={}, config=''): the answer to Berth's client, with moto's keys."""
    keep = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
    base = {name: os.environ[name] for name in keep if name in os.environ}
    base |= {"HOME": str(tmp_path), "AWS_REGION": REGION, "AWS_ENDPOINT_URL": proxy.url}

    def run(*words, env=KEYS, config=""):
        own = tmp_path / "own.toml"
        own.write_text(config)
        done = subprocess.run(
            [programs.tool("aws-probe"), own, "20000", *words],
            env={**base, **env},
            capture_output=True,
            timeout=60,
            check=True,
        )
        answer = json.loads(done.stdout)
        assert answer["ok"], answer
        return answer["answer"]

    return run


@pytest.fixture
def place(moto, tmp_path):
    """A cluster with subnets in moto; its own proxy is not used."""
    instance = Cloud(moto, tmp_path, "/nonexistent")
    yield instance
    for arn in instance.running():
        moto.ecs.stop_task(cluster=instance.cluster, task=arn)
    assert instance.stop() == []


def ecs(probe, operation, **request):
    return probe("ecs", operation, json.dumps(request))


def start(probe, place, **more):
    network = {"subnets": [place.subnets[0]], "securityGroups": [place.group]}
    answer = ecs(
        probe,
        "RunTask",
        cluster=place.cluster,
        taskDefinition=FAMILY,
        launchType="FARGATE",
        count=1,
        startedBy="berth/0/job-1",
        networkConfiguration={"awsvpcConfiguration": network},
        overrides={"containerOverrides": [{"name": CONTAINER}]},
        **more,
    )
    return answer["tasks"][0]


def differences(ours, theirs, path=""):
    """Values in boto3's answer that are missing in ours; boto3 drops unknown ones."""
    if isinstance(theirs, dict):
        rows = [(ours.get(name), value, f"{path}.{name}") for name, value in theirs.items()]
    elif isinstance(theirs, list) and len(ours) == len(theirs):
        rows = [(ours[n], value, f"{path}[{n}]") for n, value in enumerate(theirs)]
    else:
        if isinstance(theirs, datetime.datetime):
            same = abs(ours - theirs.timestamp()) < 1
        else:
            same = ours == theirs
        return [] if same else [f"{path}: {ours!r}, boto3 {theirs!r}"]
    return [text for row in rows for text in differences(*row)]


def test_the_life_of_a_task(probe, place, proxy):
    client, cluster = place.moto.ecs, place.cluster
    tags = [{"key": "team", "value": "ü"}]
    task = start(probe, place, tags=tags, clientToken="t" * 64)
    arn = task["taskArn"]
    shown = ecs(probe, "DescribeTasks", cluster=cluster, tasks=[arn], include=["TAGS"])
    other = client.describe_tasks(cluster=cluster, tasks=[arn], include=["TAGS"])
    other.pop("ResponseMetadata")
    # moto lets a task go through its states as it is looked at.
    (different,) = differences(shown, other)
    assert different.startswith(".tasks[0].lastStatus")
    assert shown["tasks"][0]["tags"] == tags
    listed = ecs(probe, "ListTasks", cluster=cluster, startedBy="berth/0/job-1")
    assert listed == {"taskArns": [arn]}
    assert ecs(probe, "ListTasks", cluster=cluster, startedBy="nobody") == {"taskArns": []}
    stopped = ecs(probe, "StopTask", cluster=cluster, task=arn, reason="enough")
    assert stopped["task"]["desiredStatus"] == "STOPPED"
    assert stopped["task"]["stoppedReason"] == "enough"
    assert place.running() == []
    operations = [call.operation for call in proxy.calls]
    assert operations == ["RunTask", "DescribeTasks", "ListTasks", "ListTasks", "StopTask"]
    for (status, body), operation in zip(proxy.answers, operations, strict=True):
        assert status == 200
        assert not aws_model.json_problems("ecs", operation, "output_shape", json.loads(body))


def test_network_interfaces(probe, place, proxy):
    task = start(probe, place)
    details = {row["name"]: row["value"] for row in task["attachments"][0]["details"]}
    interface = details["networkInterfaceId"]
    ec2 = place.moto.ec2
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=interface)
    answer = probe("ec2", "DescribeNetworkInterfaces", "NetworkInterfaceId.1", interface)
    (ours,) = answer["networkInterfaceSet"]
    (other,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    assert ours["networkInterfaceId"] == other["NetworkInterfaceId"] == interface
    assert ours["privateIpAddress"] == other["PrivateIpAddress"]
    assert ours["association"]["publicIp"] == other["Association"]["PublicIp"]
    assert ours["association"]["publicIp"] == address["PublicIp"]
    assert ours["subnetId"] == other["SubnetId"] == place.subnets[0]
    status, body = proxy.answers[-1]
    assert not aws_model.xml_problems("ec2", "DescribeNetworkInterfaces", body)


def test_an_interface_that_does_not_exist(programs, proxy, tmp_path):
    keep = {name: os.environ[name] for name in os.environ if name.endswith("SAN_OPTIONS")}
    words = ["ec2", "DescribeNetworkInterfaces", "NetworkInterfaceId.1", "eni-0123456789abcdef0"]
    done = subprocess.run(
        [programs.tool("aws-probe"), "-", "20000", *words],
        env={**KEYS, **keep, "AWS_REGION": REGION, "AWS_ENDPOINT_URL": proxy.url,
             "HOME": str(tmp_path)},
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert not answer["ok"] and answer["permanent"]
    assert answer["code"] == "InvalidNetworkInterfaceID.NotFound"


def test_a_role_with_session_tags(probe, proxy, place, tmp_path):
    """STS AssumeRole by moto; its credentials sign the next call."""
    (tmp_path / ".aws").mkdir()
    key, secret = KEYS.values()
    (tmp_path / ".aws/config").write_text(
        f"[profile ci]\nrole_arn = {ROLE}\nsource_profile = base\nrole_session_name = berth\n"
        f"external_id = ext\nduration_seconds = 900\n"
        f"[profile base]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    )
    config = '[AWS]\nProfile = "ci"\nSessionTags = ["team=ci", "project=a b"]\n'
    request = json.dumps({"cluster": place.cluster})
    answer = probe("ecs", "ListTasks", request, env={}, config=config)
    assert answer == {"taskArns": []}
    role, listing = proxy.calls
    wanted = aws_model.form_parameters("sts", "AssumeRole", role.parameters)
    assert wanted == {
        "RoleArn": ROLE,
        "RoleSessionName": "berth",
        "ExternalId": "ext",
        "DurationSeconds": 900,
        "Tags": [{"Key": "team", "Value": "ci"}, {"Key": "project", "Value": "a b"}],
    }
    given = aws_model.read_xml("sts", "AssumeRole", *proxy.answers[0])["Credentials"]
    assert not aws_model.xml_problems("sts", "AssumeRole", proxy.answers[0][1])
    assert listing.key_id == given["AccessKeyId"] != key
    assert listing.token == given["SessionToken"]


def test_a_web_identity(probe, proxy, tmp_path):
    token = tmp_path / "token"
    token.write_text("ey.some.token")
    env = {
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_SESSION_NAME": "berth",
    }
    who = probe("sts", "GetCallerIdentity", env=env)
    first, second = proxy.calls
    assert first.signature == "none" and first.operation == "AssumeRoleWithWebIdentity"
    given = aws_model.read_xml("sts", first.operation, *proxy.answers[0])["Credentials"]
    assert second.key_id == given["AccessKeyId"] and second.token == given["SessionToken"]
    client = boto3.client(
        "sts", endpoint_url=proxy.upstream, region_name=REGION,
        aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )  # fmt: skip
    assert who["GetCallerIdentityResult"]["Arn"] == client.get_caller_identity()["Arn"]


def test_nothing_else_is_called(top):
    """A new operation of the driver needs a test above, or one with the play of ECS."""
    called = set()
    for directory in ("driver/aws", "driver/backend"):
        for path in (top / directory).rglob("*.c"):
            text = path.read_text()
            called |= set(re.findall(r'(?:aws_(?:ecs|query)|call_sts)\([^;"]*"(\w+)"', text))
            called |= set(re.findall(r'\.operation = "(\w+)"', text))
    assert called == {
        "RunTask", "DescribeTasks", "ListTasks", "StopTask", "DescribeNetworkInterfaces",
        "AssumeRole", "AssumeRoleWithWebIdentity",
        # test_ecs_generated.py, test_ecs_managed.py, test_ecs_warm.py
        "RegisterTaskDefinition", "DescribeTaskDefinition", "DescribeCapacityProviders",
        "TagResource",
        "DescribeClusters",  # test_ecs_capacity.py
    }  # fmt: skip
