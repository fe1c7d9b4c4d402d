# SPDX-License-Identifier: MIT
"""A request to stop while a script runs under sshd of the old image: no process is left."""

import os
import signal

import pytest

from support.driver import BUILD_FAILURE
from support.processes import MARKED, with_marker


@pytest.mark.parametrize("image", ["sshd", "agent"])
@pytest.mark.parametrize(
    "script",
    [
        "sh -c 'echo up; sleep 60'\n",
        "trap '' TERM\necho up\nwhile :; do sleep 0.1; done\n",
        "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' &\n"
        "sh -c 'echo up; sleep 60'\n",
    ],
    ids=["simple", "ignores TERM", "daemon"],
)
def test_the_process_tree_has_ended_when_the_driver_exits(ecs_job, cloud, until, image, script):
    cloud.image = image
    assert ecs_job.stage("prepare").returncode == 0
    mark = f"MARK={cloud.directory}"
    process = ecs_job.start(f"export {mark}\n{MARKED}{script}")
    assert process.stdout.readline() == b"up\n"
    until(lambda: with_marker(mark.encode()))
    os.kill(process.pid, signal.SIGTERM)
    code = process.wait(60)
    stderr = process.stderr.read().decode()
    assert with_marker(mark.encode()) == set(), f"at the driver's exit, {code}: {stderr}"
    assert code == BUILD_FAILURE and "stopped on request" in stderr, stderr
    done = ecs_job.run("echo after\n", "after_script")
    assert done.stdout == b"after\n", "the task itself goes on"


def test_what_an_earlier_stage_left_is_not_the_cancelled_ones(ecs_job, cloud, until):
    cloud.image = "sshd"
    assert ecs_job.stage("prepare").returncode == 0
    mark = f"MARK={cloud.directory}"
    left = f"export {mark}\nsetsid sleep 60 >/dev/null 2>&1 </dev/null &\n"
    assert ecs_job.run(left).returncode == 0
    (other,) = until(lambda: with_marker(mark.encode()))
    process = ecs_job.start("echo up\nsleep 60\n")
    assert process.stdout.readline() == b"up\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == BUILD_FAILURE
    assert with_marker(mark.encode()) == {other}
    os.kill(other, signal.SIGKILL)
