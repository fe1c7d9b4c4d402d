# SPDX-License-Identifier: MIT
"""Warm tasks on ECS: the driver against moto, with an agent in each task."""

import json

import pytest

from support.ecs import FAMILY, EcsJob
from support.ecs_generated import JOB
from support.waiting import until
from support.warm_pool import until_replaced

DEADLINE_S = 120


class Pool:
    def __init__(self, driver, cloud, directory):
        self.driver, self.cloud, self.directory = driver, cloud, directory
        self.jobs = []
        self.job(0)  # its settings
        self.entry = {"TaskDefinition": FAMILY, "Tasks": 1, "MaxAge": "1h"}
        self.driver.settings["Warm"] = [self.entry]
        self.env = driver.environment(**cloud.environment())

    def job(self, number):
        directory = self.directory / f"job-{number}"
        directory.mkdir()
        self.jobs.append(EcsJob(self.driver, directory, self.cloud, number))
        return self.jobs[-1]

    def run(self, *words):
        done = self.driver.run(*words, env=self.env)
        assert done.returncode == 0, done.stderr
        return done

    def ready(self):
        texts = [json.loads(path.read_text()) for path in self.driver.metadata.glob("warm-*.json")]
        return {text["job"]: text for text in texts if text["warm"]["ready_at"] > 0}

    def until_ready(self, count):
        until(lambda: len(self.ready()) == count, DEADLINE_S, f"{count} ready tasks")

    def end(self):
        self.cloud.faults.clear()
        for job in self.jobs:
            done = job.stage("cleanup")
            assert done.returncode == 0, done.stderr
        until_replaced(self.driver)
        self.run("warm", "--drain")
        assert self.cloud.running() == []
        assert list(self.driver.metadata.glob("*.json*")) == []


@pytest.fixture
def pool(berth_driver, cloud, tmp_path):
    instance = Pool(berth_driver, cloud, tmp_path)
    yield instance
    instance.end()


def test_a_job_in_a_warm_task(pool, cloud):
    pool.driver.settings["Fargate"]["Tags"] = ["Project=$CI_PROJECT_PATH", "Fixed=1"]
    done = pool.run("warm")
    assert "1 ready, 0 launching, 1 wanted" in done.stdout.decode()
    (request,) = cloud.requests("RunTask")
    (key,) = pool.ready()
    assert request["startedBy"].endswith(f"/{key}")
    ((container,),) = (request["overrides"]["containerOverrides"],)
    values = {row["name"]: row["value"] for row in container["environment"]}
    assert values["BERTH_CONNECT_TIMEOUT"] == values["BERTH_IDLE_TIMEOUT"] == f"{61 * 60000}ms"
    assert f"{key} " in pool.run("ps").stdout.decode()

    job = pool.job(4711)
    job.env["CUSTOM_ENV_CI_PROJECT_PATH"] = "group/project"
    done = job.stage("prepare")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "berth: warm task " in done.stdout.decode()
    (tagged,) = cloud.requests("TagResource")
    assert {tag["key"]: tag["value"] for tag in tagged["tags"]} == {
        "Project": "group/project",
        "Fixed": "1",
    }
    assert job.run("echo $CONTAINER_SAYS\n").stdout == b"hello\n"
    pool.until_ready(1)
    assert cloud.count("RunTask") == 2 and key not in pool.ready()
    listed = pool.run("ps").stdout.decode()
    assert "job-4711-" in listed and f"{key} " not in listed
    assert "no orphaned tasks" in pool.run("gc").stderr
    assert job.stage("cleanup").returncode == 0
    assert len(cloud.running()) == 1


@pytest.mark.parametrize(
    "name, value", [("FARGATE_CPU", "512"), ("FARGATE_TASK_ROLE", "arn:aws:iam::1:role/a")]
)
def test_a_job_that_asks_for_another_size_or_role(pool, cloud, name, value):
    pool.driver.settings["Fargate"] |= {"MaxCpu": 4096, "AllowedTaskRoles": ["**"]}
    pool.run("warm")
    job = pool.job(4711)
    job.env[f"CUSTOM_ENV_{name}"] = value
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "launching job-4711-" in done.stdout.decode() and len(pool.ready()) == 1


def test_a_job_of_another_profile(pool, cloud, tmp_path):
    """It may be of another account, with the same names in both."""
    pool.run("warm")
    job = pool.job(4711)
    (tmp_path / "keys").write_text("[b]\naws_access_key_id = AKIAB\naws_secret_access_key = b\n")
    job.env["AWS_SHARED_CREDENTIALS_FILE"] = str(tmp_path / "keys")
    pool.driver.settings["AWS"] = {"Profile": "b"}
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "launching job-4711-" in done.stdout.decode() and len(pool.ready()) == 1
    assert job.stage("cleanup").returncode == 0
    del pool.driver.settings["AWS"]


def test_an_entry_with_a_size(pool):
    pool.driver.settings["Fargate"] |= {"MaxCpu": 4096}
    pool.entry["Cpu"] = 512
    pool.run("warm")
    job = pool.job(4711)
    job.env["CUSTOM_ENV_FARGATE_CPU"] = "512"
    assert "berth: warm task " in job.stage("prepare").stdout.decode()
    pool.until_ready(1)


def test_another_file_with_the_same_directory(pool, cloud, tmp_path):
    """Each leaves the tasks of the other's entries alone, and stops those of entries that went."""
    pool.run("warm")
    (key,) = pool.ready()
    theirs, pool.driver.directory = pool.driver.directory, tmp_path / "other"
    pool.driver.directory.mkdir()
    pool.entry["Cpu"] = 512
    pool.run("warm")
    assert key in pool.ready() and len(pool.ready()) == 2 and cloud.count("RunTask") == 2
    pool.driver.directory = theirs
    pool.run("warm")
    assert key not in pool.ready() and cloud.count("RunTask") == 2


def test_a_plain_sshd_is_never_warm(pool, cloud):
    cloud.image = "sshd"
    done = pool.driver.run("warm", env=pool.env)
    assert done.returncode != 0 and "cannot launch a warm task" in done.stderr
    assert pool.ready() == {} and cloud.running() == []


def age(pool, seconds):
    """The last failure was so much earlier. Returns how many there were."""
    (path,) = pool.driver.metadata.glob(".warm-failed-*")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"failed_at": record["failed_at"] - seconds}))
    return record["count"]


def with_the_same_file(pool, *words):
    """Pool.run() writes the configuration again, and a new file ends each pause."""
    file = pool.driver.directory / "fargate.toml"
    done = pool.driver.run("--config", file, *words, env=pool.env, config=False)
    return done.returncode, done.stdout.decode() + done.stderr


def test_launches_that_fail(pool, cloud):
    """Each failure doubles the pause before the next launch; a launch that succeeds ends it."""
    pool.entry["Tasks"] = 3
    pool.driver.config()
    cloud.image = "sshd"
    code, text = with_the_same_file(pool, "warm")
    assert code != 0 and "cannot launch a warm task" in text
    assert "the next launch is due in 30 s" in text and cloud.count("RunTask") == 3
    code, text = with_the_same_file(pool, "warm")
    assert code == 0 and cloud.count("RunTask") == 3
    assert text.count("cannot launch a warm task") == 1  # as the reason, not as an error
    for command, name in (("warm", FAMILY), ("ps", f"'{FAMILY}'"), ("doctor", f"'{FAMILY}'")):
        _, text = with_the_same_file(pool, command)
        assert f"{name}: the last launch failed, the next is due in " in text
    assert age(pool, 31) == 1
    code, text = with_the_same_file(pool, "warm")  # one of three, since it may fail
    assert code != 0 and "the next launch is due in 60 s" in text and cloud.count("RunTask") == 4
    assert age(pool, 31) == 2
    assert with_the_same_file(pool, "warm")[0] == 0 and cloud.count("RunTask") == 4
    age(pool, 30)
    cloud.image = "agent"
    assert with_the_same_file(pool, "warm")[0] == 0
    assert cloud.count("RunTask") == 7 and len(pool.ready()) == 3
    assert list(pool.driver.metadata.glob(".warm-failed-*")) == []


@pytest.mark.parametrize("failures", [0, 3])
def test_watch_names_no_other_time_for_a_launch(pool, cloud, failures):
    """Its own looks are more frequent than the launches, whose pause doubles."""
    pool.driver.config()
    file = pool.driver.directory / "fargate.toml"
    cloud.image = "sshd"
    for _ in range(failures):
        with_the_same_file(pool, "warm")
        age(pool, 3600)
    process = pool.driver.start("--config", file, "warm", "--watch", env=pool.env, config=False)
    lines = []
    try:
        while not lines or "at the pool again" not in lines[-1]:
            lines.append(process.stderr.readline().decode())
            assert lines[-1] and "trying again" not in lines[-1], lines
    finally:
        process.terminate()
    assert process.wait(DEADLINE_S) == 0
    text = "".join(lines)
    assert f"the next launch is due in {30 << failures} s" in text
    assert "could not be launched or stopped; looking at the pool again in 30 s" in text


@pytest.mark.parametrize("drained", [False, True])
def test_what_ends_the_pause(pool, cloud, drained):
    """'warm --drain', and another configuration."""
    pool.driver.config()
    cloud.image = "sshd"
    assert with_the_same_file(pool, "warm")[0] != 0
    cloud.image = "agent"
    if drained:
        assert with_the_same_file(pool, "warm", "--drain")[0] == 0
    else:
        pool.driver.settings["LogLevel"] = "debug"
        pool.driver.config()
    assert with_the_same_file(pool, "warm")[0] == 0
    assert cloud.count("RunTask") == 2 and len(pool.ready()) == 1


def test_a_pause_of_another_file(pool, cloud, tmp_path):
    """'warm' with one file does not end the pauses of another with the same directory."""
    pool.driver.config()
    cloud.image = "sshd"
    assert with_the_same_file(pool, "warm")[0] != 0
    cloud.image = "agent"
    theirs, pool.driver.directory = pool.driver.directory, tmp_path / "other"
    pool.driver.directory.mkdir()
    pool.entry["Cpu"] = 512
    pool.run("warm")
    pool.driver.directory = theirs
    code, text = with_the_same_file(pool, "warm")
    assert code == 0 and "the last launch failed, the next is due in " in text
    assert cloud.count("RunTask") == 2


def test_a_task_that_ended(pool, cloud):
    """The job starts cold, and the pool gets another."""
    pool.run("warm")
    (key,) = pool.ready()
    (arn,) = cloud.running()
    task = cloud.tasks[arn]
    task.stop("EssentialContainerExited", "Essential container in task exited")
    until(lambda: cloud.running() == [], DEADLINE_S, "the end of the task")
    job = pool.job(4711)
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "cannot be used" in done.stderr and "launching job-4711-" in done.stdout.decode()
    pool.until_ready(1)
    assert key not in pool.ready()


def change_record(pool, key, record):
    (pool.driver.metadata / f"{key}.json").write_text(json.dumps(record))


def test_a_clock_that_was_set_back(pool, cloud):
    """A task's age is not known then: one that has ended must not count as ready for an hour."""
    pool.run("warm")
    ((key, record),) = pool.ready().items()
    (arn,) = cloud.running()
    cloud.tasks[arn].stop("EssentialContainerExited", "Essential container in task exited")
    until(lambda: cloud.running() == [], DEADLINE_S, "the end of the task")
    record["warm"]["ready_at"] += 3600
    change_record(pool, key, record)
    assert "the clock was set back" in pool.run("warm").stderr
    assert len(pool.ready()) == 1 and key not in pool.ready()


def test_another_host_key(pool, cloud):
    """Nothing is sent to it; the job starts cold, and the task is stopped."""
    pool.run("warm")
    ((key, record),) = pool.ready().items()
    (arn,) = cloud.running()
    record["host_key_seed"] = record["user_key_seed"]
    change_record(pool, key, record)
    done = pool.job(4711).stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "host key mismatch" in done.stderr and "launching job-4711-" in done.stdout.decode()
    assert cloud.count("TagResource") == 0
    pool.until_ready(1)
    until(lambda: arn not in cloud.running(), DEADLINE_S, "the end of the task")


def test_a_claimer_that_is_killed_before_it_adds_tags(pool, cloud):
    """The task is the job's, which ends it; no other job gets it."""
    pool.driver.settings["Fargate"]["Tags"] = ["Fixed=1"]
    pool.run("warm")
    (key,) = pool.ready()
    (arn,) = cloud.running()
    gate = cloud.hold(key.split("-")[1], "TagResource", "before")
    job = pool.job(4711)
    process = pool.driver.start("custom", "prepare", env=job.env)
    assert gate.reached.wait(DEADLINE_S)
    process.kill()
    process.wait(DEADLINE_S)
    gate.open.set()
    assert pool.ready() == {} and cloud.running() == [arn]
    done = pool.job(4712).stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "launching job-4712-" in done.stdout.decode() and len(cloud.running()) == 2
    assert "no orphaned tasks" in pool.run("gc").stderr
    done = job.stage("cleanup")
    assert done.returncode == 0, done.stderr
    until(lambda: arn not in cloud.running(), DEADLINE_S, "the end of the task")
    pool.run("warm")
    assert len(pool.ready()) == 1


def test_jobs_with_an_image_of_their_own(generated_job, cloud, tmp_path):
    """An entry with Image is for them; one that asks for another image or a service starts cold."""
    driver = generated_job.driver
    driver.settings["Warm"] = [{"Image": JOB, "Tasks": 1}]
    environment = driver.environment(**cloud.environment())

    def warm(*words):
        done = driver.run("warm", *words, env=environment)
        assert done.returncode == 0, done.stderr

    def ready():
        texts = [json.loads(path.read_text()) for path in driver.metadata.glob("warm-*.json")]
        return [text["job"] for text in texts if text["warm"]["ready_at"] > 0]

    warm()
    (key,) = ready()
    (run,) = cloud.requests("RunTask")
    for container in run["overrides"]["containerOverrides"]:
        names = [row["name"] for row in container["environment"]]
        assert {"BERTH_CONNECT_TIMEOUT", "BERTH_IDLE_TIMEOUT", "BERTH_CLAIM_TIMEOUT"} <= set(names)
    done = generated_job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "berth: warm task " in done.stdout.decode()
    containers = next(iter(cloud.tasks.values())).containers
    for container in (containers["berth-helper"], containers["ci-coordinator"]):
        claimed = lambda it=container: "a client has claimed this task" in it.log()  # noqa: E731
        until(claimed, what="the log of the first process, which a session reports to")
    done = generated_job.run("git init -q /builds/p; echo made >/builds/p/f\n", "get_sources")
    assert done.returncode == 0, done.stderr
    assert generated_job.run("cat /builds/p/f\n").stdout == b"made\n"
    until(lambda: ready() not in ([], [key]), DEADLINE_S, "the replacement")
    assert cloud.count("RegisterTaskDefinition") == 1
    assert generated_job.stage("cleanup").returncode == 0
    warm("--drain")
    seen = cloud.count("RunTask")
    driver.settings["Fargate"]["RegistrySecrets"] = ["registry.invalid=arn:aws:secretsmanager:::x"]
    generated_job.image(JOB, entrypoint=["env"])
    done = generated_job.stage("prepare")
    assert "berth: warm task " not in done.stdout.decode()
    generated_job.stage("cleanup")
    warm()  # no job could get such a task
    assert cloud.count("RunTask") == seen + 1
    assert list(driver.metadata.glob("warm-*.json")) == []
    warm("--drain")
    assert cloud.running() == []
    for path in driver.metadata.glob(".warm-*"):
        path.unlink()
