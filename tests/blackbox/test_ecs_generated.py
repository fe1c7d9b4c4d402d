# SPDX-License-Identifier: MIT
"""Jobs with an image of their own on ECS: generated task definitions, whole jobs in the play."""

import copy
import json
import os
import threading
import time

import pytest

from support import cfn, ecs_definitions
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE, Driver, prepare
from support.ecs import FAMILY
from support.ecs_generated import AGENT, HELPER, JOB, GeneratedJob
from support.ecs_requests import Fault, refusal
from support.history import documented


def by_name(definition):
    return {row["name"]: row for row in definition["containerDefinitions"]}


def test_a_job_in_an_image_without_git(generated_job, cloud):
    config = json.loads(generated_job.stage("config").stdout)
    assert (config["builds_dir"], config["cache_dir"]) == ("/builds", "/cache")
    prepare(generated_job)
    (request,) = cloud.requests("RegisterTaskDefinition")
    assert request["family"].startswith("berth-") and "tags" not in request
    containers = by_name(request)
    assert {name: row["image"] for name, row in containers.items()} == {
        "berth-inject": AGENT,
        "berth-helper": HELPER,
        "ci-coordinator": JOB,
    }
    assert cfn.lint({k: v for k, v in request.items() if k != "family"}) == []
    script = "git init -q /builds/p; echo $PWD >/builds/p/made; which git gitlab-runner\n"
    done = generated_job.run(script, "get_sources")
    assert done.returncode == 0, done.stderr
    done = generated_job.run("ls /builds/p; type git || exit 42\n")
    assert done.returncode == BUILD_FAILURE and generated_job.exit_code() == "42\n"
    assert b"made" in done.stdout
    (run,) = cloud.requests("RunTask")
    assert ":task-definition/berth-" in run["taskDefinition"]
    assert "request" not in generated_job.metadata()["state"], "its secrets are gone"


def test_the_helper_waits_while_the_jobs_image_is_pulled(generated_job, cloud):
    """Its agent would exit without a login after ten minutes."""
    generated_job.fargate["LaunchTimeout"] = "20m"
    prepare(generated_job)
    (run,) = cloud.requests("RunTask")
    for container in run["overrides"]["containerOverrides"]:
        wanted = {"name": "BERTH_CONNECT_TIMEOUT", "value": f"{20 * 60000}ms"}
        assert wanted in container["environment"], container["name"]


@pytest.mark.parametrize("timeout_s", [3600, 36000])
def test_a_container_is_idle_while_stages_run_in_the_other(generated_job, cloud, timeout_s):
    """The helper during a long script, the job's during a long clone: both are essential."""
    generated_job.response["runner_info"] = {"timeout": timeout_s}
    generated_job.write()
    prepare(generated_job)
    (run,) = cloud.requests("RunTask")
    idle = {
        row["name"]: [
            variable["value"]
            for variable in row["environment"]
            if variable["name"] == "BERTH_IDLE_TIMEOUT"
        ]
        for row in run["overrides"]["containerOverrides"]
    }
    assert idle["berth-helper"] == [f"{7 * 86400}000ms"]
    assert idle["ci-coordinator"] == ([] if timeout_s == 3600 else [f"{timeout_s}000ms"])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda job: job.image("ruby:3"), "[Fargate] AllowedImages of this runner has no match"),
        (lambda job: job.image("nowhere.invalid/a b"), "is not a valid image name"),
        (lambda job: job.helper.pop("AgentImage"), "'berth-driver push-agent' pushes"),
        (lambda job: job.helper.pop("Image"), "CI_RUNNER_VERSION is '', not a version such as"),
        (
            lambda job: job.image(JOB, executor_opts={"docker": {"platform": "windows"}}),
            "the platform 'windows' does not exist on ECS",
        ),
        (
            lambda job: job.image(JOB, entrypoint=["env", *["A=1"] * 32]),
            "the job's image: 'entrypoint' has more than 32 words",
        ),
        (lambda job: job.fargate.update(ContainerName="other"), "has no container 'other'"),
        (lambda job: job.fargate.update(TaskDefinition="none"), "cannot read the task definition"),
        (lambda job: job.fargate.pop("TaskDefinition"), "set [Fargate] Cpu and Memory"),
        (lambda job: job.fargate.update(TaskRole="x" * 8192), "above ECS's limit of 8192"),
        (
            lambda job: job.services({"name": "redis:7"}),
            "[Fargate] AllowedServices of this runner is empty",
        ),
        (lambda job: job.services({"alias": "x"}), "the job's service '' is not a valid image"),
    ],
)
def test_bad_input_is_one_message_and_no_call(generated_job, cloud, change, message):
    change(generated_job)
    done = prepare(generated_job, BUILD_FAILURE)
    assert message in done.stderr
    assert cloud.count("RegisterTaskDefinition") == cloud.count("RunTask") == 0


def test_a_job_without_an_image_is_as_before(generated_job, cloud):
    del generated_job.response["image"]
    del generated_job.env["CUSTOM_ENV_CI_JOB_IMAGE"]
    generated_job.write()
    generated_job.driver.settings["SSH"]["Port"] = cloud.ssh_port
    assert "builds_dir" not in json.loads(generated_job.stage("config").stdout)
    prepare(generated_job)
    (request,) = cloud.requests("RunTask")
    assert request["taskDefinition"] == FAMILY
    assert cloud.count("RegisterTaskDefinition") == cloud.count("DescribeTaskDefinition") == 0


def test_without_a_base_the_file_has_size_role_and_log(generated_job, cloud):
    del generated_job.fargate["TaskDefinition"]
    generated_job.fargate |= {
        "Cpu": 512,
        "Memory": 1024,
        "ExecutionRole": "arn:aws:iam::123456789012:role/pull",
        "LogGroup": "/ci/jobs",
        "Image": JOB,
    }
    del generated_job.fargate["AllowedImages"]
    del generated_job.response["image"]
    del generated_job.env["CUSTOM_ENV_CI_JOB_IMAGE"]
    generated_job.write()
    prepare(generated_job)
    (request,) = cloud.requests("RegisterTaskDefinition")
    assert (request["cpu"], request["memory"]) == ("512", "1024")
    assert request["executionRoleArn"].endswith(":role/pull")
    log = by_name(request)["berth-helper"]["logConfiguration"]
    assert log["options"]["awslogs-group"] == "/ci/jobs"
    assert cloud.count("DescribeTaskDefinition") == 0
    assert cfn.lint({k: v for k, v in request.items() if k != "family"}) == []
    assert generated_job.run("echo works\n").stdout == b"works\n"


def again(job):
    """Another job of the same kind."""
    assert job.stage("cleanup").returncode == 0
    prepare(job)


def test_a_known_definition_costs_no_call(generated_job, cloud):
    prepare(generated_job)
    again(generated_job)
    generated_job.fargate["Cpu"] = 512
    again(generated_job)
    counts = [cloud.count(name) for name in ("RegisterTaskDefinition", "DescribeTaskDefinition")]
    assert counts == [1, 1], "sizes are overrides; the base is read once in five minutes"
    generated_job.image(JOB, executor_opts={"docker": {"user": "0:0"}})
    again(generated_job)
    assert cloud.count("RegisterTaskDefinition") == 2


def test_a_base_is_read_again_after_five_minutes_unless_it_has_a_revision(generated_job, cloud):
    prepare(generated_job)
    (kept,) = (generated_job.driver.metadata / ".ecs-definitions").glob("base-*")
    assert kept.stat().st_mode & 0o777 == 0o600
    os.utime(kept, (time.time() - 301,) * 2)
    again(generated_job)
    assert cloud.count("DescribeTaskDefinition") == 2
    generated_job.fargate["TaskDefinition"] = f"{FAMILY}:1"
    again(generated_job)
    for kept in (generated_job.driver.metadata / ".ecs-definitions").glob("base-*"):
        os.utime(kept, (time.time() - 86400,) * 2)
    again(generated_job)
    assert cloud.count("DescribeTaskDefinition") == 3
    assert cloud.count("RegisterTaskDefinition") == 1, "the content is the same"


def test_two_identities_share_nothing_that_is_remembered(generated_job, cloud, tmp_path):
    """They may be of two accounts, with the same names in both: an ARN of one is of no use in the
    other."""
    (tmp_path / "aws").write_text("".join(f"[profile {name}]\nregion = x\n" for name in "ab"))
    (tmp_path / "keys").write_text(
        "".join(
            f"[{name}]\naws_access_key_id = AKIA{name}\naws_secret_access_key = {name}\n"
            for name in "ab"
        )
    )
    generated_job.env |= {
        "AWS_CONFIG_FILE": str(tmp_path / "aws"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys"),
    }
    counts = []
    for profile in ("a", "b", "a"):
        generated_job.driver.settings["AWS"] = {"Profile": profile}
        prepare(generated_job)
        assert generated_job.stage("cleanup").returncode == 0
        names = ("RegisterTaskDefinition", "DescribeTaskDefinition")
        counts.append([cloud.count(name) for name in names])
    assert counts == [[1, 1], [2, 2], [2, 2]]
    del generated_job.driver.settings["AWS"]
    generated_job.env["AWS_ACCESS_KEY_ID"] = "AKIAANOTHER"
    prepare(generated_job)
    assert cloud.count("RegisterTaskDefinition") == 3


@pytest.mark.parametrize("inactive", [False, True])
def test_a_definition_that_was_removed_is_registered_again(generated_job, cloud, inactive):
    prepare(generated_job)
    assert generated_job.stage("cleanup").returncode == 0
    (revision,) = [row for row in cloud.definitions.all() if row.family.startswith("berth-")]
    revision.status = "INACTIVE" if inactive else "DELETED"
    revision.runnable_until = 0
    for kept in (generated_job.driver.metadata / ".ecs-definitions").glob("berth-*"):
        os.utime(kept, (time.time() - 3600,) * 2)
    prepare(generated_job)
    assert cloud.count("RegisterTaskDefinition") == 2
    assert cloud.requests("RunTask")[-1]["taskDefinition"].endswith(":2")
    again(generated_job)
    assert cloud.count("RegisterTaskDefinition") == 2


@pytest.mark.parametrize("answer", ["NOT_FOUND", "INACTIVE"])
def test_a_new_definition_may_show_up_late(generated_job, cloud, answer):
    cloud.definitions.lag_s = 2
    cloud.definitions.lag_answer = getattr(ecs_definitions, answer)
    prepare(generated_job)
    assert cloud.count("RegisterTaskDefinition") == 1 and cloud.count("RunTask") > 1


def test_a_new_definition_that_shows_up_too_late_is_no_fault_of_the_job(generated_job, cloud):
    cloud.definitions.lag_s = 30
    generated_job.fargate["LaunchTimeout"] = "3s"
    done = generated_job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert "LaunchTimeout must be longer" in done.stderr
    assert "FARGATE_TASK_DEFINITION" not in done.stderr


def test_two_hosts_that_register_the_same_both_go_on(generated_job, cloud, tmp_path, programs):
    cloud.definitions.wanted_collisions = 1
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    driver = Driver(programs.driver, other_directory)
    driver.settings = copy.deepcopy(generated_job.driver.settings)
    driver.settings["TaskMetadata"] = {"Directory": str(other_directory / "metadata")}
    other = GeneratedJob(driver, other_directory, cloud, 4712)
    driver.metadata = other_directory / "metadata"
    threads = [threading.Thread(target=prepare, args=(job,)) for job in (generated_job, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cloud.definitions.collisions >= 1 and cloud.count("RunTask") == 2
    assert len({request["taskDefinition"] for request in cloud.requests("RunTask")}) == 1
    assert other.stage("cleanup").returncode == 0


def test_a_killed_prepare_is_repeated_byte_for_byte(generated_job, cloud, until):
    gate = cloud.hold(4711, "RunTask", "after")
    process = generated_job.start_prepare()
    assert gate.reached.wait(60)
    process.kill()
    process.wait(60)
    gate.open.set()
    cloud.listing = False
    state = generated_job.metadata()["state"]
    assert state["request"]["taskDefinition"] == state["definition"]
    generated_job.fargate |= {"Cpu": 4096, "Subnet": cloud.subnets[1], "ContainerName": "new"}
    generated_job.image("nowhere.invalid/other:2")
    assert generated_job.stage("cleanup").returncode == 0
    first, second = cloud.requests("RunTask")
    assert json.dumps(first) == json.dumps(second)
    assert cloud.running() == [] and len(cloud.tasks) == 1


def test_a_request_that_cannot_be_recorded_is_never_sent(generated_job, cloud, until):
    """Not by the clean-up of the failed prepare either, which repeats what may have been sent."""
    cloud.faults.append(Fault("RegisterTaskDefinition", delay_s=3))
    process = generated_job.start_prepare()
    until(lambda: cloud.count("RegisterTaskDefinition") == 1, 60, "the registration")
    generated_job.driver.metadata.chmod(0o777)
    code = process.wait(60)
    generated_job.driver.metadata.chmod(0o700)
    assert code in (BUILD_FAILURE, SYSTEM_FAILURE) and cloud.count("RunTask") == 0


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["text", "json"])
def test_old_definitions_are_removed(generated_job, cloud, words):
    prepare(generated_job)
    assert generated_job.stage("cleanup").returncode == 0
    cloud.definitions.define(
        family="berth-of-another", cpu="256", memory="512", networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"], containerDefinitions=[{"name": "a", "image": "a"}],
    )  # fmt: skip
    done = generated_job.driver.run("gc", "--task-definitions", *words, env=generated_job.env)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    cloud.definitions.age(31 * 86400)
    done = generated_job.driver.run("gc", "--task-definitions", *words, env=generated_job.env)
    assert done.returncode == 0, done.stderr
    (mine, other) = cloud.definitions.all()
    assert (mine.status, other.status) == ("DELETED", "ACTIVE")
    if words:
        wanted = {"backend": "ecs", "task_definition": mine.arn, "removed": True}
        assert json.loads(done.stdout) == wanted and set(wanted) <= documented("gc")
    else:
        assert done.stdout.decode() == f"removed {mine.arn}\n"
    prepare(generated_job)
    assert cloud.count("RegisterTaskDefinition") == 2
    assert cloud.count("RunTask") == 2, "the one that is gone is not remembered"


def test_an_old_definition_that_cannot_be_removed_keeps_no_other(generated_job, cloud):
    prepare(generated_job)
    generated_job.image(JOB, executor_opts={"docker": {"user": "0:0"}})
    again(generated_job)
    assert generated_job.stage("cleanup").returncode == 0
    cloud.definitions.define(
        family="other", cpu="256", memory="512", networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"], containerDefinitions=[{"name": "a", "image": "a"}],
    )  # fmt: skip
    cloud.definitions.age(31 * 86400)

    def collect():
        return generated_job.driver.run("gc", "--task-definitions", env=generated_job.env)

    # Answers about a definition of another family, and without the time of its registration.
    (other,) = [row for row in cloud.definitions.all() if row.family == "other"]
    body = {"taskDefinitionArns": [other.arn]}
    cloud.faults += [Fault("ListTaskDefinitions", status=200, body=body, times=4)]
    assert collect().stdout == b""
    cloud.faults += [Fault("DescribeTaskDefinition", status=200, body={}, times=2)]
    assert collect().stdout == b"" and cloud.count("DeregisterTaskDefinition") == 0
    denied = refusal("AccessDeniedException", "not authorized")
    cloud.faults.append(Fault("DeregisterTaskDefinition", status=400, body=denied))
    done = collect()
    assert done.returncode != 0 and "not every old task definition could be removed" in done.stderr
    assert done.stdout.count(b"removed ") == 1
    assert sorted(row.status for row in cloud.definitions.all()) == ["ACTIVE", "ACTIVE", "DELETED"]
    assert other.status == "ACTIVE"


def test_the_base_goes_to_job_helper_and_sidecars(generated_job, cloud):
    cloud.containers.images.add_busybox("nowhere.invalid/side:1")
    cloud.definitions.define(
        family="base",
        cpu="1024",
        memory="2048",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        containerDefinitions=[
            {
                "name": "ci-coordinator",
                "image": "gone:1",
                "entryPoint": ["/gone"],
                "workingDirectory": "/gone",
                "environment": [{"name": "OF_BASE", "value": "yes"}],
            },
            {
                "name": "side",
                "image": "nowhere.invalid/side:1",
                "essential": False,
                "entryPoint": ["sleep", "600"],
            },
        ],
    )
    generated_job.fargate["TaskDefinition"] = "base"
    prepare(generated_job)
    (request,) = cloud.requests("RegisterTaskDefinition")
    containers = by_name(request)
    assert containers["side"]["entryPoint"] == ["sleep", "600"]
    assert "workingDirectory" not in containers["ci-coordinator"]
    for stage in ("build_script", "get_sources"):
        assert generated_job.run("echo $OF_BASE\n", stage).stdout == b"yes\n"


def test_the_users_files_are_handed_over(generated_job, cloud, programs):
    if programs.sanitized:
        pytest.skip("the leak checker cannot look at a process of another user there")
    generated_job.image(
        JOB, executor_opts={"docker": {"user": "1000:1000"}}, entrypoint=["env", "W=1"]
    )
    prepare(generated_job)
    assert generated_job.run("mkdir /builds/p; touch /builds/p/f\n", "get_sources").returncode == 0
    done = generated_job.run("id -u; stat -c %u /builds/p/f; echo $W; touch $HOME/x && echo home\n")
    assert done.stdout == b"1000\n1000\n1\nhome\n", done.stderr


def test_an_entrypoint_without_a_program_is_none(generated_job, cloud):
    """As on docker; the agent refuses to start with it."""
    generated_job.image(JOB, entrypoint=["", "W=1"])
    prepare(generated_job)
    assert generated_job.run("echo works\n").stdout == b"works\n"


@pytest.mark.parametrize("platform, processor", [("linux", "ARM64"), ("linux/amd64", "X86_64")])
def test_a_platform_without_a_processor_is_the_bases(generated_job, cloud, platform, processor):
    cloud.definitions.define(
        family="arm", cpu="256", memory="512", networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"], runtimePlatform={"cpuArchitecture": "ARM64"},
        containerDefinitions=[{"name": "ci-coordinator", "image": "a"}],
    )  # fmt: skip
    generated_job.fargate["TaskDefinition"] = "arm"
    generated_job.image(JOB, executor_opts={"docker": {"platform": platform}})
    generated_job.stage("prepare")  # fails on ARM64: the play's images are for one processor
    (request,) = cloud.requests("RegisterTaskDefinition")
    assert request["runtimePlatform"]["cpuArchitecture"] == processor


def test_many_jobs_at_once_register_each_image_once(generated_job, cloud):
    """60 jobs with 20 images: within the bucket of AWS, no two for one content. They end at
    RunTask, which is refused."""
    jobs, images = int(os.environ.get("BERTH_TEST_JOBS", "60")), 20
    cloud.definitions.register_s = 0.3
    cloud.faults.append(Fault("RunTask", 400, refusal("AccessDeniedException", "no"), times=jobs))
    config = generated_job.driver.config()
    began = time.monotonic()
    processes = []
    for number in range(jobs):
        env = dict(generated_job.env)
        response = generated_job.directory / f"response-{number}.json"
        image = {"name": f"nowhere.invalid/job:{number % images}"}
        response.write_text(json.dumps({"id": number, "token": f"glcbt-{number}", "image": image}))
        env["JOB_RESPONSE_FILE"] = str(response)
        words = ("--config", config, "custom", "prepare")
        processes.append(generated_job.driver.start(*words, env=env, config=False))
    for process in processes:
        _, stderr = process.communicate(timeout=180)
        assert process.returncode == BUILD_FAILURE and b"ECS started no task" in stderr, stderr
    print(f"{jobs} jobs took {time.monotonic() - began:.1f} s")
    assert cloud.count("RegisterTaskDefinition") == images and cloud.count("RunTask") == jobs
    assert cloud.buckets.throttled == [] and cloud.definitions.collisions == 0
    assert cloud.count("DescribeTaskDefinition") == 1, "the base, once for the host"
    asked = {request["taskDefinition"] for request in cloud.requests("RunTask")}
    assert len(asked) == images


def test_a_scratch_image_with_one_program(generated_job, cloud, programs):
    cloud.containers.images.add_scratch("nowhere.invalid/one:1", {"/app": programs.agent})
    generated_job.image("nowhere.invalid/one:1")
    prepare(generated_job)
    done = generated_job.run('case $(/app --version) in berth-agent*) echo "it ran";; esac\n')
    assert done.stdout == b"it ran\n", done.stderr


def test_a_helper_without_git(generated_job, cloud):
    cloud.containers.images.add_busybox("nowhere.invalid/plain:1")
    generated_job.helper["Image"] = "nowhere.invalid/plain:1"
    done = prepare(generated_job, BUILD_FAILURE)
    assert "the image 'nowhere.invalid/plain:1' cannot run 'git --version'" in done.stderr
    assert cloud.running() == []


def test_closed_ports_name_the_missing_rule(generated_job, cloud):
    generated_job.driver.settings["SSH"]["ConnectTimeout"] = "2s"
    generated_job.fargate["HelperPort"] = 30000
    gate = cloud.hold(4711, "DescribeTasks", "before")
    process = generated_job.start_prepare()
    assert gate.reached.wait(60)
    cloud.task().private = "127.0.0.99"  # where nothing listens
    gate.open.set()
    stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode == SYSTEM_FAILURE, stderr
    assert "does not answer on both ports 22122 (job) and 30000 (helper)" in stderr
    rule = f"authorize-security-group-ingress --group-id {cloud.group} --protocol tcp"
    assert rule in stderr and "--port 22122, and again for 30000" in stderr


def test_exec_has_no_helper(generated_job, cloud):
    del generated_job.fargate["TaskDefinition"]
    generated_job.fargate |= {"Image": JOB, "Cpu": 256, "Memory": 512}
    done = generated_job.driver.run("exec", "--", "echo works", env=generated_job.env)
    assert (done.returncode, done.stdout) == (0, b"works\n"), done.stderr
    assert "berth-helper" not in by_name(cloud.requests("RegisterTaskDefinition")[0])


def test_a_container_that_fails_is_named(generated_job, cloud):
    """An image without berth-agent for AgentImage."""
    cloud.containers.images.add_scratch(
        "nowhere.invalid/no-agent:1", {"/berth-agent": "/bin/false"}
    )
    generated_job.helper["AgentImage"] = "nowhere.invalid/no-agent:1"
    done = generated_job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE and "'berth-inject' with exit code" in done.stderr
    assert cloud.running() == []
    generated_job.fargate["HelperPort"] = 22122
    assert "are both 22122" in prepare(generated_job, BUILD_FAILURE).stderr


def test_tags_of_the_base_are_propagated(generated_job, cloud):
    cloud.definitions.define(
        family="tagged", cpu="256", memory="512", networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        containerDefinitions=[{"name": "ci-coordinator", "image": "a"}],
        tags=[{"key": "team", "value": "ci"}],
    )  # fmt: skip
    generated_job.fargate |= {"TaskDefinition": "tagged:1", "PropagateTags": True}
    prepare(generated_job)
    (request,) = cloud.requests("RegisterTaskDefinition")
    assert request["tags"] == [{"key": "team", "value": "ci"}]
    assert cloud.requests("RunTask")[0]["propagateTags"] == "TASK_DEFINITION"
