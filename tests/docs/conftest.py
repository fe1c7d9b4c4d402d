# SPDX-License-Identifier: MIT
"""One run of the guide's commands against moto, which all tests of this directory look at."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from docs import guide
from support.ecs import Moto

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
def moto(tmp_path_factory):
    # The managed policies of AWS exist, as in a real account.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    instance = Moto(tmp_path_factory.mktemp("moto"))
    yield instance
    instance.stop()


@pytest.fixture(scope="session")
def account(english, moto, tmp_path_factory):
    """The account after the guide's commands up to the cleaning up, in a terminal of its own."""
    found = Account(english, moto, tmp_path_factory.mktemp("guide"))
    shutil.copytree(DRIVER.parent, found.directory / "build/release/bin")
    found.run([b for b in english.blocks if b.runs and b.heading != CLEANING_UP])
    return found


@pytest.fixture(scope="session")
def cleaned_account(account):
    """The account after the rest of the commands, in a new terminal; it has its old names."""
    account.made = account.names()
    account.run([b for b in account.guide.blocks if b.runs and b.heading == CLEANING_UP])
    return account


def pytest_collection_modifyitems(items):
    """What needs the cleaned account comes last: it ends what the others look at."""
    items.sort(key=lambda item: "cleaned_account" in item.fixturenames)


class Account:
    def __init__(self, english, moto, directory):
        self.guide, self.moto, self.directory = english, moto, directory
        self.client = moto.client
        self.environment = guide.environment(directory, moto.url, Path(sys.executable).parent)
        self.made = {}

    def run(self, blocks):
        done = guide.run(blocks, self.directory, self.environment, timeout_s=600)
        assert done.returncode == 0, done.stderr

    def output_of(self, block):
        return (self.directory / f"line-{block.line}.out").read_text()

    def names(self):
        """What the guide's 'keep' has remembered."""
        lines = (self.directory / "berth-guide.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line[:1].isupper() and "=" in line)
