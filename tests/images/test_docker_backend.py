# SPDX-License-Identifier: MIT
"""Whole jobs in the built images by berth-driver's own Docker backend, stage by stage as GitLab
Runner calls it: sources by git, artifacts and cache by the image's gitlab-runner, what the script
returns. The image of today, which starts sshd, has never heard of the agent and gets it."""

import threading

import pytest

from conftest import AGENT
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
    source, sha = repository
    out = tmp_path / "artifacts"
    out.mkdir()
    command = driver(request.getfixturevalue(name), f"{source}:/source:ro", f"{out}:/artifacts")
    script = ["pwd >result.txt", "git log --oneline", 'test -z "$SSH_PUBLIC_KEY"']
    if name == "runner":
        script += ["npm run t", "ruby -e 'puts \"from ruby\"' >>result.txt"]
    job = Job(
        script=script, repository_url="file:///source", sha=sha, artifacts=["result.txt"],
        artifact_server="file:///artifacts",
    )  # fmt: skip
    result, log = run(command, job, tmp_path)
    assert result.status == "success", log
    assert f"Checking out {sha[:8]}" in log
    wanted = "/builds/group/project\n"
    if name == "runner":
        assert "\n42\n" in log
        wanted += "from ruby\n"
    assert (out / "4711/result.txt").read_text() == wanted


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
