# SPDX-License-Identifier: MIT
"""Credentials are refreshed before they expire, and not used afterwards."""

import datetime
import subprocess

import pytest

from support.aws_account import instance
from support.metadata import credentials


def list_tasks(account, times):
    """So many calls of one client."""
    return subprocess.run(
        [account.programs.tool("aws-probe"), "-", "20000", "ecs", "ListTasks", "{}", str(times)],
        env=account.env,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("minutes,refreshes", [(60, False), (16, False), (14, True), (1, True)])
def test_refresh_a_quarter_of_an_hour_before_the_end(account, metadata, sts, minutes, refreshes):
    instance(account, metadata)
    metadata.credentials = credentials("ASIAFIRST", hours=minutes / 60)
    account.env["AWS_ENDPOINT_URL"] = sts.url
    done = list_tasks(account, 3)
    assert done.stdout.count(b'"ok":true') == 3
    asked = sum(path.endswith("ci-role") for _, path, _ in metadata.requests)
    assert asked == (3 if refreshes else 1)


def test_failed_refresh_uses_valid_credentials(account, metadata, sts):
    instance(account, metadata)
    metadata.credentials = credentials("ASIAFIRST", hours=0.2)
    account.env["AWS_ENDPOINT_URL"] = sts.url
    sts.then("pass", "throttle", "throttle", "throttle")

    def no_more(_):
        metadata.role = None
        return "pass"

    sts.take = no_more
    done = list_tasks(account, 2)
    assert done.stdout.count(b'"ok":true') == 2
    assert b"using the old credentials" in done.stderr


def test_expired_credentials_are_not_used(account, metadata, sts, until):
    """The refresh fails; a request with the expired credentials would be refused."""
    instance(account, metadata)
    metadata.credentials = credentials("ASIAFIRST", hours=8 / 3600)
    ends = datetime.datetime.fromisoformat(metadata.credentials["Expiration"])
    account.env["AWS_ENDPOINT_URL"] = sts.url

    def answer_after_the_end(_):
        metadata.role = None
        until(lambda: datetime.datetime.now(datetime.UTC) > ends, 60)
        return "pass"

    sts.take = answer_after_the_end
    done = list_tasks(account, 2)
    assert done.stdout.count(b'"ok":true') == 1 and b'"ok":false' in done.stdout
    assert len(sts.calls) == 1, "no second request at all"


def test_credentials_refused_as_expired_are_not_used_again(account, metadata, sts):
    """The source is asked again and has none."""
    instance(account, metadata)
    account.env["AWS_ENDPOINT_URL"] = sts.url

    def refuse(_):
        metadata.role = None
        return "code:400,ExpiredTokenException"

    sts.take = refuse
    assert not account.probe("ecs", "ListTasks", "{}")["ok"]
    assert len(sts.calls) == 1


@pytest.mark.parametrize("code", ["ExpiredTokenException", "ExpiredToken"])
def test_expired_credentials_are_fetched_again_once(account, metadata, sts, code):
    instance(account, metadata)
    account.env["AWS_ENDPOINT_URL"] = sts.url
    sts.then(f"code:400,{code}")
    assert account.probe("ecs", "ListTasks", "{}")["ok"]
    asked = sum(path.endswith("ci-role") for _, path, _ in metadata.requests)
    assert asked == 2 and len(sts.calls) == 2
    sts.then(*[f"code:400,{code}"] * 5)
    answer = account.probe("ecs", "ListTasks", "{}")
    assert not answer["ok"] and answer["code"] == code and len(sts.calls) == 4
