# SPDX-License-Identifier: MIT
"""No stage leaks a secret into debug output, log file, command line or environment.

The keys of AWS come from a file and, by AssumeRole, from STS, so that no environment has a
reason to hold them.
"""

import base64
import json
import os
import secrets as random

import pytest

from support import aws_model, processes
from support.ecs_moto import KEYS, REGION

# Of this process alone: other tests' drivers run at the same time.
SECRET = random.token_urlsafe(30)
TOKEN = random.token_urlsafe(60)
ROLE = "arn:aws:iam::123456789012:role/runner-role"


def forms(seed):
    """Encodings of 32 bytes, without padding and without what an offset would change."""
    raw = base64.b64decode(seed)
    return {seed.rstrip("=").encode(), raw, raw.hex().encode(), raw.hex().upper().encode()}


class Secrets:
    def __init__(self, job, cloud, directory):
        self.job, self.cloud, self.directory = job, cloud, directory
        self.found = {
            "secret key": {SECRET.encode()},
            "session token": {TOKEN.encode()},
            "job token": {job.token.encode()},
        }
        self.log = directory / "driver.log"

    def learn_seeds(self):
        metadata = self.job.metadata()
        self.found["user's seed"] = forms(metadata["user_key_seed"])
        self.found["host's seed"] = forms(metadata["host_key_seed"])

    def learn_roles(self, answers):
        for body in answers:
            given = aws_model.read_xml("sts", "AssumeRole", 200, body)["Credentials"]
            self.found.setdefault("role's secret", set()).add(given["SecretAccessKey"].encode())
            self.found.setdefault("role's token", set()).add(given["SessionToken"].encode())

    def check(self, where, text, but=()):
        for name, texts in self.found.items():
            if name not in but:
                assert not any(one in text for one in texts), f"{name} in {where}"

    def check_processes(self):
        """Every process of this machine but the task's own, and the driver for its job's token."""
        task = self.cloud.tasks and self.cloud.task().process
        inside = {task.pid, *processes.descendants(task.pid)} if task else set()
        for pid in processes.all_pids():
            if pid == os.getpid():
                continue
            line = processes.command_line(pid).encode()
            self.check(f"the command line of {pid}", line)
            but = {"job token", "host's seed"} if pid in inside else {"job token"}
            self.check(f"the environment of {line}", processes.environment(pid), but)

    def check_files(self, kept):
        """Files below the test's directory; the metadata holds the seeds while there is a job."""
        for path in self.directory.rglob("*"):
            if not path.is_file() or path.name in ("credentials", "response.json"):
                continue
            data = path.read_bytes()
            is_metadata = path.parent == self.job.driver.metadata
            if kept and is_metadata and path.suffix == ".json":
                assert path.stat().st_mode & 0o777 == 0o600
                self.check(path, data, {"user's seed", "host's seed"})
            else:
                self.check(path, data)


@pytest.fixture
def secrets(ecs_job, cloud, tmp_path, monkeypatch):
    """A job whose driver reads its keys from a file and assumes a role."""
    aws = tmp_path / "aws"
    aws.mkdir()
    key = KEYS["AWS_ACCESS_KEY_ID"]
    (aws / "credentials").write_text(
        f"[base]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n"
        f"aws_session_token = {TOKEN}\n"
    )
    (aws / "config").write_text(f"[profile ci]\nrole_arn = {ROLE}\nsource_profile = base\n")
    for name in KEYS:
        ecs_job.env.pop(name)
    ecs_job.env |= {
        "AWS_CONFIG_FILE": str(aws / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
        "AWS_REGION": REGION,
    }
    ecs_job.driver.settings["AWS"] = {"Profile": "ci", "SessionTags": ["team=ci"]}
    ecs_job.driver.settings["SSH"]["HostKey"] = "strict"
    return Secrets(ecs_job, cloud, tmp_path)


def run(secrets, *words, **how):
    done = secrets.job.driver.run("--debug", *words, env=secrets.job.env, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr.encode()


def test_no_stage_leaks_a_secret(secrets, cloud, until):
    job = secrets.job
    output = {"config": run(secrets, "custom", "config")}
    gate = cloud.hold(4711, "DescribeTasks", "after")
    process = job.driver.start("--debug", "custom", "prepare", env=job.env)
    assert gate.reached.wait(60)
    secrets.learn_seeds()
    secrets.learn_roles(cloud.sts_answers)
    assert "role's secret" in secrets.found
    (path,) = job.driver.metadata.glob("*.json")
    with pytest.raises(AssertionError, match="user's seed"):
        secrets.check("where it has to be", path.read_bytes())
    secrets.check_processes()
    secrets.check_files(kept=True)
    gate.open.set()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"debug" in err and b"RunTask, attempt 1" in err, "this is the debug output"
    output["prepare"] = out + err
    show = "echo up\nenv\ncat /proc/$PPID/environ /proc/1/environ 2>/dev/null\n"
    wait = f"until [ -e {job.directory}/go ]; do sleep 0.05; done\n"
    path = job.script(show + wait)
    words = ("--debug", "custom", "run", path, "build_script")
    job.fargate["WatchInterval"] = "500ms"
    process = job.driver.start(*words, env=job.env)
    assert process.stdout.readline() == b"up\n"
    looks = cloud.count("DescribeTasks")
    until(lambda: cloud.count("DescribeTasks") > looks, 60, "the watch")
    secrets.check_processes()
    secrets.check_files(kept=True)
    (job.directory / "go").write_text("")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    output["run"] = out + err
    output["ps"], output["gc"] = run(secrets, "ps"), run(secrets, "gc")
    output["ssh"] = run(secrets, "ssh", "4711", "--", "env")
    output["cleanup"] = run(secrets, "custom", "cleanup")
    secrets.learn_roles(cloud.sts_answers)
    for name, text in output.items():
        secrets.check(f"the output of {name}", text)
    secrets.check_files(kept=False)
    sent = json.dumps([request for name, request in cloud.calls if name != "AssumeRole"]).encode()
    secrets.check("the requests", sent, {"host's seed"})


def test_a_failure_leaks_no_secret(secrets, cloud):
    """With a log file in JSON and long error messages."""
    job = secrets.job
    job.driver.settings |= {"LogFile": str(secrets.log), "LogFormat": "json"}
    cloud.start_failure = ("TaskFailedToStart", "CannotPullContainerError: i/o timeout", "")
    done = job.driver.run("--debug", "custom", "prepare", env=job.env)
    assert done.returncode != 0
    secrets.learn_roles(cloud.sts_answers)
    (request,) = cloud.requests("RunTask")
    (container,) = request["overrides"]["containerOverrides"]
    seed = {row["name"]: row["value"] for row in container["environment"]}["BERTH_HOST_KEY_SEED"]
    secrets.found["host's seed"] = forms(seed)
    assert "CannotPullContainerError" in secrets.log.read_text()
    secrets.check_files(kept=False)
    secrets.check("the output", done.stdout + done.stderr.encode())
