# SPDX-License-Identifier: MIT
"""Jobs in images without a shell, with a busybox in its place."""

import os

import pytest

from support.driver import BUILD_FAILURE
from support.helper_jobs import TAG, RunnerJob
from support.host_image import Tree


@pytest.fixture
def shell(helper_job):
    """shell(image): a job in that image, with this machine's busybox as the replacement."""

    def prepare(image):
        helper_job.driver.settings["Helper"].pop("Busybox")
        helper_job.driver.settings["Docker"]["Image"] = image
        return helper_job.prepare()

    return prepare


@pytest.fixture(scope="module")
def shell_less(engine, programs):
    """Images without 'sh': one static program and nothing else; busybox without links."""
    program = Tree(directories=())
    program.file(os.environ.get("BERTH_AGENT", programs.agent), "app")
    bare = Tree()
    bare.file("/bin/busybox", "bin/busybox")
    made = {
        "scratch": (program.tar(), []),
        "scratch-user": (program.tar(), ["USER 4321:4321"]),
        "bare": (bare.tar(), ["ENV PATH=/bin"]),
    }
    for name, (tar, changes) in made.items():
        engine.import_image(f"berth-test/{name}:{TAG}", tar, changes)
    yield {name: f"berth-test/{name}:{TAG}" for name in made}
    for name in made:
        engine.remove_image(f"berth-test/{name}:{TAG}")


@pytest.mark.parametrize("name", ["scratch", "scratch-user", "bare"])
def test_an_image_without_a_shell(shell, shell_less, name):
    script = "echo $((6 * 7)) | sed s/4/four/; mkdir -p d && ls; "
    script += "/app --version\n" if name != "bare" else "busybox echo own\n"
    job = shell(shell_less[name])
    job.run("mkdir -m 777 /builds/p\n", "get_sources")
    done = job.run("cd /builds/p; " + script)
    assert done.returncode == 0 and done.stdout.startswith(b"four2\nd\n"), done.stderr
    assert done.stdout.split(b"\n")[2].startswith(b"own" if name == "bare" else b"berth-agent")


def test_exec_without_a_shell(docker_driver, shell_less):
    docker_driver.settings["Helper"] = {}
    words = ["exec", "--image", shell_less["scratch"], "--no-mount", "--", "echo $((6 * 7)) | cat"]
    done = docker_driver.run(*words)
    assert done.stdout == b"42\n", done.stderr


def test_a_whole_job_in_a_scratch_image(runner, server, docker_driver, shell_less):
    docker_driver.settings["Helper"].pop("Busybox")
    docker_driver.settings["Docker"]["Image"] = shell_less["scratch-user"]
    sha = server.repository("group/project", {"file": "cloned\n"})
    job = RunnerJob(
        script=["cat file", "/app identity >out"], repository_url=server.url("group/project"),
        sha=sha, artifacts=["out"], artifact_server=server.base,
    )  # fmt: skip
    result, log = runner(job)
    assert result.status == "success" and "\ncloned\n" in log, log
    assert b"4321 4321\n" in server.artifacts[str(job.id)]


def test_an_image_with_a_shell_keeps_its_own(shell, busybox):
    done = shell(busybox).run("readlink /proc/$$/exe; echo $PATH\n")
    assert done.stdout == b"/bin/busybox\n/bin\n", done.stderr


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("/nonexistent", "Helper.Busybox: "),
        ("/bin/ls", "'/bin/ls' is not a static program"),
        ("/etc/passwd", "'/etc/passwd' is not a static program"),
        ("arm64", "is for arm64, but the image is for amd64"),
    ],
)
def test_a_wrong_busybox_is_a_mistake(helper_job, engine, tmp_path, file, words):
    if file == "arm64":  # 'e_machine' is at offset 18
        program = bytearray(open("/bin/busybox", "rb").read())
        program[18:20] = (183).to_bytes(2, "little")
        (tmp_path / "busybox").write_bytes(program)
        file = str(tmp_path / "busybox")
    helper_job.driver.settings["Helper"]["Busybox"] = file
    done = helper_job.stage("prepare")
    assert done.returncode == BUILD_FAILURE and words in done.stderr, done.stderr
    assert engine.labelled(helper_job.driver.label) == {
        "containers": [],
        "networks": [],
        "volumes": [],
    }
