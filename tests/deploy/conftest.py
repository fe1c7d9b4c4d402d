# SPDX-License-Identifier: MIT
"""Stacks of the template, made once for the tests of this directory."""

import os
import platform
import subprocess

import pytest

from deploy.stack import BUSYBOX, STACKS, TOKEN, TOP, deploy, parameters, sha256
from support import home
from support.ecs_moto import Moto
from support.home import empty_home  # noqa: F401


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """An account; the managed policies of AWS exist, as in a real one."""
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    instance = Moto(tmp_path_factory.mktemp("moto"), STACKS)
    yield instance
    instance.stop()


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The bytes of the .rpm that './dev package' makes for this machine."""
    directory = tmp_path_factory.mktemp("dist")
    processor = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    done = subprocess.run(
        [TOP / "dev", "package", processor], capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": home.own(), "BERTH_DIST": str(directory)}, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = directory.glob("*.rpm")
    return path.read_bytes()


@pytest.fixture(scope="session")
def secret(moto):
    """The ARN of the runner's token."""
    client = moto.client("secretsmanager")
    return client.create_secret(Name="berth-runner-token", SecretString=TOKEN)["ARN"]


@pytest.fixture(scope="session")
def stack(moto, secret, tmp_path_factory):
    """The template with a network of its own and every option."""
    options = {
        "VpcEndpoints": "true", "MonthlyBudget": "50", "BudgetEmail": "ci@example.com",
        "BusyboxUrl": "https://packages.example/busybox?v=1", "BusyboxSha256": sha256(BUSYBOX),
    }  # fmt: skip
    home = tmp_path_factory.mktemp("deploy")
    return deploy(moto, "Berth-1", home, **parameters(secret, **options))


@pytest.fixture(scope="session")
def own_network(stack, secret, tmp_path_factory):
    """The template in an existing VPC, that of the other stack, without public addresses."""
    own = {
        "VpcId": stack.outputs["Vpc"],
        "SubnetIds": ",".join(reversed(stack.outputs["Subnets"].split(","))),
        "PublicAddresses": "false",
        "RouteTableIds": stack.id("Routes"),
        "InstanceType": "t3.small",
        "AllowedImages": "node:*,r.example/**",
        "Spot": "true",
        "Concurrent": "20",
    }
    home = tmp_path_factory.mktemp("deploy")
    return deploy(stack.moto, "Berth-2", home, **parameters(secret, **own))
