# SPDX-License-Identifier: MIT
"""Credentials from the metadata of an instance and of a container."""

import pytest

from support.aws_account import BUILD, USAGE, instance
from support.metadata import credentials


def test_instance_metadata(account, metadata, monkeypatch):
    instance(account, metadata)
    ours = account.ours()
    assert (ours["key_id"], ours["secret"], ours["token"]) == account.theirs(monkeypatch)
    assert ours["source"] == "the instance's metadata service"
    assert [request[:2] for request in metadata.requests[:3]] == [
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/iam/security-credentials/"),
        ("GET", "/latest/meta-data/iam/security-credentials/ci-role"),
    ]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_no_fallback_to_version_1(account, metadata, status):
    instance(account, metadata)
    metadata.failures = [status]
    answer = account.ours()
    assert "allow IMDSv2" in answer["message"]
    assert [request[0] for request in metadata.requests] == ["PUT"]


def test_instance_without_a_role(account, metadata):
    instance(account, metadata)
    metadata.role = None
    assert "this instance has no role" in account.ours()["message"]


def test_invalid_role_name(account, metadata):
    instance(account, metadata)
    metadata.role = "../../x"
    assert "returned an invalid role name" in account.ours()["message"]


def test_instance_metadata_recovers(account, metadata):
    instance(account, metadata)
    metadata.failures = []
    metadata.credentials = credentials("ASIAAGAIN")
    account.env["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "3"
    metadata.failures = [500, 503]
    assert account.ours()["key_id"] == "ASIAAGAIN"


@pytest.mark.parametrize("failures", [[503], [429, 500], [None]], ids=str)
def test_retries_a_busy_metadata_service(account, metadata, failures):
    """For example when all jobs of a pipeline start at once; botocore makes one attempt."""
    instance(account, metadata)
    metadata.failures = failures
    assert account.ours()["key_id"] == "ASIAMETADATA"


@pytest.mark.parametrize("failure, reported", [(503, "HTTP 503"), (None, "metadata service")])
def test_busy_metadata_service_is_a_system_failure(account, metadata, failure, reported):
    """A retry by the runner may succeed: not 'no AWS credentials', which ends the job."""
    instance(account, metadata)
    metadata.failures = [failure] * 9
    answer = account.ours()
    assert reported in answer["message"] and "no AWS credentials" not in answer["message"]
    assert answer["kind"] not in (USAGE, BUILD) and "IMDSv2" not in answer["message"]
    assert len(metadata.requests) == 3


def test_configured_number_of_attempts(account, metadata):
    instance(account, metadata)
    account.env["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "1"
    metadata.failures = [503]
    assert "HTTP 503" in account.ours()["message"] and len(metadata.requests) == 1


def test_no_metadata_service(account, metadata, free_port):
    instance(account, metadata)
    account.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    answer = account.ours()
    assert "no AWS credentials" in answer["message"] and "[AWS] Profile" in answer["message"]
    assert answer["kind"] == USAGE


def test_metadata_bypasses_the_proxy(account, metadata):
    instance(account, metadata)
    account.env |= {"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    assert account.ours()["key_id"] == "ASIAMETADATA"


def test_container(account, metadata, monkeypatch, tmp_path):
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{metadata.url}/container"
    for header in (None, "plain", "of a file"):
        metadata.authorization = header
        if header == "plain":
            account.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = header
        if header == "of a file":
            (tmp_path / "auth").write_text(header)
            account.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "auth")
        ours = account.ours()
        assert ours.get("key_id") == "ASIAMETADATA", ours
        assert (ours["key_id"], ours["secret"], ours["token"]) == account.theirs(monkeypatch)


def test_no_other_source_after_a_failing_container(account, metadata):
    instance(account, metadata)
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{metadata.url}/none"
    assert "returned HTTP 404" in account.ours()["message"]
    assert len(metadata.requests) == 1


def test_container_recovers(account, metadata):
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{metadata.url}/container"
    metadata.failures = [500, 503]
    assert account.ours()["key_id"] == "ASIAMETADATA"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "http://127.0.0.1.example.com/x",
        "http://127.0.0.1@example.com/x",
        "http://127.0.0.256/",
        "http://127.1/",
        "http://169.254.170.3/",
        "http://169.254.169.254/",
        "http://[::2]/",
        "ftp://127.0.0.1/",
        "127.0.0.1",
        "http://localhost.example.com",
        "http://127.0.0.1\\\\@example.com",
    ],
)
def test_token_is_not_sent_to_other_hosts(account, url):
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
    account.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "token-of-container"
    answer = account.ours()
    assert "neither https nor a loopback" in answer["message"], answer


def test_a_token_of_two_lines_is_refused(account, metadata):
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{metadata.url}/container"
    account.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "a\r\nX-Evil: 1"
    assert "more than one line" in account.ours()["message"] and not metadata.requests
