# SPDX-License-Identifier: MIT
"""The guide's commands for the template: the stack, and its removal."""

import hashlib
import json
import re
import subprocess

import pytest

from deploy.stack import PACKAGE, TOP, Stack, cli, template
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
            ["bash", "-c", block.text], check=False, capture_output=True, text=True, timeout=180,
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


def test_the_outputs_exist(guide):
    wanted = set(re.findall(r"\$\(output (\w+)\)", guide.block("cloudformation delete-stack").text))
    assert wanted and wanted <= set(template()["Outputs"])


def test_the_removal_leaves_nothing(deployed, guide, run, moto):
    s3 = moto.client("s3")
    s3.put_object(Bucket=deployed.outputs["CacheBucket"], Key="project/1/default", Body=b"x")
    block = guide.block("cloudformation delete-stack")
    (commands,) = re.findall(r"commands=(\[.*\])'", block.text)
    assert json.loads(commands) == [
        "systemctl stop gitlab-runner berth-gc.timer",
        "gitlab-runner unregister --all-runners",
        "berth-driver warm --drain",  # test_template_host.py runs these two
        "berth-driver gc --stop",
    ]
    done = run(block)
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployed.outputs["CacheBucket"] not in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    stacks = moto.client("cloudformation").list_stacks()["StackSummaries"]
    assert [row["StackStatus"] for row in stacks if row["StackName"] == "berth"] == [
        "DELETE_COMPLETE"
    ]
    states = moto.ec2.describe_instances(InstanceIds=[deployed.outputs["RunnerHost"]])
    assert states["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated"
