# SPDX-License-Identifier: MIT
"""A request to stop: the job in the task is dead, children included, before the driver exits."""

import os
import signal
import threading

import pytest

from support.driver import BUILD_FAILURE
from support.processes import with_marker


def marker(job):
    return b"BERTH_TEST_MARK=" + str(job.home()).encode()


def started(job, text, until):
    """A run stage whose processes carry a marker in their environment."""
    process = job.prepare().start(f"export MARK={job.home()}\n{text}")
    assert process.stdout.readline() == b"up\n"
    return process


def marked(job):
    return with_marker(f"MARK={job.home()}".encode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    "text",
    [
        "sh -c 'echo up; sleep 60'\n",
        "sh -c 'trap \"\" TERM INT; echo up; while :; do sleep 0.1; done'\n",
        "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' &\n"
        "sh -c 'echo up; sleep 60'\n",
    ],
    ids=["simple", "ignores TERM", "daemon"],
)
def test_the_tree_is_dead_when_the_driver_exits(job, until, number, text):
    process = started(job, text, until)
    until(lambda: marked(job))
    os.kill(process.pid, number)
    code = process.wait(30)
    assert marked(job) == set(), "at the very moment of the driver's exit"
    assert code == BUILD_FAILURE
    assert b"stopped on request" in process.stderr.read()
    assert job.exit_code() is None


def test_a_trap_may_say_goodbye(job, until):
    process = started(job, "trap 'echo bye; exit 7' TERM\necho up\nsleep 60 & wait\n", until)
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout.read() == b"bye\n"
    assert process.wait(30) == BUILD_FAILURE


def test_the_task_survives_for_later_stages(job, until):
    process = started(job, "echo up\nsleep 60\n", until)
    os.kill(process.pid, signal.SIGTERM)
    process.wait(30)
    assert job.run("echo after_script\n", "after_script").stdout == b"after_script\n"


def test_stopping_prepare_leaves_nothing(job):
    for delay_ms in range(0, 60, 10):
        process = job.driver.start("custom", "prepare", env=job.env)
        stopper = threading.Timer(delay_ms / 1000, process.terminate)
        stopper.start()
        code = process.wait(20)
        stopper.join()
        assert code in (0, BUILD_FAILURE, -signal.SIGTERM), process.stderr.read()
        if code == BUILD_FAILURE:
            assert job.nothing_kept() == []
        job.stage("cleanup")
