# SPDX-License-Identifier: MIT
"""The guide's commands for the template: the stack, why it failed, and its removal."""

import hashlib
import json
import re
import subprocess
import time

import pytest

from deploy.stack import BIN, PACKAGE, TEMPLATE, TOP, Stack, cli, shellcheck, template
from docs.guide import Guide


@pytest.fixture(scope="module")
def guide():
    return Guide(TOP / "docs/fargate.md")


@pytest.fixture(scope="module")
def run(moto, secret, tmp_path_factory):
    """run(block): in the clone's top directory, with a package in dist."""
    directory = tmp_path_factory.mktemp("clone")
    (directory / "deploy").symlink_to(TOP / "deploy")
    (directory / "dist").mkdir()
    assert secret.partition(":secret:")[2].startswith("berth-runner-token-")

    def in_bash(block):
        for name in re.findall(r"^PACKAGE=(\S+)$", block.text, re.M):
            (directory / "dist" / name).write_bytes(PACKAGE)
            sums = f"{hashlib.sha256(PACKAGE).hexdigest()}  {name}\n{'0' * 64}  other.rpm\n"
            (directory / "dist/SHA256SUMS").write_text(sums)
        return subprocess.run(
            ["bash", "-c", block.text], check=False, capture_output=True, text=True, timeout=250,
            env=cli(moto, directory), cwd=directory, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return in_bash


@pytest.fixture(scope="module")
def deployed(guide, run, moto):
    done = run(guide.block("aws cloudformation deploy"))
    assert done.returncode == 0, done.stdout + done.stderr
    return Stack(moto, "berth")


def test_the_stack_by_the_guide(deployed):
    script = deployed.user_data()
    assert f"PACKAGE_SHA256='{hashlib.sha256(PACKAGE).hexdigest()}'" in script
    assert re.search(r"PACKAGE_URL='http\S+aarch64\.rpm\?\S+'", script)
    # moto's S3 has no HTTPS; the host would refuse anything else.
    assert "--proto '=https'" in script


def test_parameters_are_those_of_the_template(guide):
    rows = [line.split("|") for line in guide.lines if line.startswith("| `")]
    parameters = template()["Parameters"]
    optional = {name for name, row in parameters.items() if "Default" in row}
    shown = {}
    for row in rows:
        names = re.findall(r"`(\w+)`", row[1])
        if names and set(names) <= set(parameters):
            shown |= dict.fromkeys(names, row[2])
    assert set(shown) == optional
    for name, cell in shown.items():
        default = str(parameters[name]["Default"])
        assert default == "" or f"`{default}`" in cell, (name, default, cell)


def test_the_log_of_the_newest_host_is_shown(deployed, guide, run, moto):
    logs, group = moto.client("logs"), deployed.outputs["LogGroup"]
    assert group == "/berth/berth"
    for n in range(60):  # a page has 50
        logs.create_log_stream(logGroupName=group, logStreamName=f"setup/i-9{n:02}")
    for stream in ("setup/i-2", "setup/i-1", "job/ci/1"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000), "message": f"== doctor\nFAIL {stream}\n"}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
    done = run(guide.block("describe-stack-events"))
    assert (done.returncode, "FAIL setup/i-1\n" in done.stdout) == (0, True), done.stderr
    assert "setup/i-2" not in done.stdout


def test_the_page_of_errors_names_the_steps_of_the_first_boot():
    page = Guide(TOP / "docs/troubleshooting.md").prose()
    steps = set(re.findall(r"^ +say '(.+)'$", TEMPLATE.read_text(), re.M))
    named = set(re.findall(r"^\| `(.+?): `", page, re.M))
    assert len(named) > 4 and named <= steps


REMOVE = TOP / "deploy/cloudformation/remove_stack.sh"
# Calls of the script with services that moto does not play that far.
STAND_IN = """#!/bin/sh
echo "$*" >>"$HOME/calls"
case "$1 $2" in
"ssm wait") exit "${WAIT_STATUS:-0}" ;;
"ecs list-tasks") printf 'task-1\\ttask-2\\n' && exit ;;
"ecs stop-task" | "ecs wait") exit ;;
esac
exec {aws} "$@"
"""


@pytest.fixture(scope="module")
def remove(moto, tmp_path_factory):
    """remove(stack, **env): its outcome; .calls of the AWS CLI."""
    directory = tmp_path_factory.mktemp("remove")
    (directory / "bin").mkdir()
    (directory / "bin/aws").write_text(STAND_IN.replace("{aws}", str(BIN / "aws")))
    (directory / "bin/aws").chmod(0o755)

    def run(stack, **env):
        (directory / "calls").write_text("")
        environment = cli(moto, directory) | env
        environment["PATH"] = f"{directory / 'bin'}:{environment['PATH']}"
        done = subprocess.run(
            ["sh", REMOVE, stack], check=False, capture_output=True, text=True, timeout=300,
            env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        done.calls = (directory / "calls").read_text().splitlines()
        return done

    return run


def test_the_script_of_the_removal_is_sound(guide):
    text = REMOVE.read_text()
    assert shellcheck(text) == ""
    assert "sh deploy/cloudformation/remove_stack.sh berth\n" in guide.block("remove_stack.sh").text
    wanted = set(re.findall(r"^part .* (\w+)$", text, re.M))
    assert len(wanted) == 5 and wanted <= set(template()["Outputs"])
    (commands,) = re.findall(r"commands=(\[.*\])'", text)
    assert json.loads(commands) == [
        "systemctl stop gitlab-runner berth-gc.timer berth-warm.timer",
        "gitlab-runner unregister --all-runners",
        "berth-driver warm --drain",  # test_template_host.py runs these two
        "berth-driver gc --stop",
    ]


def test_a_stack_that_does_not_exist_is_removed(remove):
    """So a second paste is fine."""
    done = remove("berth-never")
    assert done.returncode == 0 and "does not exist" in done.stderr
    assert len(done.calls) == 1


def test_the_removal_leaves_nothing(deployed, remove, moto):
    """With what users added: policies of the jobs' roles, warm tasks, caches; and the host's part
    fails, as on a host that was stopped in the console."""
    s3, iam = moto.client("s3"), moto.client("iam")
    s3.put_object(Bucket=deployed.outputs["CacheBucket"], Key="project/1/default", Body=b"x")
    for role in ("TaskRole", "ExecutionRole"):
        iam.attach_role_policy(
            RoleName=deployed.outputs[role],
            PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
        )
        iam.put_role_policy(
            RoleName=deployed.outputs[role], PolicyName="mine",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]}),
        )  # fmt: skip
    done = remove("berth", WAIT_STATUS="255")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stop the runner on: failed, going on" in done.stderr
    cluster = deployed.outputs["Cluster"]
    for task in ("task-1", "task-2"):
        stop = done.calls.index(f"ecs stop-task --cluster {cluster} --task {task}")
        wait = done.calls.index(f"ecs wait tasks-stopped --cluster {cluster} --tasks {task}")
        assert stop < wait < done.calls.index("cloudformation delete-stack --stack-name berth")
    for role in ("TaskRole", "ExecutionRole"):
        with pytest.raises(iam.exceptions.NoSuchEntityException):
            iam.get_role(RoleName=deployed.outputs[role])
    assert deployed.outputs["CacheBucket"] not in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    stacks = moto.client("cloudformation").list_stacks()["StackSummaries"]
    assert [row["StackStatus"] for row in stacks if row["StackName"] == "berth"] == [
        "DELETE_COMPLETE"
    ]
    states = moto.ec2.describe_instances(InstanceIds=[deployed.outputs["RunnerHost"]])
    assert states["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated"
