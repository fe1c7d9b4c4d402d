# SPDX-License-Identifier: MIT
"""Checks the data plane of the stand-in for ECS: tasks of several containers (ecs_play.py)."""

import socket
import subprocess
import types

import pytest

from support.ecs_skeleton import (
    AGENT,
    COPY,
    HELPER,
    HELPER_PORT,
    INJECT,
    JOB,
    JOB_PORT,
    PLACE,
    Play,
    overrides,
    skeleton,
)
from support.keys import KeyPair
from support.ssh import Ssh


@pytest.fixture
def play(cloud):
    cloud.containers.check()
    images = cloud.containers.images
    images.add_agent("example/agent:1")
    images.add_busybox("example/job:1")
    images.add("example/helper:1", "/")
    return Play(cloud, images)


def one(*containers, **more):
    """A definition of these containers, in busybox."""
    rows = [{"name": f"c{n}", "image": "example/job:1"} | c for n, c in enumerate(containers)]
    return skeleton(containerDefinitions=rows, **more)


def shell(text, **more):
    return {"entryPoint": ["/bin/sh", "-c", text], "stopTimeout": 2, **more}


def after(name, condition):
    return {"dependsOn": [{"containerName": name, "condition": condition}]}


def listens(task, port):
    """RUNNING says that a container was started, not that its agent listens."""
    try:
        socket.create_connection((task.private, port), 60).close()
    except OSError:
        return False
    return True


def connect(task, port, host_key, client_key_path, directory):
    directory.mkdir()
    line = f"[{task.private}]:{port} {host_key.public}\n"
    target = types.SimpleNamespace(port=port, known_hosts_line=lambda: line)
    return Ssh(target, client_key_path, directory, "root")


@pytest.mark.parametrize("inject", [COPY, PLACE])
def test_the_skeleton_of_a_job(cloud, play, until, client_key, client_key_path, tmp_path, inject):
    keys = {JOB: KeyPair(), HELPER: KeyPair()}
    task = play.run(skeleton(inject=inject), overrides=overrides(client_key, *keys.values()))
    until(lambda: play.described(task)["lastStatus"] == "RUNNING", 60)
    rows = {row["name"]: row for row in play.described(task)["containers"]}
    assert rows.keys() == {INJECT, HELPER, JOB}
    assert (rows[INJECT]["lastStatus"], rows[INJECT]["exitCode"]) == ("STOPPED", 0)
    assert rows[JOB]["lastStatus"] == "RUNNING" and "exitCode" not in rows[JOB]
    links = {
        name: connect(task, port, keys[name], client_key_path, tmp_path / name)
        for name, port in ((JOB, JOB_PORT), (HELPER, HELPER_PORT))
    }

    for port in (JOB_PORT, HELPER_PORT):
        until(lambda port=port: listens(task, port), 60)

    def run(name, command):
        link = links[name]
        words = link.command_line(command)
        done = subprocess.run(
            [word.replace("@127.0.0.1", f"@{task.private}") for word in words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(HELPER, "git --version; echo one > /builds/file; echo 127.0.0.1 db >> /etc/hosts")
    assert run(JOB, "cat /builds/file; which git || busybox stat -c %a /builds") == "one\n1777\n"
    assert "127.0.0.1 db" in run(JOB, "cat /etc/hosts")
    assert (task.volume("builds") / "file").read_text() == "one\n"
    reached = f"{AGENT} await --timeout 60s 127.0.0.1:{HELPER_PORT} && echo reached"
    assert run(JOB, reached) == "reached\n"
    play.client.stop_task(cluster=cloud.cluster, task=task.arn, reason="enough")
    found, rows = play.ended(task)
    assert (found["stopCode"], found["stoppedReason"]) == ("UserInitiated", "enough")
    assert rows[JOB]["exitCode"] == 0 and rows[HELPER]["exitCode"] == 0


def test_an_essential_container_ends_the_task(play):
    mount = {"mountPoints": [{"sourceVolume": "berth", "containerPath": "/v"}]}
    task = play.run(
        one(
            shell("trap 'exit 4' TERM; touch /v/ready; while :; do sleep 0.1; done", **mount),
            shell("until test -e /v/ready -a -e /v/ends; do sleep 0.1; done; exit 3", **mount),
            shell("trap '' TERM; touch /v/ends; exit 7", essential=False, **mount),
        )
    )
    found, rows = play.ended(task)
    assert found["stopCode"] == "EssentialContainerExited"
    assert found["stoppedReason"] == "Essential container in task exited"
    assert [rows[name]["exitCode"] for name in ("c0", "c1", "c2")] == [4, 3, 7]


def test_a_container_that_ignores_sigterm_is_killed(play):
    task = play.run(one(shell("trap '' TERM; while :; do sleep 0.1; done"), shell("sleep 0.3")))
    _, rows = play.ended(task)
    assert rows["c0"]["exitCode"] == 137


def test_success_lets_the_next_one_start_and_failure_ends_the_task(play):
    volume = {"volumes": [{"name": "v"}]}
    mount = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
    first = shell("sleep 0.2; echo done > /v/file", essential=False, **mount)
    task = play.run(
        one(first, shell("grep done /v/file", **mount, **after("c0", "SUCCESS")), **volume)
    )
    _, rows = play.ended(task)
    assert rows["c1"]["exitCode"] == 0
    assert task.containers["c1"].log() == "done\n"
    task = play.run(
        one(shell("exit 5", essential=False), shell("exit 0", **after("c0", "SUCCESS")))
    )
    found, rows = play.ended(task)
    assert (rows["c0"]["exitCode"], rows["c1"]["exitCode"]) == (5, 143)
    assert "startedAt" not in found


def test_complete_start_and_healthy(play):
    check = {"healthCheck": {"command": ["CMD-SHELL", "test -e /ready"], "interval": 5}}
    task = play.run(
        one(
            shell("exit 5", essential=False),
            shell("sleep 0.2; touch /ready; sleep 60", essential=False, **check),
            shell("exit 0", dependsOn=[
                {"containerName": "c0", "condition": "COMPLETE"},
                {"containerName": "c1", "condition": "HEALTHY"},
                {"containerName": "c3", "condition": "START"},
            ]),
            shell("sleep 60", essential=False),
        )
    )  # fmt: skip
    _, rows = play.ended(task)
    assert rows["c2"]["exitCode"] == 0 and rows["c1"]["healthStatus"] == "HEALTHY"


def test_a_wait_for_a_dependency_ends(cloud, play):
    cloud.containers.dependency_failure = "pending"
    task = play.run(
        one(
            shell("exit 5", essential=False, startTimeout=2),
            shell("exit 0", **after("c0", "SUCCESS")),
        )
    )
    found, _ = play.ended(task)
    assert found["stopCode"] == "TaskFailedToStart"


def test_user_environment_command_and_directory(cloud, play):
    cloud.containers.secrets["arn:aws:secretsmanager:r:1:secret:s"] = "hush"
    play.images.add_busybox(
        "example/node:1",
        env={"FROM": "image", "SAY": "image"},
        user="node",
        directory="/srv/x",
        entrypoint=["/bin/sh", "-c"],
        command=["exit 9"],
    )
    text = (
        "id -u; id -g; pwd; echo $FROM $SAY $OWN $SECRET $HOME; ls /v; touch /v/x || touch /etc/x"
    )
    container = {
        "image": "example/node:1",
        "command": ["exit 8"],
        "environment": [{"name": "SAY", "value": "definition"}, {"name": "OWN", "value": "d"}],
        "secrets": [{"name": "SECRET", "valueFrom": "arn:aws:secretsmanager:r:1:secret:s"}],
        "mountPoints": [{"sourceVolume": "berth", "containerPath": "/v", "readOnly": True}],
    }
    override = {"name": "c0", "command": [text], "environment": [{"name": "OWN", "value": "o"}]}
    task = play.run(
        one(container, executionRoleArn="arn:aws:iam::1:role/x"),
        overrides={"containerOverrides": [override]},
    )
    _, rows = play.ended(task)
    lines = task.containers["c0"].log().splitlines()
    assert lines[:4] == ["1000", "1000", "/srv/x", "image definition o hush /home/node"]
    assert "Read-only" in lines[4] and "Permission denied" in lines[5] and len(lines) == 6
    assert rows["c0"]["exitCode"] == 1


def test_an_image_has_its_own_files_and_volumes(play, tmp_path):
    image = play.images.add_busybox("example/own:1", volumes=("/data",), files={"/tool": __file__})
    (image.root / "data").mkdir()
    (image.root / "data/seed").write_text("seed\n")
    (image.root / "data").chmod(0o1777)
    mount = {"mountPoints": [{"sourceVolume": "berth", "containerPath": "/data"}]}
    text = "cat /data/seed; stat -c %a /data; echo x > /written; test -s /tool"
    task = play.run(one(shell(text, image="example/own:1", **mount)))
    _, rows = play.ended(task)
    assert rows["c0"]["exitCode"] == 0 and task.containers["c0"].log() == "seed\n1777\n"
    assert not (image.root / "written").exists()


@pytest.mark.parametrize(
    "container, wanted",
    [
        ({"image": "nowhere/x:1"}, "CannotPullContainerError"),
        ({"image": "example/arm:1"}, "does not contain descriptor matching platform"),
        ({"image": "example/private:1"}, "pull access denied"),
        ({"entryPoint": ["/nosuch"]}, "CannotStartContainerError"),
        ({"user": "nobody"}, "unable to find user nobody"),
        ({"secrets": [{"name": "S", "valueFrom": "arn:x"}]}, "unable to pull secrets"),
    ],
)
def test_a_task_that_fails_to_start(cloud, play, container, wanted):
    play.images.add_busybox("example/arm:1", architecture="arm64")
    play.images.add_busybox("example/private:1")
    cloud.containers.private_images.add("example/private:1")
    role = {"executionRoleArn": "arn:aws:iam::1:role/x"}
    found, _ = play.ended(play.run(one(container | {"command": ["true"]}, **role)))
    assert found["stopCode"] == "TaskFailedToStart" and wanted in found["stoppedReason"]


def test_a_killed_container_and_a_slow_one(cloud, play, until):
    cloud.containers.start_delays["c1"] = 1000
    task = play.run(one(shell("sleep 60"), shell("sleep 60")))
    until(lambda: task.containers and task.containers["c0"].status == "RUNNING")
    assert task.containers["c1"].status == "PENDING"
    task.change_delay("c1", 0.4)
    until(lambda: play.described(task)["lastStatus"] == "RUNNING")
    task.kill("OutOfMemoryError: Container killed due to memory usage", "c0")
    _, rows = play.ended(task)
    assert rows["c0"]["exitCode"] == 137 and "OutOfMemory" in rows["c0"]["reason"]


def test_the_end_of_a_test_does_not_wait_for_timeouts(cloud, play, until):
    task = play.run(one(shell("trap '' TERM; while :; do sleep 0.1; done", stopTimeout=60)))
    until(lambda: play.described(task)["lastStatus"] == "RUNNING", 60)
    task.join()
    assert task.containers["c0"].exit_code == 137 and task.status == "STOPPED"
