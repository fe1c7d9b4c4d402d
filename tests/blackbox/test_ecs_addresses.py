# SPDX-License-Identifier: MIT
"""The address for SSH: the private one, the public one, or the one that answers."""

import subprocess
import time

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE, prepare
from support.ecs_requests import Fault, refusal
from support.keys import KeyPair

FIRST_TURN_S = 3


def asked_after_s(cloud):
    """Seconds from the first DescribeTasks to the first request for the public address."""
    seen = next(at for at, name in cloud.times if name == "DescribeTasks")
    return next(at for at, name in cloud.times if name == "DescribeNetworkInterfaces") - seen


def test_the_public_address(ecs_job, cloud):
    cloud.listen_public = True
    ecs_job.fargate |= {"EnablePublicIP": True, "UsePublicIP": True}
    done = prepare(ecs_job)
    assert cloud.task().public.encode() in done.stdout
    assert cloud.count("DescribeNetworkInterfaces") >= 1
    assert ecs_job.run("exit 3\n").returncode == BUILD_FAILURE


@pytest.mark.parametrize("use", [None, False])
def test_the_private_address_is_the_first(ecs_job, cloud, use):
    ecs_job.fargate |= {"EnablePublicIP": True} | ({} if use is None else {"UsePublicIP": use})
    prepare(ecs_job)
    assert ecs_job.metadata()["host"] == cloud.task().private
    assert cloud.count("DescribeNetworkInterfaces") == 0


def test_the_public_address_is_tried_too(ecs_job, cloud):
    """This host is outside the VPC, and UsePublicIP is not set."""
    cloud.listen_public = True
    ecs_job.fargate |= {"EnablePublicIP": True}
    begun = time.monotonic()
    done = prepare(ecs_job)
    assert time.monotonic() - begun < FIRST_TURN_S + 40
    assert asked_after_s(cloud) >= FIRST_TURN_S - 0.1
    assert cloud.task().public.encode() in done.stdout and done.stderr == ""
    assert ecs_job.metadata()["host"] == cloud.task().public, "for the other stages"
    assert ecs_job.run("exit 3\n").returncode == BUILD_FAILURE


@pytest.mark.waits
def test_an_address_that_answers_late_is_reached_at_once(ecs_job, cloud, until):
    """However long neither answers, no address has more than a second or two to itself."""
    cloud.listen_public = True
    cloud.pending_s = 7
    ecs_job.fargate |= {"EnablePublicIP": True}
    process = ecs_job.driver.start("custom", "prepare", env=ecs_job.env)
    until(lambda: cloud.tasks and cloud.task().process, 60)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert time.monotonic() - begun < 6
    assert ecs_job.metadata()["host"] == cloud.task().public
    assert cloud.count("DescribeNetworkInterfaces") == 1


def test_it_is_not_tried_when_the_file_forbids_it(ecs_job, cloud):
    cloud.listen_public = True
    ecs_job.fargate |= {"EnablePublicIP": True, "UsePublicIP": False, "LaunchTimeout": "6s"}
    prepare(ecs_job, SYSTEM_FAILURE)
    assert cloud.count("DescribeNetworkInterfaces") == 0


def test_a_missing_permission_is_a_warning(ecs_job, cloud):
    cloud.pending_s = FIRST_TURN_S + 2  # has its address, and does not listen yet
    ecs_job.fargate |= {"EnablePublicIP": True}
    body = refusal("UnauthorizedOperation", "You are not authorized to perform this operation.")
    cloud.faults.append(Fault("DescribeNetworkInterfaces", status=403, body=body, times=9))
    done = prepare(ecs_job)
    assert ecs_job.metadata()["host"] == cloud.task().private
    (line,) = done.stderr.splitlines()
    assert "warn" in line and "UnauthorizedOperation" in line and "UsePublicIP = false" in line
    assert cloud.count("DescribeNetworkInterfaces") == 1, "it is not asked again"


def test_a_stranger_at_the_private_address(ecs_job, cloud, until, programs):
    """A host of another network has the address: its answer does not end the job."""
    cloud.listen_public = True
    cloud.pending_s = 2
    ecs_job.fargate |= {"EnablePublicIP": True}
    process = ecs_job.driver.start("custom", "prepare", env=ecs_job.env)
    task = until(lambda: cloud.tasks and cloud.task())
    stranger = subprocess.Popen(
        [programs.agent, "--listen", f"{task.private}:{cloud.ssh_port}"],
        env={"SSH_PUBLIC_KEY": KeyPair().public},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        out, err = process.communicate(timeout=60)
    finally:
        stranger.kill()
        stranger.wait()
    assert process.returncode == 0, err
    assert ecs_job.metadata()["host"] == task.public and task.public.encode() in out
