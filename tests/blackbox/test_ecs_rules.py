# SPDX-License-Identifier: MIT
"""Checks what the stand-in for ECS refuses and fills in, with AWS's own client (ecs_rules.py,
ecs_definitions.py). The answers' shapes are checked against botocore's model by the stand-in."""

import copy
import threading

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support import cfn, ecs_definitions, ecs_rules
from support.ecs_skeleton import HELPER, INJECT, JOB, ecs_client, skeleton

ROLE = "arn:aws:iam::123456789012:role/execution"


@pytest.fixture
def client(cloud):
    """Does not repeat what was refused."""
    cloud.definitions.register_s = 0
    return ecs_client(cloud, config=Config(retries={"total_max_attempts": 1}))


def refused(act, *words, **request):
    """(code, message) of a call that is refused."""
    with pytest.raises(ClientError) as caught:
        act(*words, **request)
    error = caught.value.response["Error"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Code"], error["Message"]


def run(cloud, client, definition, **more):
    network = {"subnets": [cloud.subnets[0]], "securityGroups": [cloud.group]}
    request = {
        "cluster": cloud.cluster,
        "taskDefinition": definition,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": network},
    }
    return client.run_task(**(request | more))


def container(which=JOB, **more):
    """A change of one container of the skeleton."""

    def change(definition):
        (found,) = [c for c in definition["containerDefinitions"] if c["name"] == which]
        found |= more

    return change


def task(**more):
    return lambda definition: definition.update(more)


def linux(**more):
    return container(linuxParameters=more)


def log(driver="awslogs", **options):
    return container(logConfiguration={"logDriver": driver, "options": options})


def depends(on, condition):
    return container(dependsOn=[{"containerName": on, "condition": condition}])


def more_containers(definition):
    extra = [{"name": f"more-{n}", "image": "x", "essential": False} for n in range(8)]
    definition["containerDefinitions"] += extra


def none_essential(definition):
    for row in definition["containerDefinitions"]:
        row["essential"] = False


def cycle(definition):
    container(INJECT, dependsOn=[{"containerName": JOB, "condition": "START"}])(definition)


LONG = [{"name": "LONG", "value": "x" * 66000}]
AWSLOGS = {"awslogs-group": "g", "awslogs-region": "r", "awslogs-stream-prefix": "p"}
DUPLICATE = {
    "environment": [{"name": "A", "value": "b"}],
    "secrets": [{"name": "A", "valueFrom": "x"}],
}
HEALTH = {"command": ["CMD", "true"], "interval": 2}
PORTS = [{"containerPort": 80, "hostPort": 81}]
REFUSED = {
    "family": (task(family="a b"), "Family"),
    "long": (container(environment=LONG), r"Actual length: '\d+'. Max allowed length is '65536'"),
    "eleven containers": (more_containers, "Too many containers"),
    "no containers": (task(containerDefinitions=[]), "empty"),
    "none essential": (none_essential, "essential"),
    "container name": (container(name="a b"), "a b"),
    "two of a name": (container(name=HELPER), "unique"),
    "volume name": (task(volumes=[{"name": "a b"}]), "a b"),
    "two volumes of a name": (task(volumes=[{"name": "berth"}, {"name": "berth"}]), "unique"),
    "no image": (container(image=""), "image should not be null or empty"),
    "long image": (container(image="x" * 256), "255 characters"),
    "unknown dependsOn": (depends("absent", "START"), "Cannot depend on"),
    "unknown condition": (depends(INJECT, "DONE"), "DONE"),
    "SUCCESS of an essential one": (depends(HELPER, "SUCCESS"), "cannot be an essential container"),
    "COMPLETE of an essential one": (depends(HELPER, "COMPLETE"), "cannot be an essential"),
    "HEALTHY without a check": (depends(HELPER, "HEALTHY"), "health check"),
    "cycle": (cycle, "cycle"),
    "unknown volume": (task(volumes=[{"name": "berth"}]), "Unknown volume 'builds'"),
    "relative mount": (
        container(mountPoints=[{"sourceVolume": "berth", "containerPath": "x"}]), "container path"
    ),
    "unknown volumesFrom": (container(volumesFrom=[{"sourceContainer": "x"}]), "Unknown container"),
    "secret and variable": (container(**DUPLICATE), "secret name must be unique"),
    "startTimeout": (container(startTimeout=121), "startTimeout"),
    "stopTimeout": (container(stopTimeout=300), "stopTimeout"),
    "health check": (container(healthCheck=HEALTH), "interval"),
    "restart": (
        container(restartPolicy={"enabled": True, "restartAttemptPeriod": 10}), "restartAttempt"
    ),
    "storage": (task(ephemeralStorage={"sizeInGiB": 20}), "ephemeral"),
    "network mode": (task(networkMode="bridge"), "network mode"),
    "cpu and memory": (task(cpu="256", memory="4096"), "No Fargate configuration exists"),
    "32 vCPU": (task(cpu="32768", memory="65536"), "No Fargate configuration exists"),
    "ipcMode": (task(ipcMode="task"), "do not support ipcMode"),
    "pidMode": (task(pidMode="host"), "pidMode"),
    "placement": (task(placementConstraints=[{"type": "memberOf"}]), "placementConstraints"),
    "host volume": (
        task(volumes=[{"name": "berth", "host": {"sourcePath": "/"}}, {"name": "builds"}]),
        "host.sourcePath",
    ),
    "docker volume": (
        task(volumes=[
            {"name": "berth", "dockerVolumeConfiguration": {"scope": "task"}}, {"name": "builds"}
        ]),
        "dockerVolumeConfiguration",
    ),
    "privileged": (container(privileged=True), "privileged"),
    "extraHosts": (
        container(extraHosts=[{"hostname": "db", "ipAddress": "127.0.0.1"}]), "extraHosts"
    ),
    "links": (container(links=["a"]), "links"),
    "hostname": (container(hostname="h"), "hostname"),
    "dns": (container(dnsServers=["1.1.1.1"]), "dnsServers"),
    "search": (container(dnsSearchDomains=["x"]), "dnsSearchDomains"),
    "security": (container(dockerSecurityOptions=["no-new-privileges"]), "dockerSecurityOptions"),
    "no network": (container(disableNetworking=True), "disableNetworking"),
    "gpu": (container(resourceRequirements=[{"type": "GPU", "value": "1"}]), "resourceRequirement"),
    "devices": (linux(devices=[{"hostPath": "/dev/kvm"}]), "devices"),
    "shm": (linux(sharedMemorySize=1024), "sharedMemorySize"),
    "tmpfs": (linux(tmpfs=[{"containerPath": "/t", "size": 1}]), "tmpfs"),
    "swap": (linux(maxSwap=0), "maxSwap"),
    "swappiness": (linux(swappiness=60), "swappiness"),
    "capability": (linux(capabilities={"add": ["NET_ADMIN"]}), "SYS_PTRACE"),
    "ports": (container(portMappings=PORTS), "must match"),
    "log driver": (log("json-file"), "json-file"),
    "log options": (log(**{"awslogs-group": "g"}), "awslogs requires options"),
    "container cpu": (container(cpu=512), "'cpu'"),
    "container memory": (container(memory=1024), "'memory'"),
    "role for logs": (log(**AWSLOGS), "execution role ARN to support log driver awslogs"),
    "role for ECR": (
        container(image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/x:1"), "support ECR images"
    ),
    "role for secrets": (container(secrets=[{"name": "S", "valueFrom": "x"}]), "executionRoleArn"),
    "role for logins": (
        container(repositoryCredentials={"credentialsParameter": "arn"}), "private registry"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_definition_that_is_refused(cloud, client, name):
    change, wanted = REFUSED[name]
    definition = skeleton()
    change(definition)
    code, message = refused(client.register_task_definition, **definition)
    assert code == "ClientException"
    assert ecs_rules.re.search(wanted, message), message
    assert cloud.definitions.all() == []


@pytest.mark.parametrize(
    "tags, wanted",
    [
        ([{"key": f"k{n}", "value": "v"} for n in range(51)], "Too many"),
        ([{"key": "aws:x", "value": "v"}], "aws:"),
        ([{"key": "k", "value": "v" * 257}], "length"),
        ([{"key": "k", "value": "v"}] * 2, "Duplicate"),
    ],
)
def test_tags_that_are_refused(client, tags, wanted):
    code, message = refused(client.register_task_definition, **skeleton(tags=tags))
    assert code == "InvalidParameterException" and wanted in message


@pytest.mark.parametrize(
    "change",
    [
        linux(capabilities={"add": ["SYS_PTRACE"], "drop": ["ALL"]}, initProcessEnabled=True),
        task(cpu="1 vCPU", memory="8 GB"),
        task(cpu="16384", memory="122880", pidMode="task", ephemeralStorage={"sizeInGiB": 200}),
        task(executionRoleArn=ROLE, runtimePlatform={"cpuArchitecture": "ARM64"}),
        container(cpu=256, memoryReservation=512, readonlyRootFilesystem=True, stopTimeout=120),
        container(user="1000:1000", workingDirectory="/x", interactive=True),
    ],
)
def test_a_definition_that_is_accepted(cloud, client, change):
    definition = skeleton()
    change(definition)
    client.register_task_definition(**definition)
    assert cloud.definitions.registered == [definition]


def test_privileged_on_managed_instances(client):
    definition = skeleton(requiresCompatibilities=["MANAGED_INSTANCES"])
    container(privileged=True)(definition)
    client.register_task_definition(**definition)


def test_what_is_read_back(client):
    definition = skeleton(tags=[{"key": "berth:hash", "value": "1"}], executionRoleArn=ROLE)
    variables = [{"name": name, "value": "v"} for name in "ABC"]
    container(environment=variables, portMappings=[{"containerPort": 80}])(definition)
    sent = copy.deepcopy(definition)
    answer = client.register_task_definition(**definition)
    assert answer["tags"] == sent["tags"]
    arn = answer["taskDefinition"]["taskDefinitionArn"]
    described = client.describe_task_definition(taskDefinition="berth-test")
    assert not described.get("tags")
    described = client.describe_task_definition(taskDefinition=arn, include=["TAGS"])
    assert described["tags"] == sent["tags"]
    found = described["taskDefinition"]
    assert found == answer["taskDefinition"]
    assert found["revision"] == 1 and found["status"] == "ACTIVE" and found["registeredAt"]
    assert found["compatibilities"] == ["EC2", "FARGATE"] and found["placementConstraints"] == []
    job = found["containerDefinitions"][2]
    assert job["essential"] is True and job["cpu"] == 0 and job["volumesFrom"] == []
    assert job["portMappings"] == [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]
    assert job["environment"] == variables[::-1], "not in the order in which it was sent"
    assert found["volumes"] == [{"name": "berth", "host": {}}, {"name": "builds", "host": {}}]


def test_two_registrations_of_a_family_at_once(cloud, client):
    cloud.definitions.wanted_collisions = 1
    answers = []

    def register(family):
        try:
            client.register_task_definition(**skeleton(family))
            answers.append("")
        except ClientError as problem:
            answers.append(problem.response["Error"]["Message"])

    threads = [threading.Thread(target=register, args=(f,)) for f in ("a", "a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = "Too many concurrent attempts to create a new revision of the specified family."
    assert sorted(answers) == ["", "", text]
    assert cloud.definitions.collisions == 1


def test_a_new_definition_is_not_known_at_once(cloud, client):
    cloud.image = ""
    cloud.definitions.lag_s = 3600
    arn = client.register_task_definition(**skeleton())["taskDefinition"]["taskDefinitionArn"]
    assert refused(run, cloud, client, arn) == ecs_definitions.NOT_FOUND
    cloud.definitions.lag_answer = ecs_definitions.INACTIVE
    assert refused(run, cloud, client, arn) == ecs_definitions.INACTIVE
    describe = client.describe_task_definition
    assert refused(describe, taskDefinition="berth-test") == ecs_definitions.UNKNOWN

    def known():
        try:
            return describe(taskDefinition="berth-test")["taskDefinition"]["taskDefinitionArn"]
        except ClientError:
            return None

    assert known() is None
    cloud.definitions.end_lag()
    assert known() == arn


def test_an_inactive_definition(cloud, client, until):
    cloud.containers.check()
    cloud.containers.images.add_agent("example/agent:1")
    arns = [
        client.register_task_definition(**skeleton())["taskDefinition"]["taskDefinitionArn"]
        for _ in range(2)
    ]
    assert (
        refused(client.deregister_task_definition, taskDefinition="berth-test")[1]
        == "Missing revision"
    )
    failures = client.delete_task_definitions(taskDefinitions=[arns[1], arns[1] + "9"])["failures"]
    assert "ACTIVE" in failures[0]["reason"] and failures[1]["reason"] == "MISSING"
    found = client.deregister_task_definition(taskDefinition=arns[1])["taskDefinition"]
    assert found["status"] == "INACTIVE" and found["deregisteredAt"]
    assert refused(run, cloud, client, arns[1]) == ecs_definitions.INACTIVE
    found = client.describe_task_definition(taskDefinition="berth-test")["taskDefinition"]
    assert found["revision"] == 1, "the latest active one"
    client.deregister_task_definition(taskDefinition=arns[0])
    describe = client.describe_task_definition
    assert refused(describe, taskDefinition="berth-test") == ecs_definitions.UNKNOWN
    assert describe(taskDefinition=arns[0])["taskDefinition"]["status"] == "INACTIVE"
    answer = client.delete_task_definitions(taskDefinitions=arns)
    assert [d["status"] for d in answer["taskDefinitions"]] == ["DELETE_IN_PROGRESS"] * 2
    assert refused(describe, taskDefinition=arns[0]) == ecs_definitions.UNKNOWN
    found = client.register_task_definition(**skeleton())["taskDefinition"]
    assert found["revision"] == 3, "numbers go on"
    assert (
        refused(client.delete_task_definitions, taskDefinitions=arns * 6)[0]
        == "InvalidParameterException"
    )


def test_a_deregistered_definition_may_still_run_for_a_while(cloud, client, until):
    cloud.containers.check()
    cloud.definitions.inactive_s = 600
    cloud.provisioning_s = 600
    arn = cloud.definitions.define(**skeleton())
    client.deregister_task_definition(taskDefinition=arn)
    task = run(cloud, client, arn)["tasks"][0]["taskArn"]
    client.delete_task_definitions(taskDefinitions=[arn])
    found = client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    assert found["status"] == "DELETE_IN_PROGRESS", "as long as its task runs"
    cloud.tasks[task].stop("UserInitiated", "stopped")
    until(lambda: cloud.tasks[task].status == "STOPPED")
    with pytest.raises(ClientError, match="Unable to describe"):
        client.describe_task_definition(taskDefinition=arn)


def test_lists(cloud, client):
    for n in range(103):
        cloud.definitions.define(**skeleton(f"berth-{n:03}"))
    cloud.definitions.define(**skeleton("berth-000"))
    cloud.definitions.define(**skeleton("other"))
    pages = client.get_paginator("list_task_definition_families").paginate(familyPrefix="berth-")
    assert [len(page["families"]) for page in pages] == [100, 3]
    assert client.list_task_definitions(familyPrefix="berth-0")["taskDefinitionArns"] == []
    arns = client.list_task_definitions(familyPrefix="berth-000")["taskDefinitionArns"]
    assert [arn.rpartition(":")[2] for arn in arns] == ["1", "2"]
    client.deregister_task_definition(taskDefinition="other:1")

    def families(status):
        return client.list_task_definition_families(familyPrefix="oth", status=status)["families"]

    assert (families("ACTIVE"), families("INACTIVE"), families("ALL")) == ([], ["other"], ["other"])


OTHER = {"containerOverrides": [{"name": "absent", "environment": []}]}
TWICE = {"containerOverrides": [{"name": JOB}, {"name": JOB}]}
BIG = {"containerOverrides": [{"name": JOB, "environment": [{"name": "A", "value": "é" * 8150}]}]}


@pytest.mark.parametrize(
    "request_of_task, wanted",
    [
        ({"overrides": BIG}, "Container Overrides length must be at most 8192"),
        ({"overrides": OTHER}, "Override for container named absent is not a container"),
        ({"overrides": TWICE}, "more than one override"),
        ({"overrides": {"cpu": "256", "memory": "8192"}}, "No Fargate configuration exists"),
        ({"overrides": {"ephemeralStorage": {"sizeInGiB": 10}}}, "ephemeral"),
        ({"launchType": "EC2"}, "does not support launch_type EC2"),
        ({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}, "both a launch type"),
        ({"count": 11}, "count"),
        ({"clientToken": "t" * 65}, "clientToken"),
        ({"networkConfiguration": {}}, "Network Configuration must be provided"),
    ],
)
def test_a_run_that_is_refused(cloud, client, request_of_task, wanted):
    arn = cloud.definitions.define(**skeleton())
    code, message = refused(run, cloud, client, arn, **request_of_task)
    assert code == "InvalidParameterException" and wanted in message
    assert cloud.tasks == {}


def test_the_longest_overrides_are_accepted(cloud, client):
    cloud.containers.check()
    arn = cloud.definitions.define(**skeleton())
    row = {"name": JOB, "environment": [{"name": "A", "value": ""}]}
    spare = ecs_rules.OVERRIDES - ecs_rules.json_length({"containerOverrides": [row]})
    row["environment"][0]["value"] = "é" * spare
    run(cloud, client, arn, overrides={"containerOverrides": [row]})


def test_the_token_makes_a_run_idempotent(cloud, client):
    cloud.containers.check()
    arn = cloud.definitions.define(**skeleton())
    first, again, other = (
        run(cloud, client, arn, clientToken=token)["tasks"][0]["taskArn"] for token in "aab"
    )
    assert first == again != other and len(cloud.tasks) == 2
    code, _ = refused(run, cloud, client, arn, clientToken="a", startedBy="me")
    assert code == "ConflictException"


@pytest.mark.parametrize(
    "bucket, burst, act",
    [
        ("register", 20, lambda c, n: c.register_task_definition(**skeleton(f"f{n}"))),
        ("definitions", 50, lambda c, n: c.list_task_definitions(familyPrefix="berth-test")),
        ("delete", 5, lambda c, n: c.delete_task_definitions(taskDefinitions=["x:1"])),
        ("tasks", 100, lambda c, n: c.list_tasks(cluster="nowhere")),
    ],
)
def test_rates(cloud, client, bucket, burst, act):
    now = [0.0]
    cloud.buckets = ecs_definitions.Buckets(lambda: now[0])
    cloud.definitions.define(**skeleton())
    refill = ecs_definitions.RATES[bucket][2]

    def calls(count, start=0):
        for n in range(start, start + count):
            try:
                act(client, n)
            except ClientError as problem:
                if problem.response["Error"]["Code"] == "ThrottlingException":
                    return n - start
        return count

    assert calls(burst + 1) == burst
    now[0] += 1
    assert calls(refill + 1, burst) == refill
    assert len(cloud.buckets.throttled) == 2


def test_cfn_lint_finds_nothing_in_the_skeleton():
    logs = {"logDriver": "awslogs", "options": AWSLOGS}
    definition = skeleton(executionRoleArn=ROLE, tags=[{"key": "k", "value": "v"}])
    container(logConfiguration=logs)(definition)
    assert cfn.lint(skeleton(), definition) == []


def test_cfn_lint_finds_what_it_should():
    none = skeleton()
    none_essential(none)
    unknown = skeleton()
    container(entrypoint=["x"])(unknown)
    found = cfn.lint(skeleton(memory="8192"), none, unknown)
    assert {text.split()[0] for text in found} >= {"E3047", "E3042", "E3002"}, found
