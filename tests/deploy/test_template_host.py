# SPDX-License-Identifier: MIT
"""The first boot of the template's runner host: what it installs and writes, that 'doctor' is green
a whole job runs, and that the stack fails with the reason otherwise."""

import io
import json
import os
import re
import subprocess
import tarfile

import pytest

from deploy.stack import BUSYBOX, DRIVER, PACKAGE, TOKEN, Host, HostAws, Outside, resources
from runner import job as runner_job
from runner.gitlab_runner import Runner
from support.driver import Driver
from support.ecs import Cloud
from support.ecs_generated import RUNNER_HELPER
from support.ecs_moto import REGION

# The first test makes a package, a stack and the host.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def aws(stack):
    with HostAws(stack) as running:
        yield running
        assert running.model_problems() == []
        assert {call.signature for call in running.calls} == {"good"}


@pytest.fixture(scope="module")
def booted(stack, aws, package, tmp_path_factory):
    """A host that has come up; tests only look at it."""
    directory = tmp_path_factory.mktemp("booted")
    with Outside(directory, aws) as outside:
        host = Host(stack, aws, outside, directory / "host", package)
        host.status, host.signal, host.log = host.boot()
        yield host


@pytest.fixture
def host(booted, aws, tmp_path):
    """The next host of the stack, as after an update: the images are there already."""
    before = len(aws.calls)
    with Outside(tmp_path, aws) as outside:
        yield Host(booted.stack, aws, outside, tmp_path / "host", booted.package)
    assert "UploadLayerPart" not in [call.operation for call in aws.calls[before:]]


def test_the_stack_succeeds_once_doctor_is_green(booted):
    assert (booted.status, booted.signal["Status"]) == (0, "SUCCESS"), booted.log
    assert set(booted.signal) == {"Status", "UniqueId", "Data", "Reason"}
    assert ", 0 failures, " in booted.log and "FAIL" not in booted.log
    for finding in ("linux/amd64", "port 22122 is open", "port 22123 is open",
                    "ecs:RegisterTaskDefinition is allowed", "iam:PassRole is allowed",
                    "'debian:13' exists"):  # fmt: skip
        assert finding in booted.log, booted.log


def test_the_next_host_reports_without_a_wait_condition(host):
    """As an update of the stack makes it: the address of the handle has expired."""
    host.outside.handle_status = 403
    status, signal, log = host.boot()
    assert (status, signal["Status"]) == (0, "SUCCESS"), log


def test_the_package_is_installed_whole(booted):
    """As rpm's database has it: owners, modes and digests."""
    rights = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
    done = subprocess.run(
        [*rights, "rpm", "--root", booted.root, "--dbpath", "/var/lib/rpm", "--verify", "--nodeps",
         "berth"], check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_doctor_has_no_warning_either(booted):
    assert ", 0 warnings, 0 failures, 0 not checked" in booted.log, booted.log


def test_files_and_calls(booted):
    stack = booted.stack
    fargate = booted.config("fargate.toml")["Fargate"]
    assert fargate["Cluster"] == stack.outputs["Cluster"]
    assert ",".join(fargate["Subnets"]) == stack.outputs["Subnets"]
    assert fargate["SecurityGroup"] == stack.outputs["TaskSecurityGroup"]
    assert booted.config("fargate.toml")["SSH"]["HostKey"] == "strict"
    helper = booted.config("fargate.toml")["Helper"]
    for key in ("AgentImage", "Image"):
        repository, _, tag = helper[key].rpartition(":")
        assert repository == stack.outputs["Repository"] and tag in booted.aws.tags
    config = booted.config("config.toml")
    assert config["concurrent"] == 4
    (runner,) = config["runners"]
    assert runner["request_concurrency"] == 4
    assert (runner["executor"], runner["url"]) == ("custom", "https://gitlab.com/")
    for stage in ("config", "prepare", "run", "cleanup"):
        program = runner["custom"][f"{stage}_exec"]
        assert program == str(booted.root / "usr/bin/berth-driver")
        assert runner["custom"][f"{stage}_args"][2:] == ["custom", stage]
    cache = runner["cache"]
    assert (cache["Type"], cache["Shared"]) == ("s3", True)
    assert cache["s3"]["BucketName"] == stack.outputs["CacheBucket"]
    done = [words for _, words, _ in booted.calls()]
    assert done[0] == ["install", "-y", "gitlab-runner"]
    assert done[-2:] == [
        ["enable", "gitlab-runner", "berth-gc.timer"],
        ["restart", "gitlab-runner", "berth-gc.timer"],
    ]


def test_images_without_a_shell_get_the_busybox(booted, aws):
    """Where push-agent looks, and in the agent's image."""
    path = booted.root / "usr/lib/berth/busybox-x86_64"
    assert path.read_bytes() == BUSYBOX and path.stat().st_mode & 0o777 == 0o755
    tag = booted.config("fargate.toml")["Helper"]["AgentImage"].rpartition(":")[2]
    image = json.loads(aws.images[aws.tags[tag]])
    for entry in image.get("manifests", []):  # the package has both processors' agents
        if entry["platform"]["architecture"] == "amd64":
            image = json.loads(aws.images[entry["digest"]])
    (layer,) = image["layers"]
    with tarfile.open(fileobj=io.BytesIO(aws.layers[layer["digest"]])) as files:
        assert files.extractfile("busybox").read() == BUSYBOX


def test_where_the_token_is(booted):
    """In config.toml of mode 0600, and in the environment of 'register' alone."""
    config = booted.root / "etc/gitlab-runner/config.toml"
    assert TOKEN in config.read_text() and config.stat().st_mode & 0o777 == 0o600
    for program, words, environment in booted.calls():
        assert TOKEN not in " ".join(words)
        assert ("CI_SERVER_TOKEN" in environment) == (words[:1] == ["register"]), program
    files = [path for path in booted.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == [config]
    assert TOKEN not in json.dumps(booted.signal) + booted.kept_log()
    assert (booted.root / "var/log/berth-setup.log").stat().st_mode & 0o777 == 0o600


def test_the_role_is_what_doctor_prints(booted):
    """Action by action."""
    done = booted.driver("doctor", "--policy")
    assert done.returncode == 0, done.stderr
    printed = resources(json.loads(done.stdout)["Statement"])
    assert resources(booted.stack.policies("HostRole")["berth-driver"]["Statement"]) == printed


def test_the_rest_of_the_role_is_what_the_first_boot_and_the_cache_need(booted):
    repository = booted.stack.outputs["Repository"]
    done = booted.driver("push-agent", "--policy", repository)
    assert done.returncode == 0, done.stderr
    push = {action for _, action in resources(json.loads(done.stdout)["Statement"])}
    rows = resources(booted.stack.policies("HostRole")["host"]["Statement"])
    found = {action for sid, action in rows if sid == "PushImages"}
    assert found == push - {"ecr:CreateRepository"}
    assert {action for sid, action in rows if sid != "PushImages"} == {
        "secretsmanager:GetSecretValue", "s3:ListBucket", "s3:GetObject", "s3:PutObject",
        "cloudformation:SignalResource", "logs:CreateLogStream", "logs:PutLogEvents",
        "ssm:GetParameter", "ssm:GetParameters",
    }  # fmt: skip
    assert {sid for (sid, _), (found, _) in rows.items() if "*" in found} == {"NoParameters"}


def test_the_host_calls_nothing_that_its_role_does_not_allow(booted):
    """The first boot's calls and doctor's."""
    allowed = {action for row in booted.aws.statements for action in row["Action"]}
    called = {f"{call.service}:{call.operation}" for call in booted.aws.calls if call.service}
    assert called - {"sts:GetCallerIdentity"} <= allowed
    assert {"ecr:PutImage", "secretsmanager:GetSecretValue", "ecs:DescribeClusters"} <= called


def test_init_writes_such_a_file_as_well(booted, tmp_path):
    """With the stack's outputs as answers; 'doctor' finds no failure then, either."""
    outputs, path = booted.stack.outputs, tmp_path / "fargate.toml"
    agent = booted.config("fargate.toml")["Helper"]["AgentImage"]
    answers = ["ecs", REGION, outputs["Cluster"], f"base-{booted.stack.name}", "",
               outputs["Subnets"], outputs["TaskSecurityGroup"], "yes", "no", "no", agent,
               "debian:13", "", "", tmp_path / "metadata", "", "strict"]  # fmt: skip
    # Its suggestions are those of an administrator.
    env = booted.environment | {"AWS_ENDPOINT_URL": booted.stack.moto.url}
    program = booted.root / "usr/bin/berth-driver"
    done = subprocess.run(
        [program, "init", path], input="".join(f"{answer}\n" for answer in answers), env=env,
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search(r"found: (.*)", done.stderr)[1].split(", ")
    assert outputs["Cluster"] in found
    assert 'Image = "debian:13"' in map(str.strip, path.read_text().splitlines())
    done = subprocess.run(
        [program, "--config", path, "doctor"], env=booted.environment, check=False,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, ", 0 failures, " in done.stdout) == (0, True), done.stdout


def fails(host, step):
    status, signal, log = host.boot()
    assert status != 0 and signal["Status"] == "FAILURE", log
    assert signal["Reason"].startswith(f"{step}: "), signal
    assert len(signal["Reason"]) < 1200 and signal["Reason"].isprintable()
    assert host.kept_log()[-300:] in log and len(host.kept_log()) > 100
    words = [words[:1] for _, words, _ in host.calls()]
    assert ["restart"] not in words and ["60"] in words
    return signal["Reason"]


def test_the_stack_fails_with_doctors_text(host):
    rule = {"IpProtocol": "tcp", "FromPort": 22122, "ToPort": 22123}
    rule["UserIdGroupPairs"] = [{"GroupId": host.stack.id("HostGroup")}]
    group = host.stack.id("TaskGroup")
    ec2 = host.stack.moto.ec2
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    try:
        reason = fails(host, "berth-driver doctor")
    finally:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    assert "FAIL  no security group rule allows TCP port 22122" in reason
    assert "-> allow it for the group of this machine" in reason and " ok " not in reason
    assert not (host.root / "etc/gitlab-runner/config.toml").exists(), "it must not take jobs"


def test_the_reason_is_short_and_text(host):
    (host.root / "dnf-fails").write_bytes(
        b'\x1b[31m"\\\xff\xe3\x81' * 10000 + b"\nno package gitlab-runner\n"
    )
    assert fails(host, "Install GitLab Runner").endswith("no package gitlab-runner")


def test_a_package_of_other_bytes_is_not_installed(host):
    host.outside.package(PACKAGE)
    assert "did NOT match" in fails(host, "Install Berth")
    assert not (host.root / "usr/bin/berth-driver").exists()


@pytest.mark.parametrize("text", ['{"token": "glrt-x"}', "GR1348941-legacy", "glrt-a b"])
def test_a_secret_that_is_no_token(host, text):
    secrets = host.stack.moto.client("secretsmanager")
    arn = next(row["ParameterValue"] for row in host.stack.parameters
               if row["ParameterKey"] == "TokenSecretArn")  # fmt: skip
    secrets.put_secret_value(SecretId=arn, SecretString=text)
    try:
        reason = fails(host, "Register with GitLab")
    finally:
        secrets.put_secret_value(SecretId=arn, SecretString=TOKEN)
    assert "is not a runner authentication token (glrt-...)" in reason and text not in reason
    assert ["register"] not in [words[:1] for _, words, _ in host.calls()]


class StackCloud(Cloud):
    """Tasks for the stack's cluster."""

    def __init__(self, stack, directory):
        self.stack = stack
        super().__init__(stack.moto, directory, str(DRIVER.parent / "berth-agent"))

    def _make_cluster(self):
        outputs = self.stack.outputs
        self.cluster, self.group = outputs["Cluster"], outputs["TaskSecurityGroup"]
        self.subnets = outputs["Subnets"].split(",")

    def define_base(self):
        """The template's task definition, which the play has to know."""
        name = self.stack.id("TaskDefinition")
        base = self.moto.ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
        wanted = ("family", "networkMode", "requiresCompatibilities", "runtimePlatform", "cpu",
                  "memory", "executionRoleArn", "taskRoleArn", "containerDefinitions")  # fmt: skip
        self.definitions.define(**{key: base[key] for key in wanted})


@pytest.fixture
def cloud(stack, tmp_path):
    directory = tmp_path / "cloud"
    directory.mkdir()
    instance = StackCloud(stack, directory)
    instance.containers.check()
    instance.define_base()
    yield instance
    assert instance.stop() == []


def test_a_whole_job(booted, cloud, tmp_path):
    """With an image of its own, by the file that the host wrote; then what the removal calls."""
    helper = booted.config("fargate.toml")["Helper"]
    images = cloud.containers.images
    images.add_agent(helper["AgentImage"])
    script = tmp_path / "gitlab-runner-helper"
    script.write_text(RUNNER_HELPER)
    script.chmod(0o755)
    images.add(helper["Image"], "/", files={"/usr/bin/gitlab-runner-helper": script})
    images.add_busybox("nowhere.invalid/job:1")
    program = booted.root / "usr/bin/berth-driver"
    command = [program, "--config", booted.root / "etc/gitlab-runner/fargate.toml"]
    driver = Driver(program, tmp_path)
    env = driver.environment(HOME=str(tmp_path)) | cloud.environment() | booted.aws.keys
    env["AWS_ENDPOINT_URL_ECR"] = booted.aws.url
    log = []
    job = runner_job.Job(script=['echo "It works, $(id -un)"'], image="nowhere.invalid/job:1",
                         token="glcbt-4711", timeout_s=90)  # fmt: skip
    result = Runner([*command, "custom"], job, log.append, env=env, prepare_pause_s=0).run()
    text = b"".join(log).decode(errors="replace")
    assert result.status == "success" and "\nIt works, " in text, text
    assert cloud.running() == []
    (request,) = cloud.requests("RunTask")
    network = request["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "ENABLED" and network["securityGroups"] == [cloud.group]
    (registered,) = cloud.requests("RegisterTaskDefinition")
    assert registered["executionRoleArn"].endswith(booted.stack.id("ExecutionRole"))
    allowed = {action for row in booted.aws.statements for action in row["Action"]}
    assert {f"ecs:{name}" for name, _ in cloud.calls} <= allowed
    for words in (("warm", "--drain"), ("gc", "--stop")):
        done = booted.driver(*words, **env)
        assert done.returncode == 0, done.stderr
