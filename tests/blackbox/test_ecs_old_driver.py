# SPDX-License-Identifier: MIT
"""GitLab's Fargate driver, as a Go program with its library would do its work, against both images.

It makes an RSA key of 4096 bits, passes it in SSH_PUBLIC_KEY, polls until the task is RUNNING,
takes the first address among the attachments, accepts any host key, and sends each script as the
command of an exec request. (Our driver against both images: test_ecs_stages.py.)
"""

import getpass
import subprocess

import boto3
import pytest

from support.ecs import CONTAINER, FAMILY, KEYS, REGION
from support.interop import go_client

NETWORK = "awsvpcConfiguration"


@pytest.fixture
def rsa_key(tmp_path):
    path = tmp_path / "id_rsa"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "4096", "-m", "PEM", "-N", "", "-f", path]
    subprocess.run(command, check=True)
    return path


class OldDriver:
    def __init__(self, cloud, key):
        self.cloud, self.key = cloud, key
        self.ecs = boto3.client(
            "ecs",
            endpoint_url=cloud.url,
            region_name=REGION,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def prepare(self, until):
        public = self.key.with_suffix(".pub").read_text().strip()
        environment = [{"name": "SSH_PUBLIC_KEY", "value": public}]
        network = {"subnets": [self.cloud.subnets[0]], "securityGroups": [self.cloud.group]}
        answer = self.ecs.run_task(
            cluster=self.cloud.cluster,
            taskDefinition=FAMILY,
            launchType="FARGATE",
            platformVersion="LATEST",
            networkConfiguration={NETWORK: {**network, "assignPublicIp": "DISABLED"}},
            overrides={"containerOverrides": [{"name": CONTAINER, "environment": environment}]},
        )
        self.arn = answer["tasks"][0]["taskArn"]
        until(lambda: self._task()["lastStatus"] == "RUNNING")
        for attachment in self._task()["attachments"]:
            for detail in attachment["details"]:
                if detail["name"] == "privateIPv4Address":
                    self.address = f"{detail['value']}:{self.cloud.ssh_port}"

    def _task(self):
        return self.ecs.describe_tasks(cluster=self.cloud.cluster, tasks=[self.arn])["tasks"][0]

    def run(self, script):
        words = [self.address, getpass.getuser(), self.key, "", "", "", script]
        return subprocess.run([*go_client(), *words], capture_output=True, timeout=60, check=False)

    def cleanup(self):
        self.ecs.stop_task(cluster=self.cloud.cluster, task=self.arn)


@pytest.mark.parametrize("image", ["agent", "sshd"])
def test_a_job(cloud, rsa_key, until, image):
    cloud.image = image
    driver = OldDriver(cloud, rsa_key)
    driver.prepare(until)
    done = driver.run("set -eo pipefail\necho out\necho err >&2\nexit 7\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    padding = ": 'padding padding padding padding padding'\n" * 2500
    done = driver.run(f"{padding}echo end of {len(padding)} bytes\n")
    assert (done.returncode, done.stdout) == (0, f"end of {len(padding)} bytes\n".encode())
    driver.cleanup()
    until(lambda: cloud.task().status == "STOPPED")
    assert cloud.running() == []
