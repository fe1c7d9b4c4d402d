# SPDX-License-Identifier: MIT
"""A task that stops while a script runs: the stage ends within seconds, with the reason."""

import contextlib
import os
import signal
import time

import pytest

from support import processes
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.ecs_requests import throttled

SPOT = ("SpotInterruption", "Your Spot Task was interrupted.")


@pytest.fixture
def started(ecs_job, cloud, until):
    """started(script, image): a run stage whose script has printed 'up'."""

    def start(script, image="agent"):
        cloud.image = image
        ecs_job.fargate["WatchInterval"] = "500ms"
        done = ecs_job.stage("prepare")
        assert done.returncode == 0, done.stderr
        until(lambda: cloud.task().status == "RUNNING")
        process = ecs_job.start(script)
        assert process.stdout.readline() == b"up\n"
        return process

    return start


def end(process, deadline_s=60):
    begun = time.monotonic()
    code = process.wait(deadline_s)
    return code, process.stderr.read().decode(), time.monotonic() - begun


@pytest.mark.parametrize("image", ["agent", "sshd"])
def test_spot_interruption_is_no_failure_of_the_script(started, cloud, ecs_job, image):
    process = started("trap 'exit 1' TERM\nsleep 60 &\necho up\nwait\n", image)
    cloud.task().stop(*SPOT)
    code, stderr, took = end(process)
    assert code == SYSTEM_FAILURE, stderr
    assert SPOT[0] in stderr and SPOT[1] in stderr and "retry: runner_system_failure" in stderr
    assert ecs_job.exit_code() is None and took < 30


@pytest.mark.parametrize("image", ["agent", "sshd"])
def test_a_task_that_is_gone_without_a_word(started, cloud, ecs_job, image, until):
    """Its connection stays open without data, as after its network interface was removed."""
    process = started("echo up\nsleep 60\n", image)
    task = cloud.task()

    def below():
        return [processes.command_line(pid) for pid in processes.descendants(task.process.pid)]

    until(lambda: "sleep 60" in below())
    stopped = processes.freeze(task.process.pid)
    try:
        task.stop_code, task.reason = "InfrastructureHealth", "The host was lost."
        code, stderr, took = end(process)
    finally:
        processes.end(stopped)  # or what is below an sshd would outlive it
    assert code == SYSTEM_FAILURE and "The host was lost." in stderr, stderr
    assert took < 30


def test_the_one_who_looks_keeps_nothing_of_the_runners(started, ecs_job, until):
    """GitLab Runner waits until all holders of its pipes have closed them."""
    process = started("echo up\nsleep 60\n")
    (watcher,) = until(lambda: processes.descendants(process.pid))

    def streams():
        return [os.readlink(f"/proc/{watcher}/fd/{fd}") for fd in range(3)]

    until(lambda: streams() == ["/dev/null"] * 3, what="/dev/null as its streams")
    runners = {os.fstat(stream.fileno()).st_ino for stream in (process.stdout, process.stderr)}
    kept = set()
    for fd in os.listdir(f"/proc/{watcher}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it talks to AWS meanwhile
            kept.add(os.stat(f"/proc/{watcher}/fd/{fd}").st_ino)
    assert not runners & kept
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == BUILD_FAILURE


def test_out_of_memory_is_named(started, cloud, ecs_job):
    process = started("echo up\nsleep 60\n")
    cloud.task().kill("OutOfMemoryError: Container killed due to memory usage")
    code, stderr, _ = end(process)
    assert code == SYSTEM_FAILURE and "OutOfMemoryError" in stderr
    assert "give the task more memory" in stderr


def test_scripts_need_no_call_of_aws(ecs_job, cloud):
    assert ecs_job.stage("prepare").returncode == 0
    before = len(cloud.calls)
    assert ecs_job.stage("config").returncode == 0
    assert ecs_job.run("echo fine\n").returncode == 0
    assert ecs_job.run("exit 4\n").returncode == BUILD_FAILURE
    assert len(cloud.calls) == before


def test_aws_out_of_order_does_not_end_a_job(started, cloud, ecs_job, until):
    go = ecs_job.directory / "go"
    process = started(f"echo up\nuntil [ -e {go} ]; do sleep 0.05; done\nexit 6\n")
    cloud.faults.append(throttled("DescribeTasks", 1000))
    before = cloud.count("DescribeTasks")
    until(lambda: cloud.count("DescribeTasks") > before + 2)
    go.touch()
    code, stderr, _ = end(process)
    assert code == BUILD_FAILURE and ecs_job.exit_code() == "6\n", stderr


def test_a_killed_driver_leaves_no_watch(started, cloud, until):
    process = started("echo up\nsleep 60\n")
    until(lambda: processes.descendants(process.pid))
    (watch,) = processes.descendants(process.pid)
    process.kill()
    process.wait()
    until(lambda: not processes.alive(watch))
