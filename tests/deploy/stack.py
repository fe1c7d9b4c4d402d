# SPDX-License-Identifier: MIT
"""Stacks of deploy/cloudformation/berth.yaml in moto, and the first boot of their runner host.

moto's server is moto_stacks.py. The host's user data runs in a directory of its own, with AWS
behind a proxy that checks each request (HostAws) and the Internet of support/registry.py: GitLab's
registry and package server, Docker Hub, the place of Berth's package and that of the wait
condition's signal. dnf, systemctl and gitlab-runner are stand-ins (stand_ins.py), dnf with the real
rpm; bash, curl, aws, python3 and the .rpm of './dev package' with its programs are the real ones.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from support.doctor import decision
from support.ecr import Ecr
from support.ecs_moto import REGION
from support.registry import Image, Internet

TOP = Path(__file__).resolve().parents[2]
TEMPLATE = TOP / "deploy/cloudformation/berth.yaml"
BIN = Path(sys.executable).parent
DRIVER = Path(os.environ.get("BERTH_BIN", TOP / "build/release/bin")).resolve() / "berth-driver"
STACKS = Path(__file__).with_name("moto_stacks.py")
STAND_INS = Path(__file__).with_name("stand_ins.py")
ACCOUNT = "123456789012"
PACKAGE = b"\xed\xab\xee\xdb a package of Berth"
BUSYBOX = Path("/bin/busybox").read_bytes()
TOKEN = "glrt-t1_Example-Token.01.0a1b2c3d4"
HELPER = "gitlab-org/gitlab-runner/gitlab-runner-helper"
RUNNER_VERSION = "19.4.0"
SIGNAL = "https://signal.example/wait?X-Amz-Signature=0a%2F1b"
HOSTS = ("registry.gitlab.com", "packages.gitlab.com", "registry-1.docker.io", "packages.example",
         "signal.example", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com")  # fmt: skip


class Loader(yaml.SafeLoader):
    """Short forms of CloudFormation's functions: !Ref, !Sub ..."""


def _short(loader, suffix, node):
    kind = {"scalar": loader.construct_scalar, "sequence": loader.construct_sequence}
    how = {"deep": True} if node.id == "sequence" else {}
    value = kind[node.id](node, **how)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _short)


def template():
    return yaml.load(TEMPLATE.read_text(), Loader)


def parameters(secret, **more):
    return {
        "TokenSecretArn": secret,
        "PackageUrl": "https://packages.example/berth-1.aarch64.rpm?X-Amz-Date=1&X-Amz-Signature=2",
        "PackageSha256": sha256(PACKAGE),
        **more,
    }


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def keys_of(moto, role):
    """AWS_* of a session with the role, as the instance metadata would give them."""
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    given = moto.client("sts").assume_role(RoleArn=arn, RoleSessionName="i-0123")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


class Stack:
    """One stack: .outputs, .resources {logical id: (type, physical id)}."""

    def __init__(self, moto, name):
        self.moto, self.name = moto, name
        cloudformation = moto.client("cloudformation")
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        self.parameters = found["Parameters"]
        self.outputs = {row["OutputKey"]: row["OutputValue"] for row in found["Outputs"]}
        rows = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        self.resources = {
            row["LogicalResourceId"]: (row["ResourceType"], row["PhysicalResourceId"])
            for row in rows
            if row.get("LogicalResourceId")  # moto lists also what it does not make
        }

    def id(self, logical):
        return self.resources[logical][1]

    def host(self):
        """The runner host as EC2 describes it."""
        found = self.moto.ec2.describe_instances(InstanceIds=[self.outputs["RunnerHost"]])
        return found["Reservations"][0]["Instances"][0]

    def user_data(self):
        data = self.moto.ec2.describe_instance_attribute(
            InstanceId=self.outputs["RunnerHost"], Attribute="userData"
        )["UserData"]["Value"]
        # moto makes no wait conditions.
        return base64.b64decode(data).decode().replace("${SetupHandle}", SIGNAL)

    def policies(self, role):
        """The inline policies of a role of the template, {name: document}."""
        iam, name = self.moto.client("iam"), self.id(role)
        return {
            policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        }


def cli(moto, home):
    """The environment of the AWS CLI; nothing of this machine's settings."""
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": moto.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "no_proxy": "127.0.0.1",
    }


def deploy(moto, name, home, **overrides):
    """By the AWS CLI, as the guide does."""
    words = [f"{key}={value}" for key, value in overrides.items()]
    done = subprocess.run(
        ["aws", "cloudformation", "deploy", "--stack-name", name, "--template-file", TEMPLATE,
         "--capabilities", "CAPABILITY_IAM", "--parameter-overrides", *words],
        env=cli(moto, home), check=False, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return Stack(moto, name)


class HostAws(Ecr):
    """AWS as the host reaches it: moto, with decisions of IAM by the role's policies."""

    def __init__(self, stack):
        self.keys = keys_of(stack.moto, stack.id("HostRole"))
        super().__init__(
            stack.moto.url, {self.keys["AWS_ACCESS_KEY_ID"]: self.keys["AWS_SECRET_ACCESS_KEY"]}
        )
        rows = [
            statement
            for document in stack.policies("HostRole").values()
            for statement in document["Statement"]
        ]
        self.statements = [row for row in rows if row["Effect"] == "Allow"]
        (denied,) = [row for row in rows if row["Effect"] == "Deny"]
        assert {action.partition(":")[0] for action in denied["Action"]} == {"ssm"}
        self.immutable = True

    def signals(self):
        """What SignalResource was called with, without what every call has."""
        return [
            {
                key: value
                for key, value in call.parameters.items()
                if key not in ("Action", "Version")
            }
            for call in self.calls
            if call.operation == "SignalResource"
        ]

    def take(self, call):
        if call.operation == "SignalResource":
            # As AWS spells the resource of a call that names the stack.
            stack = (
                f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{call.parameters['StackName']}"
            )
            allowed = self.allows("cloudformation:SignalResource", f"{stack}/*", {})
            return "body:<SignalResourceResponse/>" if allowed else "code:403,AccessDenied"
        if call.operation == "SimulatePrincipalPolicy":
            asked = call.parameters
            context = {
                asked.get("ContextEntries.member.1.ContextKeyName"): asked.get(
                    "ContextEntries.member.1.ContextKeyValues.member.1"
                )
            }
            allowed = self.allows(
                asked["ActionNames.member.1"], asked["ResourceArns.member.1"], context
            )
            return decision("allowed" if allowed else "implicitDeny")
        return super().take(call)

    def allows(self, action, resource, context):
        def fits(patterns, text):
            patterns = [patterns] if isinstance(patterns, str) else patterns
            return any(fnmatchcase(text, pattern) for pattern in patterns)

        return any(
            fits(statement["Action"], action)
            and fits(statement["Resource"], resource)
            and all(
                context.get(key) == value
                for test in statement.get("Condition", {}).values()
                for key, value in test.items()
            )
            for statement in self.statements
        )


class EcrImages(dict):
    """What was pushed to ECR, as its registry answers."""

    def __init__(self, aws):
        super().__init__()
        self.aws = aws

    def get(self, key, default=None):
        path = key if isinstance(key, str) else key[1]
        kind, _, name = path.rpartition("/")
        digest = self.aws.tags.get(name, name)
        data = (self.aws.images if kind.endswith("/manifests") else self.aws.layers).get(digest)
        if data is None:
            return default
        kind = json.loads(data)["mediaType"] if kind.endswith("/manifests") else "application/json"
        return 200, data, {"Content_Type": kind, "Docker_Content_Digest": digest}


class Outside(Internet):
    """What the host reaches by its network. .signals: what the wait condition got."""

    def __init__(self, directory, aws):
        super().__init__(directory, *HOSTS)
        self.signals, self.handle_status = [], 200
        self.hosts[HOSTS[5]].answers = EcrImages(aws)
        for name, image in (("x86_64", Image()), ("arm64", Image("arm64"))):
            self.hosts[HOSTS[0]].put_image(HELPER, f"{name}-v{RUNNER_VERSION}", image)
        script = "/install/repositories/runner/gitlab-runner/script.rpm.sh"
        # Each name has a repository of its own, and no other one exists for the host.
        self.hosts[HOSTS[1]].put(
            script, b'[ "$os/$dist" = amazon/2023 ] || exit 1\necho "the repository is added"\n'
        )
        self.hosts[HOSTS[2]].put_image("library/debian", "13", Image())
        self.package(PACKAGE)
        self.hosts[HOSTS[3]].put("/busybox", BUSYBOX)
        self.hosts[HOSTS[4]].answers[("PUT", "/wait")] = self._take_signal

    def package(self, data):
        self.hosts[HOSTS[3]].put("/berth-1.aarch64.rpm", data)

    def _take_signal(self, handler):
        assert handler.headers["Content-Type"] is None, "the URL is signed without one"
        self.signals.append(json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))))
        handler.reply(self.handle_status)


class Host:
    """A runner host of a stack, below 'directory', with the package of './dev package'."""

    def __init__(self, stack, aws, outside, directory, package):
        self.stack, self.aws, self.outside, self.root = stack, aws, outside, directory
        self.package, self.instance = package, f"i-{secrets.token_hex(8)}"
        outside.package(package)
        for name in ("bin", "stand-ins", "usr/bin", "var/log", "root", "tmp", "var/lib/cloud/data"):
            (directory / name).mkdir(parents=True)
        for name in ("dnf", "systemctl", "sleep"):
            (directory / "stand-ins" / name).symlink_to(STAND_INS)
        # For the scripts of packages.
        shutil.copy("/bin/busybox", directory / "bin/sh")
        (directory / "var/lib/cloud/data/instance-id").write_text(f"{self.instance}\n")
        self.environment = {
            "PATH": f"{directory}/stand-ins:{directory}/usr/bin:{BIN}:/usr/bin:/bin",
            "TMPDIR": str(directory / "tmp"),
            "STAND_IN_ROOT": str(directory),
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "CURL_CA_BUNDLE": str(outside.ca_file),
            "no_proxy": "127.0.0.1",
            **aws.keys,
            **outside.env,
        }

    def script(self):
        """The user data with this host's paths."""
        text = self.stack.user_data()
        for before, here in (
            ("HOME=/root", f"HOME={self.root}/root"),
            ("/var/log/", f"{self.root}/var/log/"),
            ("/etc/gitlab-runner", f"{self.root}/etc/gitlab-runner"),
            ("/usr/bin/berth-driver", f"{self.root}/usr/bin/berth-driver"),
            ("/usr/lib/berth/", f"{self.root}/usr/lib/berth/"),
            ("[SSH]\n", f'[TaskMetadata]\nDirectory = "{self.root}/metadata"\n\n[SSH]\n'),
            ("/var/lib/cloud/", f"{self.root}/var/lib/cloud/"),
            (sha256(PACKAGE), sha256(self.package)),
        ):
            assert before in text, before
            text = text.replace(before, here)
        return text

    def boot(self):
        """Runs it. Returns its exit status, what the wait condition got, and the log."""
        before = len(self.aws.signals())
        path = self.root / "user-data"
        path.write_text(self.script())
        path.chmod(0o700)
        done = subprocess.run(
            [path], check=False, capture_output=True, text=True, timeout=250, cwd=self.root,
            env=self.environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("", "")
        assert not list((self.root / "tmp").iterdir())
        (signal,) = self.outside.signals
        assert self.aws.signals()[before:] == [
            {"StackName": self.stack.name, "LogicalResourceId": "RunnerHost",
             "UniqueId": self.instance, "Status": signal["Status"]}
        ]  # fmt: skip
        log = (self.root / "var/log/berth-setup.log").read_text(errors="replace")
        return done.returncode, signal, log

    def kept_log(self):
        """What the log group has of this host's first boot."""
        (event,) = self.stack.moto.client("logs").get_log_events(
            logGroupName=self.stack.outputs["LogGroup"], logStreamName=f"setup/{self.instance}"
        )["events"]
        return event["message"]

    def calls(self):
        """What the stand-ins were called with: their argv, and the names of their environment."""
        path = self.root / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def config(self, name):
        return tomllib.loads((self.root / "etc/gitlab-runner" / name).read_text())

    def driver(self, *words, **env):
        return subprocess.run(
            [self.root / "usr/bin/berth-driver", "--config",
             self.root / "etc/gitlab-runner/fargate.toml", *words],
            check=False, capture_output=True, text=True, timeout=60,
            env={**self.environment, "HOME": str(self.root / "root"), **env},
        )  # fmt: skip


def resources(statements):
    """{(sid, action): (resources, condition)}"""
    return {
        (row["Sid"], action): (set(row["Resource"]), row.get("Condition"))
        for row in statements
        for action in row["Action"]
    }


def shellcheck(text):
    done = subprocess.run(
        ["shellcheck", "-"], input=text, check=False, capture_output=True, text=True
    )
    return done.stdout
