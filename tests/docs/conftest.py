# SPDX-License-Identifier: MIT
"""Accounts that the guide's commands made in moto, shared by all tests of this directory."""

import os
import re
import shutil
from pathlib import Path

import pytest

from docs import guide
from docs.aws_server import AwsServer
from support.ecs import Moto
from support.home import empty_home  # noqa: F401

TOP = Path(__file__).resolve().parents[2]
DRIVER = Path(os.environ.get("BERTH_BIN", TOP / "build/release/bin")) / "berth-driver"
UNINSTALL = "11. Uninstall"
PRIVATE = ("3c.", "4a.")
TEMPLATE = "1. "
REGION = "ap-northeast-1"
# Options that a user may have: no file is overwritten, no unset name is read.
STRICT = "set -C -u\n"
# What the account of zsh has instead of the guide's names.
OTHER_NAMES = {
    "ap-northeast-1": "us-east-1",
    "gitlab-runner-dev": "zsh-ci",
    "ruby330-node16181-runner": "zsh-family",
    "ruby3.3.0-node16.18.1-runner": "zsh-image",
    "berth-agent": "zsh-agent",
    "ci-coordinator": "zsh-container",
}


@pytest.fixture(scope="session")
def english():
    return guide.Guide(TOP / "docs/fargate.md")


@pytest.fixture(scope="session")
def japanese():
    return guide.Guide(TOP / "docs/fargate.ja.md")


@pytest.fixture(scope="session")
def english_errors():
    return guide.Guide(TOP / "docs/troubleshooting.md")


@pytest.fixture(scope="session")
def japanese_errors():
    return guide.Guide(TOP / "docs/troubleshooting.ja.md")


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    # The managed policies of AWS exist, as in a real account.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    instance = Moto(tmp_path_factory.mktemp("moto"))
    yield instance
    instance.stop()


@pytest.fixture(scope="session")
def aws(tmp_path_factory):
    instance = AwsServer(tmp_path_factory.mktemp("aws"))
    yield instance
    instance.stop()


@pytest.fixture(scope="session")
def account(english, moto, aws, tmp_path_factory):
    """The guide's commands by hand, pasted into bash: a new VPC with public subnets."""
    found = Account(english, moto, aws, tmp_path_factory.mktemp("guide"), "bash")
    found.paste([b for b in found.by_hand() if not b.heading.startswith(PRIVATE)])
    return found


@pytest.fixture(scope="session")
def cleaned_account(account):
    """The account after the remaining commands in a new terminal."""
    account.made = account.names()
    account.paste(account.blocks_of(UNINSTALL))
    return account


@pytest.fixture(scope="session")
def private_account(english, moto, aws, tmp_path_factory):
    """The same with private subnets, in zsh, with other names and another region."""
    found = Account(english, moto, aws, tmp_path_factory.mktemp("zsh"), "zsh", OTHER_NAMES)
    found.paste(found.by_hand(), before=STRICT)
    return found


def pytest_collection_modifyitems(items):
    """Tests of the cleaned account run last: it removes what the others check."""
    items.sort(key=lambda item: "cleaned_account" in item.fixturenames)


class Account:
    def __init__(self, english, moto, aws, directory, shell, renamed=None):
        self.guide, self.moto, self.directory, self.shell = english, moto, directory, shell
        self.renamed = renamed or {}
        self.region = self.renamed.get(REGION, REGION)
        home = directory.with_name(directory.name + "-home")
        home.mkdir()
        self.environment = guide.environment(home, moto.url, aws.programs)
        self.made = {}
        (directory / "deploy").symlink_to(TOP / "deploy")
        shutil.copytree(DRIVER.parent, directory / "build/release/bin")

    def client(self, service):
        return self.moto.client(service, self.region)

    def by_hand(self):
        """The blocks of the steps by hand, up to the uninstallation."""
        return [
            self._rename(b)
            for b in self.guide.blocks
            if b.runs and b.heading != UNINSTALL and not b.heading.startswith(TEMPLATE)
        ]

    def blocks_of(self, heading):
        found = [b for b in self.guide.blocks if b.runs and b.heading == heading]
        assert found, heading
        return found

    def _rename(self, block):
        """The names are in the block that writes them, and nowhere else."""
        if "cat >berth-guide.env" not in block.text:
            return block
        text = block.text
        for old, new in self.renamed.items():
            assert old in text
            text = re.sub(rf"=({re.escape(old)})$", f"={new}", text, flags=re.M)
            text = text.replace(f"={old} ", f"={new} ")
        return guide.Block(block.language, text, block.line, block.heading, block.not_run)

    def paste(self, blocks, before=""):
        return guide.paste(blocks, self.shell, self.directory, self.environment, before)

    def output_of(self, block):
        return (self.directory / f"line-{block.line}.out").read_text()

    def names(self):
        """The variables that a block has."""
        found = {}
        for name in ("berth-guide.env", "berth-guide.ids"):
            for line in (self.directory / name).read_text().splitlines():
                variable, _, value = line.removeprefix("export ").partition("=")
                found[variable] = value.strip("'").replace("$CLUSTER", found.get("CLUSTER", ""))
        return found
