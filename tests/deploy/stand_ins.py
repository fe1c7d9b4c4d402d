#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stand-ins for dnf, systemctl, gitlab-runner and sleep on a runner host below STAND_IN_ROOT.

'dnf install -y' puts gitlab-runner to /usr/bin, or installs Berth's package by rpm, whose
dependencies the root does not have; with a file dnf-fails it prints that and fails. 'sleep' does
not. Options of 'gitlab-runner register' and what it does with them
are those of commands/register.go of GitLab Runner 19.4: the token of the environment must be a
runner's, tags and the like are refused, the template has one [[runners]], and the configuration
that exists is kept.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(os.environ["STAND_IN_ROOT"])


def record():
    with open(ROOT / "calls", "a") as log:
        print(
            json.dumps([sys.argv[0].rpartition("/")[2], sys.argv[1:], list(os.environ)]), file=log
        )


def dnf(words):
    assert words[:2] == ["install", "-y"] and len(words) == 3, words
    if (ROOT / "dnf-fails").exists():
        sys.stdout.buffer.write((ROOT / "dnf-fails").read_bytes())
        sys.exit(1)
    if words[2] == "gitlab-runner":
        (ROOT / "usr/bin/gitlab-runner").symlink_to(__file__)
        (ROOT / "etc/gitlab-runner").mkdir(parents=True)
    else:
        assert words[2].endswith(".rpm") and os.path.getsize(words[2]) > 0
        rpm("--install", "--nodeps", words[2])
    print("Complete!")


def rpm(*words):
    """Its scripts run below the root, for which rpm must be root. Debian's has a path of its own
    for the database."""
    rights = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
    command = ["rpm", "--root", ROOT, "--dbpath", "/var/lib/rpm", *words]
    subprocess.run([*rights, *command], check=True)


def systemctl(words):
    assert words[0] in ("enable", "restart", "stop"), words
    for unit in words[1:]:
        assert unit == "gitlab-runner" or (ROOT / "usr/lib/systemd/system" / unit).exists(), unit


def register(words):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--non-interactive", action="store_true", required=True)
    for name in ("url", "name", "executor", "template-config"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args(words)
    token = os.environ["CI_SERVER_TOKEN"]
    if not token.startswith("glrt-"):
        sys.exit("FATAL: the legacy registration is not for this test")
    with open(given.template_config, "rb") as file:
        template = tomllib.load(file)
    if len(template["runners"]) != 1 or template["runners"][0]["executor"] != given.executor:
        sys.exit("FATAL: configuration template must contain exactly one [[runners]] entry")
    own = f"  name = {json.dumps(given.name)}\n  url = {json.dumps(given.url)}\n"
    own += f"  token = {json.dumps(token)}\n"
    text = Path(given.template_config).read_text().replace("[[runners]]\n", f"[[runners]]\n{own}")
    path = ROOT / "etc/gitlab-runner/config.toml"
    path.write_text(f"{path.read_text()}\n{text}")
    print(f"Verifying runner... is valid   runner={token[5:14]}")


def gitlab_runner(words):
    if words == ["--version"]:
        print("Version:      19.4.0\nGit revision: 0000000")
    else:
        assert words[0] == "register", words
        register(words[1:])


record()
{"dnf": dnf, "systemctl": systemctl, "gitlab-runner": gitlab_runner, "sleep": len}[
    sys.argv[0].rpartition("/")[2]
](sys.argv[1:])
