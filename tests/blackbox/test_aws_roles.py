# SPDX-License-Identifier: MIT
"""Credentials of assumed roles and of credential_process."""

import datetime

import pytest

from support.aws_account import KEYS, PROCESS, ROLE, ROLE_OVER_ROLE, script


def test_session_tags_go_with_the_last_role(account, sts, tmp_path):
    account.write(ROLE_OVER_ROLE)
    account.own = str(tmp_path / "own.toml")
    (tmp_path / "own.toml").write_text(
        '[AWS]\nProfile = "ci"\nSessionTags = ["team=a=b", "project=x y"]\n'
    )
    assert account.ours()["key_id"] == "ASIAAssumeRole"
    first, second = (call.parameters for call in sts.calls)
    assert not any(name.startswith("Tags") for name in first)
    assert second["Tags.member.1.Key"] == "team" and second["Tags.member.1.Value"] == "a=b"
    assert second["Tags.member.2.Key"] == "project" and second["Tags.member.2.Value"] == "x y"


@pytest.mark.parametrize("tag", ["novalue", "=v", "k" * 129 + "=v"])
def test_invalid_session_tags(account, tmp_path, tag):
    account.write(ROLE_OVER_ROLE)
    account.own = str(tmp_path / "own.toml")
    (tmp_path / "own.toml").write_text(f'[AWS]\nProfile = "ci"\nSessionTags = "{tag}"\n')
    answer = account.ours()
    assert "is not of the form key=value" in answer["message"] and answer["kind"] == 1


def test_mfa_is_refused(account):
    account.write(
        "[default]\n" + ROLE + "source_profile = default\nmfa_serial = x\n" + KEYS.format("D")
    )
    assert "mfa_serial needs an interactive login" in account.ours()["message"]


def test_identity_center_is_refused(account):
    account.write("[default]\nsso_session = x\n")
    assert "IAM Identity Center" in account.ours()["message"]


def test_error_of_sts_is_reported(account, sts):
    sts.always["AssumeRole"] = "code:403,AccessDenied"
    account.write("[default]\n" + ROLE + "source_profile = default\n" + KEYS.format("D"))
    answer = account.ours()
    assert (
        "role/ci" in answer["message"] and "AccessDenied: reported by the test" in answer["message"]
    )


@pytest.mark.parametrize(
    "text,message",
    [
        ("import time; time.sleep(60)", "did not exit in time"),
        ("print('x' * 100000)", "its output is longer than 65536 bytes"),
        ("print('no json')", "not a JSON object"),
        ("print('{\"Version\": 2}')", '"Version" is not 1'),
        ('print(\'{"Version": 1, "AccessKeyId": "A"}\')', "the secret access key is missing"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("import sys; sys.exit(3)", "exited with status 3"),
    ],
)
def test_processes_that_misbehave(account, tmp_path, text, message):
    script(tmp_path / "process", text)
    account.write(f"[default]\ncredential_process = {tmp_path}/process\n")
    answer = account.probe("credentials", deadline_ms=2000)
    assert message in answer["message"], answer


def test_process_inherits_no_descriptors(account, tmp_path):
    script(
        tmp_path / "process",
        "import os\n"
        f"open('{tmp_path}/fds', 'w').write(' '.join(os.listdir('/proc/self/fd')))\n" + PROCESS,
    )
    account.write(f"[default]\ncredential_process = {tmp_path}/process\n")
    assert account.ours()["key_id"] == "AKIAPROCESS"
    seen = set((tmp_path / "fds").read_text().split())
    assert len(seen - {"0", "1", "2"}) <= 2, "its own directory and file only"


@pytest.mark.parametrize("line", ["'", '"a', "a\\", "x" * 5000, " ".join("abc" for _ in range(70))])
def test_invalid_command_lines(account, line):
    account.write(f"[default]\ncredential_process = {line}\n")
    assert "not a valid command line" in account.ours()["message"]


def test_times_with_zone_and_fraction(account, tmp_path):
    wanted = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC).timestamp()
    for text in (
        "2099-01-01T00:00:00Z",
        "2099-01-01T01:30:00+01:30",
        "2098-12-31T23:00:00.123-0100",
    ):
        script(tmp_path / "process", PROCESS.replace("2099-01-01T00:00:00Z", text))
        account.write(f"[default]\ncredential_process = {tmp_path}/process\n")
        assert account.ours()["expires_s"] == wanted
    script(tmp_path / "process", PROCESS.replace("2099-01-01T00:00:00Z", "tomorrow"))
    assert "'tomorrow' is not a valid expiration time" in account.ours()["message"]
