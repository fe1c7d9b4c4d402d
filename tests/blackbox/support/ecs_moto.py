# SPDX-License-Identifier: MIT
"""moto's server, and clients of it; the settings of a driver that talks to it or a stand-in."""

import getpass
import os
import socket
import subprocess
import sys
from pathlib import Path

import boto3
from botocore.config import Config

from support.ports import free_port
from support.waiting import until

REGION = "ap-northeast-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "test/secret/key"}
SERVER = Path(__file__).with_name("moto_server.py")


def driver_settings(cluster, subnet, group, family, ssh_port):
    """Of fargate.toml."""
    return {
        "Fargate": {
            "Cluster": cluster,
            "Region": REGION,
            "Subnet": subnet,
            "SecurityGroup": group,
            "TaskDefinition": family,
        },
        "SSH": {"Username": getpass.getuser(), "Port": ssh_port},
    }


def driver_environment(url):
    return {
        **KEYS,
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }


class Moto:
    """moto's server on a free port of loopback, for all tests of one process. program: another
    one than moto_server.py."""

    def __init__(self, directory, program=SERVER):
        self.port = free_port()
        self.log_path = directory / "moto.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, program, "-H", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "MOTO_ECS_NEW_ARN": "true"},
            )
        until(self._answers, 60, "moto's server")
        self.url = f"http://127.0.0.1:{self.port}"
        self.ecs = self.client("ecs")
        self.ec2 = self.client("ec2")

    def client(self, service, region=REGION):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(max_pool_connections=20),
        )

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"moto's server ended:\n{self.log_path.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
