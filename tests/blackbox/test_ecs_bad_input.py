# SPDX-License-Identifier: MIT
"""What a job or a file asks for and ECS cannot do: one error that says what to do, the right exit
status, no task, no definition that is registered by half."""

import copy
import itertools
import json
import os

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.ecs_generated import AGENT, HELPER, JOB
from support.registry import Image, RudeRegistry

SERVICE = "nowhere.invalid/redis:7"
MANIFEST = "/v2/app/manifests/1"
NUMBERS = itertools.count()


@pytest.fixture
def registry():
    with RudeRegistry() as running:
        yield running


class Case:
    """A job of its own on the same play; what a row changes of it."""

    def __init__(self, job, registry):
        self.job, self.registry = job, registry
        self.fargate, self.helper = job.fargate, job.helper
        self.fargate["AllowedServices"] = ["nowhere.invalid/*"]
        self.family = f"base-{next(NUMBERS)}"  # what was read of another is remembered
        self.from_registry = f"{registry.host}/app:1"

    def image(self, name, **more):
        self.job.image(name, **more)

    def services(self, *names, **more):
        self.job.services(*({"name": name, **more} for name in names))

    def use_registry(self, **settings):
        self.fargate["AllowedImages"] = [f"{self.registry.host}/*"]
        self.helper["InsecureRegistries"] = [self.registry.host]
        self.fargate.update(settings)
        self.image(self.from_registry)

    def base(self, **more):
        """A base of its own; 'sidecars' have the name of their number."""
        sidecars = more.pop("sidecars", 0)
        named = more.pop("container", "ci-coordinator")
        rows = [{"name": named, "image": "x:1"}]
        rows += [{"name": f"s{n}", "image": "x:1", "essential": False} for n in range(sidecars)]
        self.job.cloud.definitions.define(**{
            "family": self.family, "cpu": "1024", "memory": "2048", "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"], "containerDefinitions": rows, **more,
        })  # fmt: skip
        self.fargate["TaskDefinition"] = self.family


def inactive(case):
    case.base()
    for revision in case.job.cloud.definitions.all():
        revision.status = "INACTIVE"
    case.fargate["TaskDefinition"] += ":1"


def only_for_arm(case):
    case.registry.put_image("app", "1", Image("arm64"))
    case.use_registry()


def lying(case):
    """It leads to the metadata service of the runner host."""
    where = "http://169.254.169.254/latest/meta-data/iam/security-credentials/runner"
    case.registry.put(MANIFEST, b"", status=307, Location=where)
    case.use_registry(RegistrySecrets=[f"{case.registry.host}=arn:aws:secretsmanager:x"])


def masked(case):
    """Of a service whose registry is not asked, as the list does not name it."""
    case.fargate["AllowedServices"] = ["**"]
    case.job.variables(("PASSWORD", "very-secret-value", {"masked": True}))
    case.services(SERVICE, variables=[{"key": "P", "value": "$PASSWORD"}])


def into_the_definition(**more):
    """A masked value, by way of another variable, in a text of 'image:' or of a service."""

    def change(case):
        case.job.variables(
            ("PASSWORD", "very-secret-value", {"masked": True}),
            ("NAME", "x-very-secret-value", {"public": True}),
        )
        service = more.pop("service", None)
        if service is not None:
            case.job.services({"name": SERVICE, **service})
        else:
            case.image(**{"name": JOB, **more})

    return change


def of_the_runner(case):
    """Without JOB_RESPONSE_FILE's key the runner's variable has them, expanded."""
    into_the_definition()(case)
    case.job.response.pop("services", None)
    case.job.write()
    service = {"name": SERVICE, "command": ["--password", "very-secret-value"]}
    case.job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps([service])


def no_list(case):
    case.job.response["services"] = "redis"
    case.job.write()


def numbers(case, count, **more):
    case.services(*(f"nowhere.invalid/s:{n}" for n in range(count)), **more)


def port(number):
    return [{"key": "HEALTHCHECK_TCP_PORT", "value": str(number)}]


BAD = [
    # name, change, words of the message
    (
        "image outside the list",
        lambda c: c.image("ruby:3"),
        ["'ruby:3' is not allowed", "no match"],
    ),
    ("invalid image", lambda c: c.image("nowhere.invalid/a b"), ["is not a valid image name"]),
    (
        "image with capitals",
        lambda c: c.image("nowhere.invalid/Group/App"),
        ["'nowhere.invalid/Group/App' is not a valid image name", "lower case"],
    ),
    ("image of no variable", lambda c: c.image("$NOT_SET"), ["'$NOT_SET' is an empty name"]),
    ("image id", lambda c: c.image("0123456789ab"), ["'0123456789ab'"]),
    ("service outside the list", lambda c: c.services("redis:7"), ["AllowedServices", "no match"]),
    (
        "no services allowed",
        lambda c: (c.fargate.pop("AllowedServices"), c.services(SERVICE)),
        ["[Fargate] AllowedServices of this runner is empty"],
    ),
    ("service without a name", lambda c: c.services(""), ["service '' is not a valid image name"]),
    ("invalid service", lambda c: c.services("no where"), ["'no where' is not a valid image name"]),
    ("no list of services", no_list, ["the job's services are not a list"]),
    ("too many services", lambda c: numbers(c, 8), ["8 services", "the 7 that fit"]),
    ("far too many services", lambda c: numbers(c, 17), ["17 services"]),
    (
        "sidecars leave no room",
        lambda c: (c.base(sidecars=6), numbers(c, 2)),
        ["2 services", "the 1 that fit", "6 others"],
    ),
    ("more sidecars than fit", lambda c: c.base(sidecars=8), ["11 containers", "limit of 10"]),
    (
        "the same port twice",
        lambda c: numbers(c, 2, variables=port(6379)),
        ["both use port 6379", "HEALTHCHECK_TCP_PORT"],
    ),
    (
        "the helper's port",
        lambda c: c.services(SERVICE, variables=port(22123)),
        ["uses port 22123, which is Berth's own", "HelperPort"],
    ),
    ("a masked variable", masked, ["its registry 'nowhere.invalid'", "ServiceSecretsInOverrides"]),
    (
        "a masked value in the name",
        into_the_definition(name="nowhere.invalid/$NAME:1"),
        ["image: 'name' contains the value of the masked variable PASSWORD", "is not masked"],
    ),
    (
        "a masked value as the user",
        into_the_definition(executor_opts={"docker": {"user": "$PASSWORD"}}),
        ["image: 'user' contains the value of the masked variable PASSWORD"],
    ),
    (
        "a masked value in a service's name",
        into_the_definition(service={"name": "nowhere.invalid/${PASSWORD}:1"}),
        ["service: 'name' contains the value of the masked variable PASSWORD"],
    ),
    (
        "a masked value in an alias",
        into_the_definition(service={"alias": "db,$NAME"}),
        ["service: 'alias' contains the value of the masked variable PASSWORD"],
    ),
    (
        "a masked value that the runner has expanded",
        of_the_runner,
        ["service: 'command' contains the value of the masked variable PASSWORD"],
    ),
    (
        "processor of a service",
        lambda c: c.services(SERVICE, executor_opts={"docker": {"platform": "linux/arm64"}}),
        ["its platform is 'linux/arm64', and the task runs on linux/amd64"],
    ),
    (
        "no such processor",
        lambda c: c.image(JOB, executor_opts={"docker": {"platform": "linux/riscv64"}}),
        ["the platform 'linux/riscv64' does not exist on ECS"],
    ),
    ("wrong processor", only_for_arm, ["is built for linux/arm64", "the task runs on linux/amd64"]),
    ("no such image", lambda c: c.use_registry(), ["does not exist in", "correct 'image:'"]),
    ("a registry that lies", lying, ["gave no usable answer", "RegistrySecretsShared"]),
    (
        "no room for overrides",
        lambda c: c.fargate.update(TaskRole="x" * 8192),
        ["above ECS's limit of 8192"],
    ),
    (
        "definition too large",
        lambda c: c.services(SERVICE, command=["x" * 70000]),
        ["above ECS's limit of 65536"],
    ),
    (
        "container of the base",
        lambda c: c.base(container="other"),
        ["has no container 'ci-coordinator'", "[Fargate] ContainerName"],
    ),
    ("no base", lambda c: c.fargate.update(TaskDefinition="none"), ["task definition 'none'"]),
    ("inactive base", inactive, [":1' is INACTIVE", "register it again"]),
    (
        "network of the base",
        lambda c: c.base(networkMode="bridge", requiresCompatibilities=["EC2"]),
        ["is 'bridge'", '"networkMode": "awsvpc"'],
    ),
    (
        "a name of ours in the base",
        lambda c: c.base(volumes=[{"name": "berth"}]),
        ["a volume 'berth', which Berth adds itself", "rename it"],
    ),
    ("no size", lambda c: c.fargate.pop("TaskDefinition"), ["set [Fargate] Cpu and Memory"]),
    ("no agent", lambda c: c.helper.pop("AgentImage"), ["[Helper] AgentImage", "push-agent"]),
    ("no helper", lambda c: c.helper.pop("Image"), ["CI_RUNNER_VERSION"]),
    (
        "helper's version",
        lambda c: (c.helper.pop("Image"), c.job.env.update(CUSTOM_ENV_CI_RUNNER_VERSION="1/x")),
        ["CI_RUNNER_VERSION is '1/x', not a version such as"],
    ),
    ("equal ports", lambda c: c.fargate.update(JobPort=22123), ["JobPort and HelperPort are both"]),
    (
        "privileges",
        lambda c: c.fargate.update(PrivilegedImages=["**"]),
        ["cannot run privileged on AWS Fargate", "Managed Instances"],
    ),
    (
        "size that Fargate lacks",
        lambda c: (c.fargate.pop("TaskDefinition"), c.fargate.update(Cpu=256, Memory=8192)),
        ["No Fargate configuration exists"],
    ),
]


def errors(done):
    return [line for line in done.stderr.splitlines() if " error: " in line]


def kept(job):
    """What is remembered of definitions that were registered."""
    return list((job.driver.metadata / ".ecs-definitions").glob("berth-*"))


def registered(cloud):
    return [row for row in cloud.definitions.all() if row.family.startswith("berth-")]


def test_before_the_launch(generated_job, cloud, registry):
    job = generated_job
    before = copy.deepcopy((job.driver.settings, job.response)), dict(job.env)
    for name, change, words in BAD:
        (settings, response), env = copy.deepcopy(before[0]), dict(before[1])
        job.driver.settings, job.response, job.env = settings, response, env
        job.fargate, job.helper = settings["Fargate"], settings["Helper"]
        job.write()
        registry.answers.clear()
        change(Case(job, registry))
        done = job.stage("prepare")
        print(f"--- {name}\n{done.stderr}")
        assert done.returncode == BUILD_FAILURE, name
        (line,) = errors(done)
        assert [word for word in words if word not in line] == [], name
        assert "very-secret-value" not in done.stderr, name
        assert "Traceback" not in line and "\x1b" not in line and len(line) < 1200, name
        assert cloud.count("RunTask") == 0 and registered(cloud) == [] == kept(job), name
        assert list(job.driver.metadata.glob("job-*.json")) == [], name
    # Only what AWS itself has to judge was sent.
    assert cloud.count("RegisterTaskDefinition") == 1
    (job.driver.settings, job.response), job.env = before
    job.write()


def test_a_registry_that_lies_does_not_stop_a_job(generated_job, cloud, registry):
    """Without a secret to protect, its answers are worth nothing, and the job runs."""
    cloud.containers.images.add_busybox(f"{registry.host}/app:1")
    case = Case(generated_job, registry)
    registry.put(MANIFEST, Image("arm64").manifest, digest="sha256:" + "0" * 64)
    case.use_registry()
    done = generated_job.stage("prepare")
    assert done.returncode == 0 and errors(done) == [], done.stderr


def without_git(images):
    images.remove(HELPER)
    images.add_busybox(HELPER)


def without_runner(images):
    images.get(HELPER).files.clear()


AFTER = [
    # name, change of the images, words of the message
    (
        "helper without git",
        without_git,
        ["helper container", HELPER, "cannot run 'git --version'", "[Helper] Image needs git"],
    ),
    (
        "helper without gitlab-runner",
        without_runner,
        ["cannot run 'gitlab-runner --version'", "[Helper] Image needs git"],
    ),
    ("no job image", lambda images: images.remove(JOB), [JOB, "not found"]),
    ("no agent image", lambda images: images.remove(AGENT), [AGENT, "not found"]),
]


def test_a_user_that_the_image_does_not_have(generated_job):
    generated_job.image(JOB, executor_opts={"docker": {"user": "nosuch"}})
    done = generated_job.stage("prepare")
    (line,) = errors(done)
    assert done.returncode == BUILD_FAILURE and "unable to find user nosuch" in line
    assert "no such user or group; check 'user:' of the job's image" in line


@pytest.mark.parametrize("change, words", [row[1:] for row in AFTER], ids=[row[0] for row in AFTER])
def test_after_the_launch(generated_job, cloud, change, words):
    """What only the task can find out: it is stopped, and its definition is whole."""
    change(cloud.containers.images)
    done = generated_job.stage("prepare")
    (line,) = errors(done)
    assert [word for word in words if word not in line] == []
    assert line.count("retried 1 time") <= 1, "a reason is given once"
    assert done.returncode == BUILD_FAILURE
    assert generated_job.stage("cleanup").returncode == 0
    assert cloud.running() == []
    assert [row.status for row in registered(cloud)] == ["ACTIVE"]
    (path,) = kept(generated_job)
    assert path.read_text() == registered(cloud)[0].arn and path.stat().st_uid == os.geteuid()


def test_a_program_that_is_killed_says_nothing_about_its_image(generated_job, cloud, tmp_path):
    """As in a task that is being stopped, or has no memory: GitLab may try again."""
    script = tmp_path / "killed"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o755)
    cloud.containers.images.get(HELPER).files["/usr/bin/gitlab-runner-helper"] = script
    done = generated_job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert "helper container: 'gitlab-runner --version' was killed in the task" in done.stderr


def test_what_the_author_spells_out_is_not_masked(generated_job, cloud):
    """A masked value that happens to be a word of the image's name, or of a command."""
    generated_job.variables(("PASSWORD", "nowhere", {"masked": True}), ("TAG", "1", {}))
    generated_job.image("nowhere.invalid/job:$TAG", entrypoint=["env", "NAME=nowhere"])
    done = generated_job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert cloud.count("RegisterTaskDefinition") == 1
