# SPDX-License-Identifier: MIT
"""One run of the guide's commands against moto, which all tests of this directory look at."""

import os
import shutil
import sys
from pathlib import Path

# Read when moto is imported: the managed policies of AWS exist, as in a real account.
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

import boto3
import pytest
from moto.server import ThreadedMotoServer

from docs import guide

TOP = Path(__file__).resolve().parents[2]
DRIVER = Path(os.environ.get("BERTH_BIN", TOP / "build/release/bin")) / "berth-driver"
CLEANING_UP = "13. Cleaning up"
REGION = "ap-northeast-1"


@pytest.fixture(scope="session")
def english():
    return guide.Guide(TOP / "docs/fargate.md")


@pytest.fixture(scope="session")
def japanese():
    return guide.Guide(TOP / "docs/fargate.ja.md")


@pytest.fixture(scope="session")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def account(english, endpoint, tmp_path_factory):
    """The account after the guide's commands up to the cleaning up, in a terminal of its own."""
    found = Account(english, endpoint, tmp_path_factory.mktemp("guide"))
    shutil.copytree(DRIVER.parent, found.directory / "build/release/bin", symlinks=False)
    found.run([b for b in english.blocks if b.runs and b.heading != CLEANING_UP])
    return found


class Account:
    def __init__(self, english, endpoint, directory):
        self.guide, self.endpoint, self.directory = english, endpoint, directory
        self.environment = guide.environment(directory, endpoint, Path(sys.executable).parent)

    def run(self, blocks):
        done = guide.run(blocks, self.directory, self.environment, timeout_s=600)
        assert done.returncode == 0, done.stderr

    def output_of(self, block):
        return (self.directory / f"line-{block.line}.out").read_text()

    def names(self):
        """What the guide's 'keep' has remembered."""
        lines = (self.directory / "berth-guide.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line[:1].isupper() and "=" in line)

    def client(self, service):
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="example",
        )
