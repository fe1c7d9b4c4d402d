# SPDX-License-Identifier: MIT
"""Capacity providers of ECS Managed Instances, and privileged containers, which only they have."""

import os
import time

import pytest

from support import cfn
from support.driver import BUILD_FAILURE, prepare
from support.ecs_generated import HELPER, JOB
from support.ecs_requests import Fault, refusal

DIND = "nowhere.invalid/docker:27-dind"
WAYS_OUT = ("CapacityProviders", "kaniko")


@pytest.fixture
def managed_job(generated_job, cloud):
    """A job on the provider 'instances' of ECS Managed Instances."""
    cloud.providers = {"instances": "MANAGED_INSTANCES", "group": "EC2_AUTOSCALING"}
    cloud.providers |= {"spare": "MANAGED_INSTANCES"}
    generated_job.fargate["CapacityProviders"] = ["instances"]
    return generated_job


def again(job):
    assert job.stage("cleanup").returncode == 0
    return prepare(job)


def containers(cloud):
    request = cloud.requests("RegisterTaskDefinition")[-1]
    return request, {row["name"]: row for row in request["containerDefinitions"]}


def privileged(cloud):
    return sorted(name for name, row in containers(cloud)[1].items() if row.get("privileged"))


def rights(job, stage="build_script"):
    done = job.run("grep CapEff /proc/self/status\n", stage)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[1], 16)


def test_a_job_on_managed_instances(managed_job, cloud):
    managed_job.fargate["CapacityProviders"] = ["instances:2", "spare:1:1"]
    prepare(managed_job)
    request, found = containers(cloud)
    assert request["requiresCompatibilities"] == ["MANAGED_INSTANCES"]
    assert request["networkMode"] == "awsvpc" and privileged(cloud) == []
    assert "privileged" not in found["ci-coordinator"]
    (run,) = cloud.requests("RunTask")
    assert not run.keys() & {"launchType", "platformVersion"}
    assert run["capacityProviderStrategy"] == [
        {"capacityProvider": "instances", "weight": 2, "base": 0},
        {"capacityProvider": "spare", "weight": 1, "base": 1},
    ]
    assert managed_job.run("echo works\n").stdout == b"works\n"


def test_each_provider_is_looked_up_once(managed_job, cloud):
    managed_job.fargate["CapacityProviders"] = ["instances", "spare"]
    prepare(managed_job)
    again(managed_job)
    asked = cloud.requests("DescribeCapacityProviders")
    assert [row["capacityProviders"] for row in asked] == [["instances"], ["spare"]]
    assert {row["cluster"] for row in asked} == {cloud.cluster}
    kept = list((managed_job.driver.metadata / ".ecs-definitions").glob("provider-*"))
    assert len(kept) == 2 and {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    for path in kept:
        os.utime(path, (time.time() - 86401,) * 2)
    again(managed_job)
    assert cloud.count("DescribeCapacityProviders") == 4
    assert cloud.count("RegisterTaskDefinition") == 1


@pytest.mark.parametrize("providers", [None, ["FARGATE_SPOT:3", "FARGATE"]])
def test_fargate_is_not_asked_about(generated_job, cloud, providers):
    if providers:
        generated_job.fargate["CapacityProviders"] = providers
    prepare(generated_job)
    assert cloud.count("DescribeCapacityProviders") == 0
    assert containers(cloud)[0]["requiresCompatibilities"] == ["FARGATE"]


def test_an_auto_scaling_group(managed_job, cloud):
    managed_job.fargate["CapacityProviders"] = ["group"]
    prepare(managed_job)
    assert containers(cloud)[0]["requiresCompatibilities"] == ["EC2"]


def test_a_prepared_image_on_managed_instances(ecs_job, cloud):
    """A task definition of one's own names its capacity itself: no call more."""
    cloud.providers = {"instances": "MANAGED_INSTANCES"}
    ecs_job.fargate["CapacityProviders"] = ["instances"]
    prepare(ecs_job)
    (run,) = cloud.requests("RunTask")
    assert not run.keys() & {"launchType", "platformVersion"}
    assert cloud.count("DescribeCapacityProviders") == 0


BAD = [
    # name, settings of [Fargate], words of the message
    (
        "Fargate and others",
        {"CapacityProviders": ["instances", "FARGATE"]},
        ["are of two kinds: 'FARGATE' is AWS Fargate, 'instances' is not", "one kind"],
    ),
    (
        "two other kinds",
        {"CapacityProviders": ["instances", "group"]},
        ["'instances' is ECS Managed Instances, 'group' is EC2 instances", "one kind"],
    ),
    (
        "no provider",
        {"CapacityProviders": ["nothing:1"]},
        ["has no capacity provider 'nothing'", "put-cluster-capacity-providers"],
    ),
    (
        "platform version",
        {"PlatformVersion": "1.4.0"},
        ["Fargate.PlatformVersion is '1.4.0'", "'instances'", "remove PlatformVersion"],
    ),
    (
        "public address",
        {"EnablePublicIP": True},
        ["public IP is not supported", "EnablePublicIP = false"],
    ),
    (
        "privileged without a provider",
        {"CapacityProviders": [], "PrivilegedImages": ["**"]},
        ["Fargate.PrivilegedImages cannot run privileged on AWS Fargate", *WAYS_OUT],
    ),
    (
        "privileged services on Fargate",
        {"CapacityProviders": ["FARGATE"], "PrivilegedServices": ["docker:*"]},
        ["Fargate.PrivilegedServices cannot run privileged on AWS Fargate", *WAYS_OUT],
    ),
    (
        "privileged on a group",
        {"CapacityProviders": ["group"], "PrivilegedImages": ["nowhere.invalid/job:*"]},
        [f"image '{JOB}' cannot run privileged on EC2 instances of an Auto", *WAYS_OUT],
    ),
]


@pytest.mark.parametrize("settings, words", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_does_not_fit_together(managed_job, cloud, settings, words):
    managed_job.fargate |= settings
    done = prepare(managed_job, BUILD_FAILURE)
    for word in words:
        assert word in done.stderr
    assert cloud.tasks == {}
    if "EnablePublicIP" not in settings:
        assert cloud.count("RunTask") == cloud.count("RegisterTaskDefinition") == 0


def test_a_group_without_a_privileged_job(managed_job):
    """The pattern concerns others."""
    managed_job.fargate |= {"CapacityProviders": ["group"], "PrivilegedImages": ["other:*"]}
    prepare(managed_job)


def test_a_call_that_is_not_allowed(managed_job, cloud):
    text = "not authorized to perform: ecs:DescribeCapacityProviders"
    cloud.faults.append(
        Fault("DescribeCapacityProviders", 400, refusal("AccessDeniedException", text))
    )
    done = prepare(managed_job, BUILD_FAILURE)
    assert "cannot find out what the capacity provider 'instances' is" in done.stderr
    assert "doctor --policy" in done.stderr and cloud.count("RegisterTaskDefinition") == 0


def test_a_privileged_image(managed_job, cloud):
    managed_job.fargate["PrivilegedImages"] = ["nowhere.invalid/job:*"]
    prepare(managed_job)
    assert privileged(cloud) == ["ci-coordinator"]
    request = containers(cloud)[0]
    assert cfn.lint({k: v for k, v in request.items() if k != "family"}) == []
    assert rights(managed_job) & 1 << 21, "CAP_SYS_ADMIN"
    assert not rights(managed_job, "get_sources") & 1 << 21


def test_an_image_that_no_pattern_names_is_not_privileged(managed_job, cloud):
    """Also when the base's container is."""
    cloud.definitions.define(
        family="base", cpu="1024", memory="2048", networkMode="awsvpc",
        requiresCompatibilities=["MANAGED_INSTANCES"],
        containerDefinitions=[{"name": "ci-coordinator", "image": "x:1", "privileged": True}],
    )  # fmt: skip
    managed_job.fargate |= {"TaskDefinition": "base", "PrivilegedImages": ["other:*"]}
    prepare(managed_job)
    assert privileged(cloud) == []


def test_docker_in_docker_shares_its_certificates(managed_job, cloud):
    script = "mkdir -p /certs/client && echo of-dind >/certs/client/ca.pem && exec sleep 600"
    for name in (DIND, "nowhere.invalid/redis:7"):
        cloud.containers.images.add_busybox(name, entrypoint=["sh", "-c"], command=[script])
    managed_job.fargate |= {
        "AllowedServices": ["nowhere.invalid/**"],
        "PrivilegedServices": ["nowhere.invalid/docker:*-dind"],
    }
    managed_job.services({"name": DIND, "alias": "docker"}, {"name": "nowhere.invalid/redis:7"})
    prepare(managed_job)
    request, found = containers(cloud)
    assert privileged(cloud) == ["berth-svc-1"]
    where = {
        name: mount.get("readOnly", False)
        for name, row in found.items()
        for mount in row.get("mountPoints", [])
        if mount["containerPath"] == "/certs/client"
    }
    assert where == {"berth-svc-1": False, "ci-coordinator": True}
    assert {"name": "berth-certs"} in request["volumes"]
    done = managed_job.run("until cat /certs/client/ca.pem 2>/dev/null; do sleep 0.1; done\n")
    assert done.stdout == b"of-dind\n"
    assert managed_job.run("touch /certs/client/x || exit 9\n").returncode == BUILD_FAILURE
    assert found["berth-helper"]["image"] == HELPER


def test_a_mount_of_the_base_where_certificates_go(managed_job, cloud):
    cloud.definitions.define(
        family="base", cpu="1024", memory="2048", networkMode="awsvpc",
        requiresCompatibilities=["MANAGED_INSTANCES"], volumes=[{"name": "c"}],
        containerDefinitions=[
            {
                "name": "ci-coordinator",
                "image": "x:1",
                "mountPoints": [{"sourceVolume": "c", "containerPath": "/certs/client"}],
            }
        ],
    )  # fmt: skip
    cloud.containers.images.add_busybox(DIND, entrypoint=["sleep", "600"])
    managed_job.fargate |= {"TaskDefinition": "base", "AllowedServices": ["nowhere.invalid/**"]}
    managed_job.services({"name": DIND})
    prepare(managed_job)
    assert managed_job.stage("cleanup").returncode == 0
    managed_job.fargate["PrivilegedServices"] = ["nowhere.invalid/docker:*"]
    done = prepare(managed_job, BUILD_FAILURE)
    assert "mounts a volume at '/certs/client'" in done.stderr
