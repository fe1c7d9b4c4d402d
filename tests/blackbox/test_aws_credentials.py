# SPDX-License-Identifier: MIT
"""Which credentials are used: the same that botocore chooses."""

import json
import os
import random
import subprocess

import pytest

from support.aws_account import ENV_KEYS, KEYS, PROCESS, ROLE, ROLE_OVER_ROLE, script

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
    "indented keys": (
        None,
        "[default]\n  aws_access_key_id = AKIAS\n  aws_secret_access_key = secret-of-S\n",
        {},
    ),
    "an indented section": (
        None,
        "  [default]\n  " + KEYS.format("S").replace("\n", "\n  ") + "\n",
        {},
    ),
    "a continued value": (
        None,
        "[default]\naws_access_key_id = AKIAS\n  more\n\n # c\naws_secret_access_key = s\n",
        {},
    ),
    "blanks before the name": (
        "[profile   ci]\n" + KEYS.format("C"),
        None,
        {"AWS_PROFILE": "ci"},
    ),
    "a tab before the name": ("[profile\tci]\n" + KEYS.format("C"), None, {"AWS_PROFILE": "ci"}),
    "blanks behind the name": ("[profile ci ]\n" + KEYS.format("C"), None, {"AWS_PROFILE": "ci"}),
    "blanks before the word": ("[ profile ci]\n" + KEYS.format("C"), None, {"AWS_PROFILE": "ci"}),
    "blanks around default": (None, "[ default ]\n" + KEYS.format("S"), {}),
    "half a quote": ("[profile 'ci]\n" + KEYS.format("C"), None, {"AWS_PROFILE": "ci"}),
    "three words": ("[profile a ci]\n" + KEYS.format("C"), None, {"AWS_PROFILE": "ci"}),
    "default and profile default": (
        "[default]\n" + KEYS.format("D") + "[profile default]\n" + KEYS.format("P"),
        None,
        {},
    ),
    "profile default and default": (
        "[profile default]\n" + KEYS.format("P") + "[default]\n" + KEYS.format("D"),
        None,
        {},
    ),
    "two forms of one profile are not joined": (
        "[profile ci]\naws_access_key_id = AKIAC\n[profile  ci]\naws_secret_access_key = s\n",
        None,
        {"AWS_PROFILE": "ci"},
    ),
    "a section twice": (None, "[default]\n" + KEYS.format("S") + "[default]\na = b\n", {}),
    "keys of DEFAULT": (None, "[DEFAULT]\n" + KEYS.format("S") + "[default]\n", {}),
    "DEFAULT is no profile": (None, "[DEFAULT]\n" + KEYS.format("S"), {"AWS_PROFILE": "DEFAULT"}),
    "text behind the bracket": (None, "[default] # mine\n" + KEYS.format("S"), {}),
    "lines of DOS": (None, ("[default]\n" + KEYS.format("S")).replace("\n", "\r\n"), {}),
    "a byte order mark": (None, "\ufeff[default]\n" + KEYS.format("S"), {}),
    "blanks that only look like one": (
        None,
        "[default]\n" + KEYS.format("S").replace(" ", "\u00a0"),
        {},
    ),
    "a list of settings": (
        "[default]\ns3 =\n  a = b\n  c = d\n" + KEYS.format("C"),
        None,
        {},
    ),
    "a list that is none": ("[default]\ns3 =\n  what\n" + KEYS.format("C"), None, {}),
    "the other file is damaged": (
        "[default\n",
        "[default]\n" + KEYS.format("S"),
        {},
    ),
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
    "role over role": (ROLE_OVER_ROLE, None, {"AWS_PROFILE": "ci"}),
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


HEADS = [
    "[default]",
    "[profile default]",
    "[profile ci]",
    "[profile   ci]",
    "[profile\tci]",
    "[ci]",
    "[ profile ci]",
    "[profile 'ci']",
    '[profile "ci"]',
    "[profile ci ] x",
    "[ default ]",
    "[DEFAULT]",
    "[profile c\\i]",
    "[profileci]",
    "[profiles ci]",
    "[profile ci",
    "[]",
    "[services ci]",
]


LINES = [
    "aws_access_key_id = AKIA{0}",
    "aws_secret_access_key = secret-of-{0}",
    "aws_secret_access_key : secret-of-{0}",
    "AWS_ACCESS_KEY_ID=AKIA{0}",
    "aws_session_token = t{0}",
    "region = eu-west-{0}",
    "s3 =",
    "a = b",
    "x = y = {0}",
    "# a = b",
    " ; c",
    "",
    "  ",
    "junk",
    "= v",
    "output",
    "aws_access_key_id = AKIA{0} # {0}",
]


INDENTS = ["", "", "", "", " ", "  ", "\t", "    "]


def generated(source):
    """A mostly well-formed file with one or two oddities."""
    lines = []
    good, odd = HEADS[:9], HEADS[9:]
    heads = source.sample(good, source.randint(1, 4))
    if source.random() < 0.3:
        heads.append(source.choice(odd))
    for part, head in enumerate(heads):
        base = source.choice(INDENTS)
        lines.append((base if source.random() < 0.2 else "") + head)
        body = [LINES[0], LINES[source.choice([1, 1, 1, 2])], *source.sample(LINES[4:13], 2)]
        source.shuffle(body)
        if source.random() < 0.08:
            body.append(source.choice(LINES))
        for line in body:
            indent = source.choice(INDENTS) if source.random() < 0.06 else base
            lines.append(indent + line.format(f"{part}{len(lines)}"))
    return source.choice(["\n", "\n", "\n", "\r\n"]).join(lines) + source.choice(["\n", ""])


@pytest.mark.parametrize("seed", range(4))
def test_generated_files_as_botocore_reads_them(account, monkeypatch, seed):
    """The same keys, or a refusal where botocore refuses or finds none."""
    source = random.Random(seed)
    found = 0
    for _ in range(40):
        config, keys = generated(source), generated(source)
        with (account.home / ".aws/config").open("w", newline="") as file:
            file.write(config)
        with (account.home / ".aws/credentials").open("w", newline="") as file:
            file.write(keys)
        account.env.pop("AWS_PROFILE", None)
        profile = source.choice([None, "ci", "ci", "default"])
        if profile:
            account.env["AWS_PROFILE"] = profile
        ours, theirs = account.ours(), account.theirs(monkeypatch)
        if isinstance(theirs, Exception) or theirs is None:
            assert ours.get("ok") is False, (config, keys, profile, ours, theirs)
        else:
            mine = (ours.get("key_id"), ours.get("secret"), ours.get("token"))
            assert mine == theirs, (config, keys, profile, ours)
            found += 1
    assert 8 <= found <= 36, "some of them are refused, and not all"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a user database of its own")
def test_home_from_the_user_database(account, tmp_path):
    """HOME may be unset in a systemd service. The test mounts its own /etc/passwd."""
    account.write(None, "[default]\n" + KEYS.format("S"))
    (tmp_path / "passwd").write_text(f"root:x:0:0::{tmp_path}:/bin/sh\n")
    mounted = 'mount --bind "$0" /etc/passwd && exec "$@"'
    probe = [account.programs.tool("aws-probe"), "-", "20000", "credentials"]
    words = ["unshare", "--mount", "sh", "-c", mounted, tmp_path / "passwd", *probe]
    sanitizer = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    for home in (None, ""):
        env = {key: value for key, value in account.env.items() if key != "HOME"}
        if home is not None:
            env["HOME"] = home
        done = subprocess.run(words, env=env | sanitizer, capture_output=True, check=False)
        assert json.loads(done.stdout)["key_id"] == "AKIAS", done
