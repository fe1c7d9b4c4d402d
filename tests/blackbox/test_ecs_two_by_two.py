# SPDX-License-Identifier: MIT
"""Old and new driver, old and new image: whole jobs of all four pairs, stage by stage.

The runner's stand-in (tests/runner) calls the drivers; each job clones a repository, keeps a cache
and runs a script of 80 KiB, which the old driver can take.
"""

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.gitlab_runner import Runner
from runner.job import Job
from support.driver import write_config
from support.ecs import CONTAINER, FAMILY
from support.ecs_moto import KEYS, REGION
from support.interop import go_client

OLD_DRIVER = Path(__file__).with_name("support") / "old_driver_stages.py"
STAGES = [
    "config", "prepare", "prepare_script", "get_sources", "restore_cache", "download_artifacts",
    "step_script", "after_script", "archive_cache", "cleanup_file_variables", "cleanup",
]  # fmt: skip


@pytest.fixture(scope="module")
def rsa_key(tmp_path_factory):
    path = tmp_path_factory.mktemp("old") / "id_rsa"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "4096", "-m", "PEM", "-N", "", "-f", path]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def repository(tmp_path):
    path = tmp_path / "repository"
    git = ["git", "-C", str(path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    (path / "file").write_text("from the repository\n")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return path.as_uri(), head.stdout.strip()


class Pair:
    """A driver, an image and the runner for a job."""

    def __init__(self, cloud, directory, repository, program, key):
        self.cloud, self.directory, self.repository = cloud, directory, repository
        self.program, self.key = program, key
        self.log = bytearray()
        keep = ("PATH", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
        self.env = {name: os.environ[name] for name in keep if name in os.environ}
        self.env |= cloud.environment()

    def driver(self, which):
        cloud = self.cloud
        if which == "new":
            settings = {
                "TaskMetadata": {"Directory": str(self.directory / "metadata")},
                **cloud.settings(),
            }
            config = write_config(self.directory / "fargate.toml", settings)
            return [self.program, "--config", config, "custom"]
        network = {"subnets": [cloud.subnets[0]], "securityGroups": [cloud.group]}
        settings = {
            "url": cloud.url, "region": REGION, "cluster": cloud.cluster, "family": FAMILY,
            "container": CONTAINER, "network": network, "port": cloud.ssh_port,
            "user": getpass.getuser(), "key": str(self.key),
            "client": [str(word) for word in go_client()],
            "state": str(self.directory / "old.json"),
        }  # fmt: skip
        self.env |= {"OLD_DRIVER": json.dumps(settings), **KEYS}
        return [sys.executable, str(OLD_DRIVER)]

    def run(self, which, script):
        url, sha = self.repository
        job = Job(
            script=script,
            after_script=["echo after $CI_JOB_STATUS"],
            repository_url=url,
            sha=sha,
            cache=["kept"],
            runner_command=str(Path(__file__).parents[1] / "runner/bin/gitlab-runner"),
            timeout_s=60,
        )
        runner = Runner(
            self.driver(which), job, self.log.extend, env=self.env, directory=self.directory,
            builds_dir=str(self.directory / "builds"), cache_dir=str(self.directory / "cache"),
        )  # fmt: skip
        return runner.run()


@pytest.fixture
def pair(cloud, tmp_path, repository, programs, rsa_key):
    return Pair(cloud, tmp_path, repository, str(programs.driver), rsa_key)


def check_end(pair, until):
    until(lambda: pair.cloud.task().status == "STOPPED")
    assert pair.cloud.running() == [] and len(pair.cloud.tasks) == 1
    kept = pair.directory / "metadata"
    assert not kept.exists() or not list(kept.glob("job-*"))
    assert not (pair.directory / "old.json").exists()


@pytest.mark.parametrize("image", ["agent", "sshd"])
@pytest.mark.parametrize("driver", ["new", "old"])
def test_a_job_that_succeeds(pair, until, driver, image):
    pair.cloud.image = image
    padding = ": " + "x" * 40_000
    script = ["cat file", padding, "echo error $((40 + 2)) >&2", "mkdir kept && echo 1 > kept/one"]
    result = pair.run(driver, script)
    log = pair.log.decode()
    assert result.status == "success", log[-4000:]
    assert [phase.name for phase in result.phases] == STAGES
    assert all((phase.exit_code, phase.build_exit_code) == (0, "") for phase in result.phases)
    for said in ("from the repository", "error 42", "after success"):
        assert said in log, log[-4000:]
    assert list((pair.directory / "cache").rglob("*.*")), "the cache was kept"
    check_end(pair, until)


@pytest.mark.parametrize("driver, image", [("new", "sshd"), ("old", "agent")])
def test_a_job_that_fails(pair, until, driver, image):
    """The exit code, which the old driver loses, is reported."""
    pair.cloud.image = image
    result = pair.run(driver, ["cat file", "(exit 7)", "echo not reached"])
    log = pair.log.decode()
    if driver == "new":
        assert (result.reason, result.exit_code) == ("script_failure", 7), log
        assert result.phase("step_script").build_exit_code == "7"
    else:
        assert result.reason == "runner_system_failure", log
    assert "\nnot reached\n" not in log and "after failed" in log
    check_end(pair, until)
