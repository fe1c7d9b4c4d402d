# SPDX-License-Identifier: MIT
"""Where credentials come from: the same as botocore's choice."""

import datetime
import subprocess
import sys

import pytest

from support.aws_account import BUILD, ENV_KEYS, KEYS, USAGE
from support.metadata import credentials


def script(path, text):
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


ROLE = "role_arn = arn:aws:iam::123456789012:role/ci\n"
PROCESS = (
    "import json,sys; print(json.dumps(dict(Version=1, AccessKeyId='AKIAPROCESS',"
    " SecretAccessKey='secret-of-PROCESS', SessionToken='token-of-PROCESS',"
    " Expiration='2099-01-01T00:00:00Z')))"
)
WEB_ROLE = "arn:aws:iam::123456789012:role/web"
# name: (config, credentials, environment)
CASES = {
    "nothing": (None, None, {}),
    "environment": (None, None, ENV_KEYS),
    "environment with token": (None, None, ENV_KEYS | {"AWS_SESSION_TOKEN": "token-of-ENV"}),
    "environment over files": (
        "[default]\n" + KEYS.format("C"),
        "[default]\n" + KEYS.format("S"),
        ENV_KEYS,
    ),
    "half an environment": (None, None, {"AWS_ACCESS_KEY_ID": "AKIAENV"}),
    "credentials file": (None, "[default]\n" + KEYS.format("S"), {}),
    "config file": ("[default]\n" + KEYS.format("C"), None, {}),
    "credentials over config": (
        "[default]\n" + KEYS.format("C"),
        "[default]\n" + KEYS.format("S"),
        {},
    ),
    "token in the file": (
        None,
        "[default]\n" + KEYS.format("S") + "aws_session_token=token-of-S\n",
        {},
    ),
    "half a profile": (None, "[default]\naws_access_key_id = AKIAS\n", {}),
    "named profile in both": (
        "[profile ci]\nregion = us-east-2\n",
        "[default]\n" + KEYS.format("D") + "[ci]\n" + KEYS.format("S"),
        {"AWS_PROFILE": "ci"},
    ),
    "named profile in config": ("[profile ci]\n" + KEYS.format("C"), None, {"AWS_PROFILE": "ci"}),
    "quoted profile": ('[profile "c i"]\n' + KEYS.format("C"), None, {"AWS_PROFILE": "c i"}),
    "profile without its word": ("[ci]\n" + KEYS.format("C"), None, {"AWS_PROFILE": "ci"}),
    "default profile's variable first": (
        None,
        "[a]\n" + KEYS.format("A") + "[b]\n" + KEYS.format("B"),
        {"AWS_PROFILE": "a", "AWS_DEFAULT_PROFILE": "b"},
    ),
    "missing profile": (None, "[default]\n" + KEYS.format("S"), {"AWS_PROFILE": "none"}),
    "comments and blanks": (
        None,
        "# c\n; c\n\n[default]\n\n  \nAWS_Access_Key_ID=AKIAS\n"
        "# c\naws_secret_access_key : x=y#z ;w\n",
        {},
    ),
    "a malformed line": (None, "[default]\nwhat is this\n", {}),
    "a key twice": (None, "[default]\n" + KEYS.format("S") + KEYS.format("T"), {}),
    "before a section": (None, "a = b\n[default]\n" + KEYS.format("S"), {}),
    "role with a source": (
        "[profile ci]\n" + ROLE + "source_profile = base\nexternal_id = ext-1\n"
        "duration_seconds = 900\n"
        "role_session_name = me\n[profile base]\n" + KEYS.format("BASE"),
        None,
        {"AWS_PROFILE": "ci"},
    ),
    "role over keys of its profile": (
        "[default]\n" + ROLE + "source_profile = default\n" + KEYS.format("SELF"),
        None,
        {},
    ),
    "role over role": (
        "[profile ci]\n"
        + ROLE
        + "source_profile = mid\n[profile mid]\n"
        + ROLE
        + "source_profile = base\n[profile base]\n"
        + KEYS.format("BASE"),
        None,
        {"AWS_PROFILE": "ci"},
    ),
    "role in a circle": (
        "[profile a]\n"
        + ROLE
        + "source_profile = b\n[profile b]\n"
        + ROLE
        + "source_profile = a\n",
        None,
        {"AWS_PROFILE": "a"},
    ),
    "role without a source": ("[default]\n" + ROLE, None, {}),
    "role with both sources": (
        "[default]\n"
        + ROLE
        + "source_profile = b\ncredential_source = Environment\n[profile b]\n"
        + KEYS.format("B"),
        None,
        {},
    ),
    "role of a missing profile": ("[default]\n" + ROLE + "source_profile = none\n", None, {}),
    "role by environment": (
        "[profile ci]\n" + ROLE + "credential_source = Environment\n",
        None,
        {"AWS_PROFILE": "ci"},
    ),
    "role of an unknown source": ("[default]\n" + ROLE + "credential_source = Moon\n", None, {}),
    "role of a source without keys": (
        "[default]\n" + ROLE + "source_profile = b\n[profile b]\nregion = x\n",
        None,
        {},
    ),
    "web identity": (
        None,
        None,
        {
            "AWS_ROLE_ARN": WEB_ROLE,
            "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
            "AWS_ROLE_SESSION_NAME": "web",
        },
    ),
    "web identity before keys in files": (
        None,
        "[default]\n" + KEYS.format("S"),
        {"AWS_ROLE_ARN": WEB_ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token"},
    ),
    "web identity in a profile": (
        "[default]\n" + ROLE + "web_identity_token_file = {home}/token\n",
        None,
        {},
    ),
    "web identity without a role": (None, None, {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token"}),
    "web identity as a source": (
        "[default]\n"
        + ROLE
        + "source_profile = web\n[profile web]\n"
        + ROLE
        + "web_identity_token_file = {home}/token\n",
        None,
        {},
    ),
    "process": ("[default]\ncredential_process = '{home}/process' \"a b\"\n", None, {}),
    "process after keys": (
        "[default]\ncredential_process = {home}/process\n",
        "[default]\n" + KEYS.format("S"),
        {},
    ),
    "process as a source": (
        "[default]\n" + ROLE + "source_profile = p\n[profile p]\n"
        "credential_process = {home}/process\n",
        None,
        {},
    ),
    "process that fails": ("[default]\ncredential_process = false\n", None, {}),
    "process that prints nothing": ("[default]\ncredential_process = true\n", None, {}),
    "no configuration file": (
        None,
        "[default]\n" + KEYS.format("SHARED"),
        {"AWS_CONFIG_FILE": "/dev/null"},
    ),
    "other files": (
        None,
        None,
        {"AWS_SHARED_CREDENTIALS_FILE": "{home}/other", "AWS_CONFIG_FILE": "~/none"},
    ),
}


def plain(text, home):
    return None if text is None else text.replace("{home}", str(home))


@pytest.mark.parametrize("name", CASES)
def test_the_same_choice_as_botocore(account, sts, monkeypatch, tmp_path, name):
    config, keys, env = CASES[name]
    (tmp_path / "token").write_text("web.identity.token")
    (tmp_path / "other").write_text("[default]\n" + KEYS.format("OTHER"))
    script(tmp_path / "process", PROCESS)
    account.write(plain(config, tmp_path), plain(keys, tmp_path))
    account.env |= {key: plain(value, tmp_path) for key, value in env.items()}
    if name == "role by environment":
        # botocore would take the keys themselves; with a profile in our own file the role counts.
        account.env |= ENV_KEYS
        account.own = str(tmp_path / "own.toml")
        (tmp_path / "own.toml").write_text('[AWS]\nProfile = "ci"\n')
    ours = account.ours()
    our_calls = [(call.key_id, call.signature, call.parameters) for call in sts.calls]
    sts.calls.clear()
    if name == "role by environment":
        assert ours["key_id"] == "ASIAAssumeRole" and our_calls[0][0] == "AKIAENV"
        return
    theirs = account.theirs(monkeypatch)
    if isinstance(theirs, Exception) or theirs is None:
        assert ours.get("ok") is False, (ours, theirs)
        assert ours["message"] and ours["kind"] in (1, 4), ours
        return
    assert (ours.get("key_id"), ours.get("secret"), ours.get("token")) == theirs, ours
    their_calls = [(call.key_id, call.signature, call.parameters) for call in sts.calls]
    assert [call[0] for call in our_calls] == [call[0] for call in their_calls]
    for (_, _, mine), (_, _, other) in zip(our_calls, their_calls, strict=True):
        if "role_session_name" not in (config or "") and "AWS_ROLE_SESSION_NAME" not in env:
            assert mine.pop("RoleSessionName") == "berth-driver"
            other.pop("RoleSessionName")
        assert mine == other


def test_session_tags_go_with_the_last_role(account, sts, tmp_path):
    account.write(CASES["role over role"][0])
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
def test_session_tags_that_are_none(account, tmp_path, tag):
    account.write(CASES["role over role"][0])
    account.own = str(tmp_path / "own.toml")
    (tmp_path / "own.toml").write_text(f'[AWS]\nProfile = "ci"\nSessionTags = "{tag}"\n')
    answer = account.ours()
    assert "is not of the form key=value" in answer["message"] and answer["kind"] == 1


def test_mfa_is_refused(account):
    account.write(
        "[default]\n" + ROLE + "source_profile = default\nmfa_serial = x\n" + KEYS.format("D")
    )
    assert "mfa_serial needs a person" in account.ours()["message"]


def test_identity_center_is_named(account):
    account.write("[default]\nsso_session = x\n")
    assert "IAM Identity Center" in account.ours()["message"]


def test_the_error_of_sts_is_told(account, sts):
    sts.always["AssumeRole"] = "code:403,AccessDenied"
    account.write("[default]\n" + ROLE + "source_profile = default\n" + KEYS.format("D"))
    answer = account.ours()
    assert "role/ci" in answer["message"] and "AccessDenied: told by the test" in answer["message"]


@pytest.mark.parametrize(
    "text,message",
    [
        ("import time; time.sleep(60)", "did not end in time"),
        ("print('x' * 100000)", "prints more than 65536 bytes"),
        ("print('no json')", "no JSON object"),
        ("print('{\"Version\": 2}')", '"Version" is not 1'),
        ('print(\'{"Version": 1, "AccessKeyId": "A"}\')', "the secret access key is missing"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal 9"),
        ("import sys; sys.exit(3)", "ended with status 3"),
    ],
)
def test_processes_that_misbehave(account, tmp_path, text, message):
    script(tmp_path / "process", text)
    account.write(f"[default]\ncredential_process = {tmp_path}/process\n")
    answer = account.probe("credentials", deadline_ms=2000)
    assert message in answer["message"], answer


def test_a_process_has_no_descriptors_of_ours(account, tmp_path):
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
def test_command_lines_that_are_none(account, line):
    account.write(f"[default]\ncredential_process = {line}\n")
    assert "not a command line" in account.ours()["message"]


def instance(account, metadata):
    account.env["AWS_EC2_METADATA_DISABLED"] = "false"
    account.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.url + "/"


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


def test_a_role_that_cannot_be_one(account, metadata):
    instance(account, metadata)
    metadata.role = "../../x"
    assert "a role that cannot be one" in account.ours()["message"]


def test_instance_metadata_recovers(account, metadata):
    instance(account, metadata)
    metadata.failures = []
    metadata.credentials = credentials("ASIAAGAIN")
    account.env["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "3"
    metadata.failures = [500, 503]
    assert account.ours()["key_id"] == "ASIAAGAIN"


@pytest.mark.parametrize("failures", [[503], [429, 500], [None]], ids=str)
def test_a_busy_metadata_service_is_asked_again(account, metadata, failures):
    """As when all jobs of a pipeline start at once; botocore gives up at the first."""
    instance(account, metadata)
    metadata.failures = failures
    assert account.ours()["key_id"] == "ASIAMETADATA"


@pytest.mark.parametrize("failure, told", [(503, "HTTP 503"), (None, "metadata service")])
def test_a_busy_metadata_service_is_no_mistake_of_the_configuration(
    account, metadata, failure, told
):
    """Another try of the runner may heal it: not 'no AWS credentials', which ends the job."""
    instance(account, metadata)
    metadata.failures = [failure] * 9
    answer = account.ours()
    assert told in answer["message"] and "no AWS credentials" not in answer["message"]
    assert answer["kind"] not in (USAGE, BUILD) and "IMDSv2" not in answer["message"]
    assert len(metadata.requests) == 3


def test_attempts_that_somebody_chose(account, metadata):
    instance(account, metadata)
    account.env["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] = "1"
    metadata.failures = [503]
    assert "HTTP 503" in account.ours()["message"] and len(metadata.requests) == 1


def test_no_metadata_service_at_all(account, metadata, free_port):
    instance(account, metadata)
    account.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    answer = account.ours()
    assert "no AWS credentials" in answer["message"] and "[AWS] Profile" in answer["message"]
    assert answer["kind"] == USAGE


def test_metadata_past_the_proxy(account, metadata):
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


def test_container_that_fails_is_the_end(account, metadata):
    instance(account, metadata)
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{metadata.url}/none"
    assert "answered HTTP 404" in account.ours()["message"]
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
def test_a_token_is_not_sent_anywhere(account, url):
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
    account.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "token-of-container"
    answer = account.ours()
    assert "neither https nor on a loopback" in answer["message"], answer


def test_a_token_of_two_lines_is_refused(account, metadata):
    account.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{metadata.url}/container"
    account.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "a\r\nX-Evil: 1"
    assert "more than one line" in account.ours()["message"] and not metadata.requests


@pytest.mark.parametrize("minutes,refreshes", [(60, False), (16, False), (14, True), (1, True)])
def test_refresh_a_quarter_of_an_hour_before_the_end(account, metadata, sts, minutes, refreshes):
    instance(account, metadata)
    metadata.credentials = credentials("ASIAFIRST", hours=minutes / 60)
    account.env["AWS_ENDPOINT_URL"] = sts.url
    done = subprocess.run(
        [account.programs.tool("aws-probe"), "-", "20000", "ecs", "ListTasks", "{}", "3"],
        env=account.env,
        capture_output=True,
        check=True,
    )
    assert done.stdout.count(b'"ok":true') == 3
    asked = sum(path.endswith("ci-role") for _, path, _ in metadata.requests)
    assert asked == (3 if refreshes else 1)


def test_a_failed_refresh_uses_what_still_holds(account, metadata, sts):
    instance(account, metadata)
    metadata.credentials = credentials("ASIAFIRST", hours=0.2)
    account.env["AWS_ENDPOINT_URL"] = sts.url
    sts.then("pass", "throttle", "throttle", "throttle")

    def no_more(_):
        metadata.role = None
        return "pass"

    sts.take = no_more
    done = subprocess.run(
        [account.programs.tool("aws-probe"), "-", "20000", "ecs", "ListTasks", "{}", "2"],
        env=account.env,
        capture_output=True,
        check=True,
    )
    assert done.stdout.count(b'"ok":true') == 2
    assert b"using the credentials at hand" in done.stderr


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
    assert "'tomorrow' is no time" in account.ours()["message"]
