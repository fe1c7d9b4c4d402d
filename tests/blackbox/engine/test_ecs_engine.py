# SPDX-License-Identifier: MIT
"""The stand-in for ECS with real containers (support/ecs_engine.py)."""

import io
import tarfile

import pytest

from support.ecs_engine import EngineContainers
from support.ecs_skeleton import (
    AGENT,
    HELPER,
    HELPER_PORT,
    INJECT,
    JOB,
    Play,
    overrides,
    skeleton,
)
from support.keys import KeyPair


@pytest.fixture
def play(cloud, engine, busybox, programs):
    """A Play whose images are 'busybox'; the agent's image is made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(programs.agent, "berth-agent")
    engine.import_image("berth-test/agent:1", out.getvalue())
    cloud.containers = EngineContainers(engine, cloud)
    return Play(cloud, busybox, 60)


def test_the_skeleton_of_a_job(cloud, play, until):
    if cloud.containers.images.libraries:
        pytest.skip("the agent with sanitizers does not run in an image of its own")
    images = {"job": play.images, "helper": play.images, "agent": "berth-test/agent:1"}
    keys = overrides(KeyPair(), KeyPair(), KeyPair())
    task = play.run(skeleton(**images), overrides=keys)
    until(lambda: play.described(task)["lastStatus"] == "RUNNING", 60)
    rows = {row["name"]: row for row in play.described(task)["containers"]}
    assert (rows[INJECT]["lastStatus"], rows[INJECT]["exitCode"]) == ("STOPPED", 0)
    assert rows[JOB]["networkInterfaces"][0]["privateIpv4Address"] == task.private
    docker = cloud.containers.engine.docker

    def inside(name, command):
        return docker("exec", task.containers[name].id, "sh", "-c", command).stdout

    inside(HELPER, "echo 127.0.0.1 db >> /etc/hosts; echo one > /builds/file")
    assert "127.0.0.1 db" in inside(JOB, "cat /etc/hosts")
    assert inside(JOB, "cat /builds/file; stat -c %a /builds") == "one\n1777\n"
    assert inside(JOB, f"{AGENT} await --timeout 20s 127.0.0.1:{HELPER_PORT} && echo up") == "up\n"
    play.client.stop_task(cluster=cloud.cluster, task=task.arn, reason="enough")
    found, rows = play.ended(task)
    assert (found["stopCode"], rows[JOB]["exitCode"]) == ("UserInitiated", 0)


def test_dependencies_exit_codes_and_failures(play):
    def shell(text, **more):
        return {"entryPoint": ["sh", "-c", text], "image": play.images, "stopTimeout": 2, **more}

    def definition(*containers):
        rows = [{"name": f"c{n}"} | c for n, c in enumerate(containers)]
        return skeleton(containerDefinitions=rows)

    after = {"dependsOn": [{"containerName": "c0", "condition": "SUCCESS"}]}
    text = "echo $A; exit 3"
    override = {"name": "c1", "environment": [{"name": "A", "value": "b"}]}
    task = play.run(
        definition(shell("exit 0", essential=False), shell(text, **after)),
        overrides={"containerOverrides": [override]},
    )
    found, rows = play.ended(task)
    assert found["stopCode"] == "EssentialContainerExited"
    assert (rows["c0"]["exitCode"], rows["c1"]["exitCode"]) == (0, 3)
    assert task.containers["c1"].log() == "b\n"
    found, rows = play.ended(
        play.run(definition(shell("exit 5", essential=False), shell("x", **after)))
    )
    assert (rows["c0"]["exitCode"], rows["c1"]["exitCode"]) == (5, 143)
    found, _ = play.ended(play.run(definition({"image": play.images, "entryPoint": ["/nosuch"]})))
    assert found["stopCode"] == "TaskFailedToStart"
    assert "CannotStartContainerError" in found["stoppedReason"]
    found, _ = play.ended(play.run(definition(shell("true") | {"image": "nowhere/x:1"})))
    assert "CannotPullContainerError" in found["stoppedReason"]
