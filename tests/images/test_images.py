# SPDX-License-Identifier: MIT
"""The built images: what they say of themselves, and whole jobs in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from containers import Container
from jobs import WholeJob
from runner.gitlab_runner import Runner
from runner.job import Job

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]


@pytest.fixture
def container(engine, tmp_path):
    """container(image, ...): a started one, removed after the test."""
    started = []

    def start(image, **how):
        directory = tmp_path / f"container-{len(started)}"
        directory.mkdir()
        started.append(Container(engine, image, directory, **how).__enter__())
        return started[-1]

    yield start
    for one in started:
        one.__exit__()


def config_of(engine, image):
    return json.loads(engine.docker("inspect", image).stdout)[0]["Config"]


@pytest.mark.parametrize("name", ["runner", "alpine"])
def test_image_says_what_it_is(request, engine, name):
    image = request.getfixturevalue(name)
    config = config_of(engine, image)
    assert config["Entrypoint"] == ["/usr/local/bin/berth-agent"]
    assert config["ExposedPorts"] == {"22/tcp": {}}
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/berth-agent", "health"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == image
    for key in ("description", "version", "revision", "licenses"):
        assert labels[f"org.opencontainers.image.{key}"]


@pytest.mark.parametrize("name", ["runner", "alpine"])
def test_image_has_none_of_what_the_agent_replaces(request, engine, name):
    image = request.getfixturevalue(name)
    script = "for p in sshd tini docker-entrypoint.sh; do command -v $p && exit 1; done; exit 0"
    engine.docker("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script)


@pytest.mark.parametrize("name", ["runner", "alpine"])
def test_container_gets_healthy_and_serves(request, container, name, until_healthy):
    task = container(request.getfixturevalue(name), words=["--health-interval=1s"])
    done = task.ssh().run("echo $0; exit 42")
    assert done.returncode == 42
    until_healthy(task)


@pytest.fixture
def until_healthy():
    from support.waiting import until

    def wait(task):
        until(lambda: task.inspect()["State"]["Health"]["Status"] == "healthy", 60, "health")

    return wait


@pytest.mark.parametrize("name", ["runner", "alpine", "legacy"])
def test_container_without_a_key_says_so_and_ends(request, engine, name):
    done = engine.docker("run", "--rm", request.getfixturevalue(name), check=False)
    assert done.returncode == 1
    assert "Need your SSH public key as the SSH_PUBLIC_KEY env variable." in (
        done.stdout + done.stderr
    )


def test_runner_has_the_programs_that_jobs_count_on(runner, container):
    client = container(runner).ssh()
    for command, text in {
        "node --version": "v16.18.1",
        "npm --version": "8.19.2",
        "npx --version": "8.19.2",
        "rbenv version-name": "3.3.0",
        "rbenv install --version": "ruby-build 20241225.2",
        "ruby -e 'puts Encoding.default_external'": "UTF-8",
        "ruby -ropenssl -rpsych -rzlib -rfiddle -rreadline -e 'puts :loaded'": "loaded",
        "bundle --version": "Bundler version",
        "gem --version": "3.",
        "git lfs version": "git-lfs/",
        "git config --system filter.lfs.process": "git-lfs filter-process",
        "gitlab-runner --version": "gitlab-runner",
        "printenv RUBYOPT": "-EUTF-8",
        "cc --version && c++ --version && make --version && pkg-config --version": "Debian",
    }.items():  # fmt: skip
        done = client.run(command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert text in done.stdout.decode(), command


def test_runner_builds_native_addons(runner, container):
    """The compiler, and the headers of Node and of the libraries that gems use."""
    source = (
        "#include <node_api.h>\n#include <openssl/ssl.h>\n#include <yaml.h>\n#include <ffi.h>\n"
        "#include <zlib.h>\nint main(void) { yaml_get_version_string(); return 0; }\n"
    )
    client = container(runner).ssh()
    done = client.run(
        "cat >/tmp/a.c && gcc -I/opt/node/include/node /tmp/a.c -o /tmp/a -lyaml -lssl -lcrypto "
        "-lffi -lz && /tmp/a",
        input=source.encode(),
    )
    assert done.returncode == 0, done.stderr


# ---- whole jobs


def run_job(task, tmp_path, job):
    """The job's result and its log."""
    client = task.ssh()
    env = {**os.environ, "OLD_DRIVER_SSH": json.dumps(client.command_line())}
    log = bytearray()
    command = [sys.executable, HERE / "old_driver.py"]
    result = Runner(command, job, log.extend, directory=tmp_path, env=env).run()
    return result, log.decode(errors="replace")


@pytest.mark.parametrize("name", ["runner", "legacy"])
def test_whole_job(request, container, tmp_path, repository, name):
    whole = WholeJob(repository, tmp_path, full=name == "runner")
    image = request.getfixturevalue(name)
    env = {} if name == "runner" else {"BERTH_HOST_KEY_SEED": ""}
    words = [word for volume in whole.volumes for word in ("-v", volume)]
    task = container(image, words=words, env=env)
    if name == "legacy":
        # The host key is unknown: trusted on first use.
        task.known_hosts_line = lambda: scan(task.address)
    whole.check(*run_job(task, tmp_path, whole.job))


def scan(address):
    from support.waiting import until

    def ask():
        words = ["ssh-keyscan", "-t", "ed25519", address]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    return until(ask, 60, "ssh-keyscan")


@pytest.mark.parametrize("name", ["runner", "alpine"])
def test_failing_job_reports_its_exit_code(request, container, tmp_path, name):
    task = container(request.getfixturevalue(name))
    result, log = run_job(task, tmp_path, Job(script=["echo before", "exit 42", "echo after"]))
    assert (result.status, result.reason, result.exit_code) == ("failed", "script_failure", 42), log
    assert "\nafter\n" not in log


def test_container_ends_at_once_when_stopped(runner, container):
    task = container(runner)
    task.ssh().start("sleep 1000")
    task.engine.docker("stop", "-t", "20", task.name)
    assert task.inspect()["State"]["ExitCode"] == 0
