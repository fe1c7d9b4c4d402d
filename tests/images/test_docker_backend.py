# SPDX-License-Identifier: MIT
"""Whole jobs in the built images by berth-driver's own Docker backend, stage by stage as GitLab
Runner calls it: sources by git, artifacts and cache by the image's gitlab-runner, what the script
returns. The image of today, which starts sshd, has never heard of the agent and gets it."""

import threading

import pytest

from conftest import AGENT
from jobs import WholeJob
from runner.gitlab_runner import Runner
from runner.job import Job
from support.driver import write_config
from support.waiting import until


@pytest.fixture
def driver(engine, tmp_path):
    """driver(image, volumes) makes the words in front of a stage's name."""
    label = f"images-test={tmp_path.name}"

    def make(image, *volumes):
        settings = {
            "Backend": "docker",
            "CancelGrace": "1s",
            "TaskMetadata": {"Directory": str(tmp_path / "metadata")},
            "Docker": {
                "Host": engine.url,
                "Image": image,
                "PullPolicy": "never",
                "Volumes": list(volumes),
                "Labels": [label],
            },
            "Helper": {"Use": "never"},
        }
        config = write_config(tmp_path / "fargate.toml", settings)
        return [AGENT.parent / "berth-driver", "--config", config, "custom"]

    yield make
    left = engine.labelled(label)
    assert left == {"containers": [], "networks": [], "volumes": []}


def run(command, job, tmp_path):
    log = bytearray()
    result = Runner(command, job, log.extend, directory=tmp_path).run()
    return result, log.decode(errors="replace")


@pytest.mark.parametrize("name", ["runner", "legacy"])
def test_whole_job(request, driver, tmp_path, repository, name):
    whole = WholeJob(repository, tmp_path, full=name == "runner")
    command = driver(request.getfixturevalue(name), *whole.volumes)
    whole.check(*run(command, whole.job, tmp_path))


@pytest.mark.parametrize("name", ["runner", "alpine", "legacy"])
def test_exit_code(request, driver, tmp_path, name):
    command = driver(request.getfixturevalue(name))
    result, log = run(command, Job(script=["echo before", "exit 42", "echo after"]), tmp_path)
    assert (result.status, result.reason, result.exit_code) == ("failed", "script_failure", 42), log
    assert "\nbefore\n" in log and "\nafter\n" not in log


def test_cancel_leaves_nothing(runner, driver, tmp_path):
    """What is left is what the fixture looks for."""
    log = bytearray()
    job = Job(script=["echo started; sleep 1000"])
    one = Runner(driver(runner), job, log.extend, directory=tmp_path)
    thread = threading.Thread(target=one.run)
    thread.start()
    try:
        until(lambda: b"\nstarted" in log, 60, "the script")
    finally:
        one.cancel()
        thread.join(60)
    assert not thread.is_alive() and one.result.status == "canceled", log.decode()
