# SPDX-License-Identifier: MIT
"""'berth-driver doctor' about jobs with an image of their own on ECS, and their policy."""

import json
import re

import pytest

from support.doctor import ACCOUNT, assert_reported
from support.ecs_moto import REGION
from support.registry import Image, RudeRegistry

SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:registry-AbCdEf"


@pytest.fixture
def generating(place):
    place.fargate["AllowedImages"] = ["docker.io/**"]
    place.driver.settings["Helper"] = {"AgentImage": "nowhere.invalid/agent:1"}
    for port in (22122, 22123):
        place.let_in(place.group, port, UserIdGroupPairs=[{"GroupId": place.group}])
    return place


def without_base(place):
    del place.fargate["TaskDefinition"]
    place.fargate |= {"Cpu": 1024, "Memory": 2048}


def providers(**kinds):
    """The capacity providers of the file, all of which ECS has."""

    def change(place):
        place.fargate["CapacityProviders"] = list(kinds)
        about = {"MANAGED_INSTANCES": "managedInstancesProvider"}
        rows = [
            {"name": name, "type": kind, **({about[kind]: {}} if kind in about else {})}
            for name, kind in kinds.items()
        ]
        answer = "body:" + json.dumps({"capacityProviders": rows, "failures": []})
        place.faults.always["DescribeCapacityProviders"] = answer

    return change


def both(*changes):
    return lambda place: [change(place) for change in changes]


def set_up(**fargate):
    return lambda place: place.fargate.update(fargate)


def with_sidecars(count):
    def change(place):
        job = {"name": "ci-coordinator", "image": place.image(":1"), "essential": True}
        others = [{"name": f"side-{n}", "image": "x:1", "essential": False} for n in range(count)]
        place.define(containerDefinitions=[job, *others])
        place.fargate["AllowedServices"] = ["docker.io/**"]

    return change


def mounting(volume, path):
    mount = {"sourceVolume": volume, "containerPath": path}
    return lambda place: place.define(
        volumes=[{"name": volume}], container={"mountPoints": [mount]}
    )


def with_proxy(condition):
    def change(place):
        job = {"name": "ci-coordinator", "image": place.image(":1"), "essential": True}
        job["healthCheck"] = {"command": ["CMD", "true"]}
        wait = {"containerName": "ci-coordinator", "condition": condition}
        proxy = {"name": "proxy", "image": "x:1", "essential": False, "dependsOn": [wait]}
        place.define(containerDefinitions=[job, proxy])

    return change


@pytest.mark.parametrize(
    "change, line, remedy",
    [
        (
            lambda place: place.driver.settings["Helper"].clear(),
            "FAIL " + re.escape("[Helper] AgentImage is not set"),
            "'berth-driver push-agent' pushes such an image",
        ),
        (
            lambda place: place.fargate.update(JobPort=30000),
            "FAIL no security group rule allows TCP port 30000",
            "allow it for",
        ),
        (
            lambda place: place.fargate.update(HelperPort=30001),
            "FAIL no security group rule allows TCP port 30001",
            "allow it for",
        ),
        (
            lambda place: place.define(pidMode="task"),
            "warn its pidMode is 'task'",
            "register it without pidMode",
        ),
        (
            lambda place: place.define(container={"readonlyRootFilesystem": True}),
            "warn the job's container has a read-only root file system",
            "without readonlyRootFilesystem",
        ),
        (
            mounting("x", "/builds"),
            "FAIL the task definition mounts a volume at '/builds', where Berth mounts its own",
            "register it without",
        ),
        (
            mounting("berth", "/data"),
            "FAIL the task definition has a volume 'berth', which Berth adds itself; rename it",
            "register it without",
        ),
        (
            with_proxy("HEALTHY"),
            "FAIL the container 'proxy' of the task definition waits for 'ci-coordinator' to be "
            "HEALTHY, which a job's container never is",
            'use the condition "START" in its dependsOn',
        ),
        (with_proxy("START"), "ok /cache is empty in each task", ""),
        (
            lambda place: place.fargate.pop("TaskDefinition"),
            "FAIL the size of tasks is not known",
            "set [Fargate] Cpu and Memory, or TaskDefinition",
        ),
        (
            without_base,
            "warn there is no execution role",
            "set [Fargate] ExecutionRole",
        ),
        (
            without_base,
            "warn tasks have no log",
            "set [Fargate] LogGroup",
        ),
        (
            set_up(JobPort=22123),
            "FAIL .*JobPort and HelperPort are both 22123",
            "set two different ones",
        ),
        (
            with_sidecars(8),
            "FAIL it has 8 containers beside 'ci-coordinator'",
            "remove some",
        ),
        (
            with_sidecars(7),
            "warn a job can have 0 services beside 7 other containers",
            "remove some",
        ),
        (with_sidecars(6), "ok a job can have 1 service beside 6 other containers", ""),
        (lambda place: None, "ok /cache is empty in each task", "[runners.cache]"),
        (
            lambda place: place.driver.settings["Helper"].update(Busybox="/bin/true"),
            "FAIL .*Helper.Busybox",
            "busybox-static",
        ),
        (
            set_up(CapacityProviders=["nothing"]),
            "FAIL .*DescribeCapacityProviders|FAIL the cluster '.*' has no capacity provider",
            "CapacityProviders",
        ),
        (
            providers(a="MANAGED_INSTANCES", b="EC2_AUTOSCALING"),
            "FAIL capacity provider 'b' is EC2 instances of an Auto Scaling group, another one is",
            "one kind",
        ),
        (
            providers(a="MANAGED_INSTANCES"),
            "FAIL it is not compatible with ECS Managed Instances",
            '"requiresCompatibilities": ["MANAGED_INSTANCES"]',
        ),
        (
            both(providers(a="EC2_AUTOSCALING"), set_up(PrivilegedServices=["docker:*"])),
            r"FAIL \[Fargate\] PrivilegedServices cannot run privileged on EC2 instances",
            "kaniko",
        ),
        (
            set_up(PrivilegedImages=["docker:*"]),
            "FAIL .*: Fargate.PrivilegedImages cannot run privileged on AWS Fargate",
            "kaniko",
        ),
        (
            set_up(RegistrySecrets=[f"registry.invalid={SECRET}"]),
            r"skip \[Fargate\] RegistrySecrets: whether the secrets exist",
            "allow that role secretsmanager:GetSecretValue",
        ),
        (
            set_up(ImageRewrite=[f"quay.io/={ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/quay/"]),
            r"skip \[Fargate\] ImageRewrite: whether the execution role can fill",
            "allow that role ecr:BatchImportUpstreamImage and ecr:CreateRepository",
        ),
    ],
)
def test_what_generated_definitions_lack(generating, change, line, remedy):
    change(generating)
    assert_reported(generating, line, remedy)


@pytest.mark.parametrize(
    "knows, line, remedy",
    [
        (
            True,
            "warn the cluster's default capacity provider strategy is a 1: 'a' is ECS Managed "
            "Instances, on which ECS refuses the task definitions of jobs with an image of their "
            "own",
            'set [Fargate] CapacityProviders = ["a"], or LaunchType = "FARGATE"',
        ),
        (
            False,
            "warn the cluster's default capacity provider strategy is a 1, which is not only",
            'set [Fargate] LaunchType = "FARGATE", or Spot or CapacityProviders',
        ),
    ],
)
def test_a_default_strategy_of_another_kind(generating, knows, line, remedy):
    providers(a="MANAGED_INSTANCES")(generating)
    del generating.fargate["CapacityProviders"]
    if not knows:
        generating.faults.always["DescribeCapacityProviders"] = "code:400,AccessDeniedException"
    (cluster,) = generating.moto.ecs.describe_clusters(clusters=[generating.name])["clusters"]
    strategy = [{"capacityProvider": "a", "weight": 1, "base": 0}]
    answer = {"clusters": [cluster | {"defaultCapacityProviderStrategy": strategy}]}
    generating.faults.always["DescribeClusters"] = "body:" + json.dumps(answer | {"failures": []})
    assert_reported(generating, line, remedy)


def test_without_a_helper(generating):
    """Neither its port nor its image is needed."""
    generating.driver.settings["Helper"] |= {"Use": "never", "Image": "nowhere.invalid/none:1"}
    generating.fargate["HelperPort"] = 30001
    _, out, _ = generating.run()
    assert "no helper container: images need git and gitlab-runner" in out
    assert "30001" not in out and "nowhere.invalid/none" not in out


def test_privileged_jobs_on_managed_instances(generating):
    providers(a="MANAGED_INSTANCES", b="MANAGED_INSTANCES")(generating)
    set_up(Image="docker.io/x:1", PrivilegedImages=["docker:*"])(generating)
    _, out, _ = generating.run()
    assert "capacity provider 'b': ECS Managed Instances" in out
    assert "privileged jobs can control their instance" in out
    assert "not compatible" not in out, "every job has a definition of its own"


@pytest.mark.parametrize(
    "images, line, remedy",
    [
        (None, r"FAIL \[Helper\] AgentImage: image '.*' does not exist in", "push-agent"),
        (["arm64"], "FAIL .*AgentImage: image '.*' is built for linux/arm64", "push-agent"),
        (
            ["amd64"],
            r"ok \[Helper\] AgentImage: '.*' exists, for linux/amd64; jobs that ask for another",
            "both processors",
        ),
        (["amd64", "arm64"], "ok .*AgentImage: '.*' exists, for linux/amd64 and linux/arm64", ""),
    ],
)
def test_the_agents_image(generating, images, line, remedy):
    with RudeRegistry() as registry:
        if images:
            registry.put_index("agent", "1", [Image(name) for name in images])
        generating.driver.settings["Helper"] = {
            "AgentImage": f"{registry.host}/agent:1",
            "InsecureRegistries": [registry.host],
        }
        assert_reported(generating, line, remedy)


def test_images_for_another_processor_than_the_bases(generating):
    generating.define(runtimePlatform={"cpuArchitecture": "ARM64"})
    with RudeRegistry() as registry:
        registry.put_index("agent", "1", [Image("arm64")])
        registry.put_index("helper", "1", [Image("amd64")])
        generating.driver.settings["Helper"] = {
            "AgentImage": f"{registry.host}/agent:1",
            "Image": f"{registry.host}/helper:1",
            "InsecureRegistries": [registry.host],
        }
        code, out, _ = generating.run()
    assert code == 1
    assert "FAIL  [Helper] Image: image" in out and "is built for linux/amd64" in out
    assert "agent:1' exists, for linux/arm64" in out


def policy(place):
    """{Sid: statement} of --policy."""
    code, out, err = place.run("--policy")
    assert code == 0, err
    return {row["Sid"]: row for row in json.loads(out)["Statement"]}


def test_the_policy_names_providers(generating, place):
    before = policy(place)
    assert "AskProviders" not in before
    place.fargate["CapacityProviders"] = ["FARGATE:1", "FARGATE_SPOT"]
    assert policy(place) == before
    place.fargate["CapacityProviders"] = ["instances:1:2", "other"]
    more = policy(place)
    assert more.keys() - before.keys() == {"AskProviders"}
    assert more["AskProviders"]["Action"] == ["ecs:DescribeCapacityProviders"]
    ours = f"arn:aws:ecs:{REGION}:{ACCOUNT}:capacity-provider"
    assert more["AskProviders"]["Resource"] == [f"{ours}/instances", f"{ours}/other"]


def test_the_policy_grows_by_what_they_need(generating, place):
    ours = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/berth-*:*"
    found = policy(place)
    assert ours in found["Launch"]["Resource"]
    assert found["Generate"]["Resource"] == [ours]
    assert set(found["Generate"]["Action"]) == {
        "ecs:RegisterTaskDefinition",
        "ecs:DeleteTaskDefinitions",
    }
    assert "ecs:DeregisterTaskDefinition" in found["Generated"]["Action"]
    assert found["Generated"]["Resource"] == ["*"] and "TagGenerated" not in found
    place.fargate["PropagateTags"] = True
    assert policy(place)["TagGenerated"]["Condition"] == {
        "StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}
    }
    del place.fargate["AllowedImages"]
    assert not {"Generate", "Generated", "TagGenerated"} & policy(place).keys()


def test_the_policy_reads_the_log_group_of_jobs_and_services(generating, place):
    """Exactly where Berth reads it: with a stream prefix, or the group of the file."""

    def resources():
        code, out, err = place.run("--policy")
        assert code == 0, err
        rows = {row["Sid"]: row for row in json.loads(out)["Statement"]}
        return rows.get("ReadLogs", {"Resource": []})["Resource"]

    def log(driver, **options):
        options = {f"awslogs-{name}": value for name, value in options.items()}
        place.define(container={"logConfiguration": {"logDriver": driver, "options": options}})

    ours = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"
    log("awslogs", group="of-base")
    assert resources() == []
    log("awslogs", group="of-base", **{"stream-prefix": "x"})
    place.fargate["LogGroup"] = "ignored"
    assert resources() == [f"{ours}:of-base:log-stream:*"]
    del place.fargate["LogGroup"]
    without_base(place)
    assert resources() == []
    place.fargate["LogGroup"] = "/ci/jobs"
    assert resources() == [f"{ours}:/ci/jobs:log-stream:*"]


def test_the_price_of_warm_tasks(generating):
    """By their own size, else by that of the task definition, which is fetched already."""
    generating.driver.settings |= {
        "Price": {"VcpuHour": 0.05, "GibHour": 0.005},
        "Docker": {"CPUs": 8, "Memory": "16GiB"},  # of another backend
        "Warm": [
            {"Image": "docker.io/a:1", "Cpu": 512, "Memory": 1024, "Tasks": 1},
            {"Image": "docker.io/b:1", "Memory": 4096, "Tasks": 1},
            {"TaskDefinition": generating.name, "Tasks": 2},
            {"TaskDefinition": "another", "Cpu": 512, "Tasks": 1},
        ],
    }
    generating.driver.settings["Helper"]["Image"] = "nowhere.invalid/helper:1"
    _, out, _ = generating.run()
    for name, price in (
        ("docker.io/a:1", ", 21.90 per month on demand"),
        ("docker.io/b:1", ", 51.10 per month on demand"),
        (generating.name, ", 87.60 per month on demand"),
        ("another", "; the price is not known without Cpu and Memory"),
    ):
        line = rf"ok .*'{name}': [12].0 tasks on average, at most [12]{price}\n"
        assert re.search(line, out), out
