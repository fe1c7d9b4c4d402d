# SPDX-License-Identifier: MIT
"""One run of the guide's commands against moto, shared by all tests of this directory."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from docs import guide
from support.ecs import Moto
from support.home import empty_home  # noqa: F401

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
    """The account after the guide's commands up to the cleaning up, run in one terminal."""
    found = Account(english, moto, tmp_path_factory.mktemp("guide"))
    shutil.copytree(DRIVER.parent, found.directory / "build/release/bin")
    found.run([b for b in english.blocks if b.runs and b.heading != CLEANING_UP])
    return found


@pytest.fixture(scope="session")
def cleaned_account(account):
    """The account after the remaining commands in a new terminal, with the names from before."""
    account.made = account.names()
    account.run([b for b in account.guide.blocks if b.runs and b.heading == CLEANING_UP])
    return account


def pytest_collection_modifyitems(items):
    """Tests of the cleaned account run last: it removes what the others check."""
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
        """The variables that the guide's 'keep' stored."""
        lines = (self.directory / "berth-guide.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line[:1].isupper() and "=" in line)
