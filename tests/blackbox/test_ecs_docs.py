# SPDX-License-Identifier: MIT
"""The commands of docs/fargate.md: what they make is what AWS's model and the driver take."""

import json
import re
import subprocess

import pytest
from botocore.validate import ParamValidator

from support.ecs import MODEL, Fault

VALUES = {"ACCOUNT": "123456789012", "AWS_REGION": "ap-northeast-1", "CLUSTER": "gitlab-runner-dev"}


def blocks(text):
    """The indented blocks, without their indentation."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)
    return [re.sub(r"^    ", "", block, flags=re.M).strip("\n") for block in found if block.strip()]


@pytest.fixture
def commands(top):
    return blocks((top / "docs/fargate.md").read_text())


@pytest.fixture
def files(commands):
    """Contents of the here-documents, by name."""
    script = "\n".join(commands)
    found = re.findall(r"^cat >(\S+) <<'?END'?\n(.*?)^END$", script, re.M | re.S)
    assert len(found) >= 6
    return dict(found)


def fill(text, **more):
    for name, value in {**VALUES, **more}.items():
        text = text.replace(f"${name}", value)
    return text


def test_both_languages_have_the_same_commands(top, commands):
    assert blocks((top / "docs/fargate.ja.md").read_text()) == commands


def test_the_shell_understands_them(commands):
    for block in commands:
        if "script:" in block or block.startswith("COPY"):
            continue
        done = subprocess.run(
            ["bash", "-n"], input=block, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{block}"


def test_the_task_definition_fits_the_model(files, cloud):
    task = json.loads(fill(files["task.json"], FAMILY="f", REGISTRY="r"))
    shape = MODEL.operation_model("RegisterTaskDefinition").input_shape
    assert not ParamValidator().validate(task, shape).has_errors()
    cloud.moto.ecs.register_task_definition(**task)


def test_the_policies_are_json_and_name_what_the_driver_calls(files, ecs_job, cloud):
    policies = [json.loads(fill(files[name])) for name in files if name.endswith("policy.json")]
    (policy,) = policies
    allowed = set()
    for row in policy["Statement"]:
        actions = row["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    ecs_job.fargate |= {"EnablePublicIP": True, "UsePublicIP": True}
    cloud.listen_public = True
    assert ecs_job.stage("prepare").returncode == 0
    assert ecs_job.driver.run("ps", env=ecs_job.env).returncode == 0
    assert ecs_job.stage("cleanup").returncode == 0
    cloud.faults.append(Fault("RunTask", reset="after", times=20))
    ecs_job.stage("prepare")
    called = {name for name, _ in cloud.calls}
    assert called == {
        "RunTask", "DescribeTasks", "StopTask", "ListTasks", "DescribeNetworkInterfaces",
    }  # fmt: skip
    for name in called:
        assert {f"ecs:{name}", f"ec2:{name}"} & allowed, name


def test_the_configuration_has_no_unknown_key(files, berth_driver, tmp_path):
    path = tmp_path / "fargate.toml"
    path.write_text(fill(files["/etc/gitlab-runner/fargate.toml"], SUBNET="s", TASK_SG="g"))
    done = berth_driver.run(
        "--config", path, "custom", "config", config=False,
        env=berth_driver.environment(CUSTOM_ENV_CI_JOB_ID="1"),
    )  # fmt: skip
    assert done.returncode == 0 and "unknown key" not in done.stderr, done.stderr
