# SPDX-License-Identifier: MIT
"""Faults of AWS: refusals, missing capacity, no answers, tasks that stop."""

import collections
import json
import re
import time

import pytest

from support.aws_faults import BOMB
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.ecs_requests import Fault, refusal, throttled

CAPACITY = [{"reason": "Capacity is unavailable at this time. Please try again later"}]
QUOTA = [{"reason": "You've reached the limit on the number of vCPUs you can run concurrently"}]


def subnet(request):
    return request["networkConfiguration"]["awsvpcConfiguration"]["subnets"]


def provider(request):
    return [row["capacityProvider"] for row in request.get("capacityProviderStrategy", [])]


def said_twice(text):
    """Parts that occur more than once in a message, except addresses and names."""
    parts = re.split(r"[;:] |\n", text)
    counts = collections.Counter(part.strip(" ()") for part in parts)
    return [part for part, count in counts.items() if count > 1 and len(part.split()) > 3]


def prepare(ecs_job, code=0):
    done = ecs_job.stage("prepare")
    assert done.returncode == code, done.stderr
    if code != 0:
        assert not said_twice(done.stderr), done.stderr
    return done


# --- RunTask starts nothing


@pytest.mark.parametrize("reason", [CAPACITY[0]["reason"], "RESOURCE:ENI", "RESOURCE:MEMORY"])
def test_no_capacity_in_one_subnet_is_the_next_ones_turn_at_once(ecs_job, cloud, reason):
    ecs_job.fargate["Subnets"] = cloud.subnets
    cloud.faults.append(Fault("RunTask", failures=[{"reason": reason}]))
    done = prepare(ecs_job)
    before, after = [at for at, name in cloud.times if name == "RunTask"]
    assert after - before < 3
    first, second = cloud.requests("RunTask")
    assert sorted(subnet(first) + subnet(second)) == sorted(cloud.subnets)
    assert first["clientToken"] != second["clientToken"], "another request is another token"
    assert reason in done.stderr and "next" in done.stderr


@pytest.mark.parametrize("count", [1, 2])
def test_no_capacity_as_an_error_is_no_fault_of_the_job(ecs_job, cloud, count):
    """AWS reports some shortages with status 400, as mistakes of the request."""
    ecs_job.fargate["Subnets"] = cloud.subnets[:count]
    body = refusal("ClientException", CAPACITY[0]["reason"])
    cloud.faults.append(Fault("RunTask", status=400, body=body, times=count))
    done = ecs_job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert cloud.count("RunTask") == count and "name more subnets" in done.stderr


def test_no_spot_capacity_is_on_demands_turn(ecs_job, cloud):
    ecs_job.fargate |= {"Subnets": cloud.subnets, "Spot": True}
    cloud.faults.append(Fault("RunTask", failures=CAPACITY, times=2))
    prepare(ecs_job)
    asked = [provider(request) for request in cloud.requests("RunTask")]
    assert asked == [["FARGATE_SPOT"], ["FARGATE_SPOT"], ["FARGATE"]]


def test_no_fallback_when_it_is_not_wanted(ecs_job, cloud):
    ecs_job.fargate |= {"Spot": True, "SpotFallback": False}
    cloud.faults.append(Fault("RunTask", failures=CAPACITY))
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert "SpotFallback = true" in done.stderr and cloud.count("RunTask") == 1


def test_a_task_that_stops_for_lack_of_addresses_is_the_next_subnets_turn(ecs_job, cloud, until):
    ecs_job.fargate["Subnets"] = cloud.subnets
    reason = "InsufficientFreeAddressesInSubnet: the subnet has no free addresses"
    cloud.start_failure = ("TaskFailedToStart", reason, "")
    process = ecs_job.driver.start("custom", "prepare", env=ecs_job.env)
    until(lambda: cloud.tasks, what="the first task")
    gate = cloud.hold("4711", "RunTask", "before")
    assert gate.reached.wait(100), "the next subnet's turn"
    cloud.start_failure = None
    gate.open.set()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert cloud.count("RunTask") == 2 and reason.encode() in err


@pytest.mark.parametrize(
    "fault, message, code",
    [
        (Fault(failures=QUOTA), "ask for a higher quota", BUILD_FAILURE),
        (Fault(failures=[{"reason": "MOON", "detail": "full"}]), "MOON: full", SYSTEM_FAILURE),
        (Fault(failures=[]), "neither a task nor a failure", SYSTEM_FAILURE),
        (
            Fault(status=400, body=refusal("ClusterNotFoundException", "Cluster not found.")),
            "check [Fargate] Cluster and Region",
            BUILD_FAILURE,
        ),
        (
            Fault(status=400, body=refusal("ClientException", "TaskDefinition not found.")),
            "check [Fargate] TaskDefinition",
            BUILD_FAILURE,
        ),
        (
            Fault(
                status=400,
                body=refusal(
                    "AccessDeniedException",
                    "User: arn:aws:iam::1:user/x is not authorized to perform: ecs:RunTask",
                ),
            ),
            "prints the policy that the runner needs",
            BUILD_FAILURE,
        ),
        (
            Fault(
                status=400,
                body=refusal(
                    "AccessDeniedException",
                    "User: arn:aws:iam::1:user/x is not authorized to perform: iam:PassRole",
                ),
            ),
            "allow the runner iam:PassRole",
            BUILD_FAILURE,
        ),
        (
            Fault(
                status=400,
                body=refusal(
                    "InvalidParameterException",
                    "Override for container named ci-coordinator is not a container in the "
                    "TaskDefinition.",
                ),
            ),
            "set [Fargate] ContainerName",
            BUILD_FAILURE,
        ),
    ],
    ids=["quota", "unknown", "nothing", "cluster", "definition", "denied", "role", "container"],
)
def test_refusals(ecs_job, cloud, fault, message, code):
    fault.operation = "RunTask"
    cloud.faults.append(fault)
    done = prepare(ecs_job, code)
    assert message in done.stderr
    assert cloud.count("RunTask") == 1
    assert cloud.count("ListTasks") == 0, "a clear answer needs no search for a task"


# --- calls that fail for a while


@pytest.mark.parametrize("operation", ["RunTask", "DescribeTasks"])
@pytest.mark.parametrize(
    "fault",
    [
        throttled(""),
        Fault(status=503, body={"message": "Service Unavailable"}),
        Fault(status=500, body=refusal("ServerException", "Service Unavailable. Try later.")),
        Fault(reset="before"),
        Fault(reset="after"),
    ],
    ids=["throttled", "503", "server exception", "reset", "reset after"],
)
def test_what_passes_is_tried_again(ecs_job, cloud, operation, fault):
    cloud.faults.append(Fault(**{**vars(fault), "operation": operation}))
    prepare(ecs_job)
    assert len(cloud.tasks) == 1, "never a second task"
    tokens = {request["clientToken"] for request in cloud.requests("RunTask")}
    assert len(tokens) == 1


STRANGE = {
    "half": b'{"tasks": [{"taskArn": "arn:aws:ecs',
    "deep": b"[" * 100_000,
    "bomb": BOMB.encode(),
    "huge": b'{"tasks": [], "x": "' + b"x" * (9 << 20) + b'"}',
}


@pytest.mark.parametrize("operation", ["RunTask", "DescribeTasks", "DescribeNetworkInterfaces"])
@pytest.mark.parametrize("name", STRANGE)
def test_answers_that_cannot_be_right(ecs_job, cloud, operation, name):
    """The next answer names the same task."""
    cloud.listen_public = True
    ecs_job.fargate |= {"EnablePublicIP": True, "UsePublicIP": True}
    cloud.faults.append(Fault(operation, raw=STRANGE[name]))
    final = name == "huge" and operation != "DescribeTasks"
    prepare(ecs_job, SYSTEM_FAILURE if final else 0)
    assert cloud.faults == [] and len(cloud.tasks) == 1
    assert len({request["clientToken"] for request in cloud.requests("RunTask")}) == 1
    assert cloud.count(operation) >= (1 if final else 2)
    assert len(cloud.running()) == (0 if final else 1)


@pytest.mark.parametrize("operation", ["RunTask", "DescribeTasks"])
def test_credentials_that_expired(ecs_job, cloud, operation):
    body = refusal("ExpiredTokenException", "The security token included in the request is expired")
    cloud.faults.append(Fault(operation, status=400, body=body))
    prepare(ecs_job)
    assert len(cloud.tasks) == 1 and cloud.count(operation) >= 2


def test_a_task_that_is_not_known_yet(ecs_job, cloud):
    cloud.faults.append(Fault("DescribeTasks", missing=True, times=2))
    prepare(ecs_job)
    assert cloud.count("DescribeTasks") >= 3


def test_a_skewed_clock(ecs_job, cloud):
    cloud.clock_skew_s = 3600
    body = refusal("InvalidSignatureException", "Signature expired: 20261124T000000Z is earlier")
    cloud.faults.append(Fault("RunTask", status=400, body=body))
    prepare(ecs_job)
    assert cloud.count("RunTask") == 2


def test_an_answer_that_never_comes_leaves_no_task(ecs_job, cloud):
    cloud.faults.append(Fault("RunTask", reset="after", times=20))
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert cloud.running() == [], done.stderr
    assert len(cloud.tasks) == 1 and cloud.count("ListTasks") >= 1


def test_no_answer(ecs_job, cloud, free_port):
    """One message, without a second one from cleanup; no request was sent, no metadata is left."""
    url = f"http://127.0.0.1:{free_port()}"
    ecs_job.env["AWS_ENDPOINT_URL"] = url
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert done.stderr.count(url) == 1 and done.stderr.count("\n") == 1, done.stderr
    assert ecs_job.metadata() is None
    ecs_job.env["AWS_ENDPOINT_URL"] = cloud.url


# --- tasks that stop


@pytest.mark.parametrize(
    "failure, hint",
    [
        (
            ("TaskFailedToStart", "CannotPullContainerError: pull image i/o timeout", ""),
            "the route from the subnet to the registry",
        ),
        (
            ("TaskFailedToStart", "ResourceInitializationError: unable to pull secrets", ""),
            "check the execution role",
        ),
        (("SomethingNew", "The moon was in the way", "and Venus"), "The moon was in the way (and"),
    ],
)
def test_a_task_that_never_starts_ends_the_wait(ecs_job, cloud, failure, hint):
    cloud.start_failure = failure
    started = time.monotonic()
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert failure[0] in done.stderr and failure[1] in done.stderr and hint in done.stderr
    assert time.monotonic() - started < 40


def test_an_image_that_does_not_exist_needs_no_second_try(ecs_job, cloud):
    reason = "CannotPullContainerError: ref pull: manifest unknown: not found"
    cloud.start_failure = ("TaskFailedToStart", reason, "")
    assert "check the image's name" in prepare(ecs_job, BUILD_FAILURE).stderr


def test_a_container_that_exits_at_once(ecs_job, cloud):
    cloud.agent_arguments = ["--no-such-option"]
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert "EssentialContainerExited" in done.stderr and "with exit code 2" in done.stderr


def test_running_and_yet_out_of_reach(ecs_job, cloud):
    cloud.image = ""
    ecs_job.driver.settings["SSH"]["ConnectTimeout"] = "1s"
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert "has been RUNNING for 1 s, but" in done.stderr
    assert "security group" in done.stderr and cloud.running() == []


def test_the_total_time_of_a_launch(ecs_job, cloud):
    cloud.provisioning_s = 60
    ecs_job.fargate["LaunchTimeout"] = "2s"
    started = time.monotonic()
    done = prepare(ecs_job, SYSTEM_FAILURE)
    assert time.monotonic() - started < 40
    assert "no address within [Fargate] LaunchTimeout" in done.stderr
    assert "'PROVISIONING'" in done.stderr


# --- cleanup


def test_cleanup_tries_again_and_names_the_task(ecs_job, cloud):
    prepare(ecs_job)
    (arn,) = cloud.running()
    cloud.faults.append(throttled("StopTask"))
    ecs_job.driver.settings["CleanupTimeout"] = "30s"
    assert ecs_job.stage("cleanup").returncode == 0 and cloud.running() == []
    ecs_job.stage("prepare")
    (arn,) = cloud.running()
    body = refusal("AccessDeniedException", "not authorized to perform: ecs:StopTask")
    cloud.faults.append(Fault("StopTask", status=400, body=body, times=5))
    done = ecs_job.stage("cleanup")
    assert done.returncode == SYSTEM_FAILURE or done.returncode == BUILD_FAILURE
    assert arn in done.stderr and ecs_job.metadata() is not None, "for another cleanup"


def test_cleanup_of_a_task_that_ecs_has_forgotten(ecs_job, cloud):
    prepare(ecs_job)
    (path,) = ecs_job.driver.metadata.glob("job-*.json")
    data = json.loads(path.read_text())
    arn = cloud.running()[0]
    data["state"]["arn"] = arn.rsplit("/", 1)[0] + "/" + "0" * 32
    path.write_text(json.dumps(data))
    assert ecs_job.stage("cleanup").returncode == 0
    cloud.moto.ecs.stop_task(cluster=cloud.cluster, task=arn)


def test_a_second_prepare_ends_what_the_first_left(ecs_job, cloud):
    prepare(ecs_job)
    (first,) = cloud.running()
    prepare(ecs_job)
    (second,) = cloud.running()
    assert first != second
