# SPDX-License-Identifier: MIT
"""A machine's configuration of AWS, and what the driver's AWS client makes of it."""

import json
import os
import subprocess
import sys

import botocore.exceptions
import botocore.session
import pytest

from support.aws_faults import AwsFaults
from support.metadata import Metadata

STS_ANSWER = (
    "body:<{0}Response><{0}Result><Credentials><AccessKeyId>ASIA{0}</AccessKeyId>"
    "<SecretAccessKey>secret-of-{0}</SecretAccessKey><SessionToken>token-of-{0}</SessionToken>"
    "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></{0}Result></{0}Response>"
)
KEYS = "aws_access_key_id = AKIA{0}\naws_secret_access_key = secret-of-{0}\n"
USAGE, BUILD = 1, 2
ENV_KEYS = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "secret-of-ENV"}
ROLE = "role_arn = arn:aws:iam::123456789012:role/ci\n"
PROCESS = (
    "import json,sys; print(json.dumps(dict(Version=1, AccessKeyId='AKIAPROCESS',"
    " SecretAccessKey='secret-of-PROCESS', SessionToken='token-of-PROCESS',"
    " Expiration='2099-01-01T00:00:00Z')))"
)
ROLE_OVER_ROLE = (
    "[profile ci]\n"
    + ROLE
    + "source_profile = mid\n[profile mid]\n"
    + ROLE
    + "source_profile = base\n[profile base]\n"
    + KEYS.format("BASE")
)


def script(path, text):
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


def instance(account, metadata):
    account.env["AWS_EC2_METADATA_DISABLED"] = "false"
    account.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.url + "/"


@pytest.fixture
def sts():
    with AwsFaults() as running:
        for operation in ("AssumeRole", "AssumeRoleWithWebIdentity"):
            running.always[operation] = STS_ANSWER.format(operation)
        yield running
        assert running.model_problems() == []


@pytest.fixture
def metadata():
    with Metadata() as running:
        yield running


class Account:
    """A machine's configuration of AWS: files in a home directory and an environment."""

    def __init__(self, programs, home, sts):
        self.programs, self.home = programs, home
        (home / ".aws").mkdir()
        self.env = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_STS": sts.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_METADATA_SERVICE_TIMEOUT": "1",
        }
        self.own = "-"

    def write(self, config=None, credentials=None):
        for name, text in (("config", config), ("credentials", credentials)):
            if text is not None:
                (self.home / ".aws" / name).write_text(text)

    def probe(self, *words, deadline_ms=20000):
        sanitizer = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        done = subprocess.run(
            [self.programs.tool("aws-probe"), self.own, str(deadline_ms), *words],
            env=self.env | sanitizer,
            capture_output=True,
            timeout=60,
            check=False,
        )
        self.log = done.stderr.decode()
        assert "secret-of" not in self.log and "token-of" not in self.log
        return json.loads(done.stdout)

    def ours(self):
        return self.probe("credentials")

    def theirs(self, monkeypatch):
        """What botocore finds: (key, secret, token), None, or its exception."""
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", dict(self.env))
            try:
                found = botocore.session.Session().get_credentials()
                if found is None:
                    return None
                frozen = found.get_frozen_credentials()
            except (botocore.exceptions.BotoCoreError, ValueError) as error:
                return error
        return frozen.access_key, frozen.secret_key, frozen.token or ""


@pytest.fixture
def account(programs, tmp_path, sts):
    return Account(programs, tmp_path, sts)
