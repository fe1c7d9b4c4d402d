# SPDX-License-Identifier: MIT
"""A job with the guide's account and files: moto replaces AWS, the agent the image."""

import getpass
import json
import re

import pytest

from docs.conftest import DRIVER
from support.driver import Driver, Job
from support.ecs import Cloud
from support.waiting import until

pytestmark = pytest.mark.timeout(1500)


class GuideCloud(Cloud):
    """Tasks for the cluster that the guide creates."""

    def __init__(self, account, directory):
        self.names, self.directory_of_guide = account.names(), account.directory
        super().__init__(account.moto, directory, str(DRIVER.parent / "berth-agent"))

    def _make_cluster(self):
        self.cluster = self.names["CLUSTER"]
        self.subnets = [self.names["SUBNET_A"], self.names["SUBNET_B"]]
        self.group = self.names["TASK_GROUP"]
        self._repeat_task_definition()

    def _repeat_task_definition(self):
        """moto's RunTask fails for a container without memory, which Fargate accepts."""
        text = json.loads((self.directory_of_guide / "task-definition.json").read_text())
        text["containerDefinitions"][0]["memoryReservation"] = 128
        self.moto.ecs.register_task_definition(**text)


class GuideDriver(Driver):
    """The driver with the guide's file, adapted to this machine."""

    def __init__(self, account, cloud, directory):
        super().__init__(DRIVER, directory)
        text = (account.directory / "fargate.toml").read_text()
        for before, here in (
            ('"/var/lib/berth/metadata"', f'"{self.metadata}"'),
            ("Port = 22", f"Port = {cloud.ssh_port}"),
            ('"root"', f'"{getpass.getuser()}"'),
        ):
            assert before in text
            text = text.replace(before, here)
        self.file = directory / "fargate.toml"
        self.file.write_text(text)

    def config(self):
        return self.file


@pytest.fixture
def cloud(account, tmp_path):
    directory = tmp_path / "cloud"
    directory.mkdir()
    instance = GuideCloud(account, directory)
    yield instance
    assert instance.stop() == []


@pytest.fixture
def job(account, cloud, tmp_path):
    driver = GuideDriver(account, cloud, tmp_path)
    instance = Job(driver, tmp_path)
    instance.env |= cloud.environment()
    yield instance
    done = instance.stage("cleanup")
    driver.stop_all()
    assert done.returncode == 0, done.stderr
    assert cloud.running() == []


def test_first_job_is_green(account, cloud, job):
    prepared = job.stage("prepare")
    assert (prepared.returncode, prepared.stderr) == (0, "")
    yaml = account.guide.block("ruby --version", "yaml").text
    (echo,) = re.findall(r"^    - (echo .*)$", yaml, re.M)
    done = job.run(f"set -e\n{echo}\n")
    assert (done.returncode, done.stdout) == (0, b"It works!\n"), done.stderr
    (request,) = cloud.requests("RunTask")
    network = request["networkConfiguration"]["awsvpcConfiguration"]
    assert network["subnets"][0] in cloud.subnets
    assert network["securityGroups"] == [cloud.group]
    assert network["assignPublicIp"] == "ENABLED"
    assert request["taskDefinition"] == "ruby330-node16181-runner"


def test_ps_shows_the_job(job):
    job.prepare()

    def shown():
        done = job.driver.run("ps", env=job.env)
        assert done.returncode == 0, done.stderr
        assert b"job-4711-" in done.stdout
        return b"RUNNING" in done.stdout

    # The login works as soon as there is an address, before ECS calls the task running.
    until(shown, 60, "a running task")


def test_the_driver_needs_no_call_that_the_policy_does_not_allow(account, cloud, job):
    """The calls of a whole job, of ps and of gc, against the host's policy."""
    job.prepare()
    assert job.run("true\n").returncode == 0
    for command in ("ps", "gc"):
        assert job.driver.run(command, env=job.env).returncode == 0
    assert job.stage("cleanup").returncode == 0
    document = account.client("iam").get_role_policy(
        RoleName="gitlab-runner-dev-host", PolicyName="berth-driver"
    )["PolicyDocument"]
    allowed = {
        action
        for statement in document["Statement"]
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }
    for operation in {name for name, _ in cloud.calls}:
        assert f"ecs:{operation}" in allowed, operation
    assert {"ecs:RunTask", "ecs:StopTask"} <= allowed
