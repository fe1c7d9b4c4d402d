# SPDX-License-Identifier: MIT
"""A task that has ended: the stage ends soon after ECS reports it, with the reason.

ECS learns of an end some seconds after the link shows it (Cloud.lag_s). The watch of a running
script is out of the way here (WatchInterval), so that a lost link alone leads to the question.
"""

import json
import os
import signal
import struct
import subprocess
import time

import pytest

from support import processes
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.ecs_requests import Fault, throttled

SPOT = ("SpotInterruption", "Your Spot Task was interrupted.")
OOM = "OutOfMemoryError: Container killed due to memory usage"
LAGS = [0, 3, pytest.param(10, marks=pytest.mark.waits)]
AFTER_ANSWER_S = 20  # on a busy machine; the script runs for a minute
NEVER = "1h"


@pytest.fixture
def prepared(ecs_job, cloud, until):
    def prepare(image="agent", **fargate):
        cloud.image = image
        ecs_job.fargate |= {"WatchInterval": NEVER, **fargate}
        done = ecs_job.stage("prepare")
        assert done.returncode == 0, done.stderr
        until(lambda: cloud.task().status == "RUNNING")
        return cloud.task()

    return prepare


def started(ecs_job, script="echo up\nsleep 60\n"):
    process = ecs_job.start(script)
    assert process.stdout.readline() == b"up\n"
    return process


def end(process, deadline_s=100):
    code = process.wait(deadline_s)
    return code, process.stderr.read().decode(), time.monotonic()


@pytest.mark.parametrize("lag_s", LAGS)
@pytest.mark.parametrize("image", ["agent", "sshd"])
def test_a_killed_container_is_named_while_its_link_is_lost(prepared, ecs_job, cloud, image, lag_s):
    task = prepared(image)
    process = started(ecs_job)
    cloud.lag_s = lag_s
    task.kill(OOM)
    code, stderr, ended = end(process)
    assert code == SYSTEM_FAILURE and ecs_job.exit_code() is None, stderr
    assert "EssentialContainerExited" in stderr and OOM in stderr, stderr
    assert "exit code 137" in stderr and "give the task more memory" in stderr
    assert "may still run" not in stderr, "it does not"
    assert ended - cloud.reported_stopped[0] < AFTER_ANSWER_S
    assert ended - task.ended_at < lag_s + AFTER_ANSWER_S


@pytest.mark.parametrize("lag_s", LAGS)
@pytest.mark.parametrize("image", ["agent", "sshd"])
def test_a_task_that_ended_between_stages(prepared, ecs_job, cloud, until, image, lag_s):
    task = prepared(image)
    assert ecs_job.run("echo fine\n").returncode == 0
    cloud.lag_s = lag_s
    task.stop(*SPOT)
    until(lambda: task.status == "STOPPED")
    for stage in ("build_script", "after_script"):
        begun = time.monotonic()
        done = ecs_job.run("echo never\n", stage)
        took = time.monotonic() - begun
        assert done.returncode == SYSTEM_FAILURE and done.stdout == b"", done.stderr
        assert SPOT[0] in done.stderr and SPOT[1] in done.stderr
        assert "retry: runner_system_failure" in done.stderr
        assert "refused" not in done.stderr, done.stderr
        assert took < (lag_s if stage == "build_script" else 0) + AFTER_ANSWER_S


class ThenSilence(list):
    """Times of answers with STOPPED; after the first one AWS does not answer."""

    def __init__(self, cloud):
        super().__init__()
        self.cloud = cloud

    def append(self, at):
        super().append(at)
        self.cloud.faults.append(throttled("DescribeTasks", 1000))


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE], ids=["resumable", "plain"])
def test_exec_names_the_end_too(ecs_job, cloud, until, stdin):
    """In the process that launched the task, long after the first connection."""
    ecs_job.driver.settings["SSH"]["ConnectTimeout"] = "1s"
    process = ecs_job.driver.start("exec", "--", "echo up; sleep 60", env=ecs_job.env, stdin=stdin)
    assert process.stdout.readline() == b"up\n"
    task = cloud.task()
    until(lambda: task.status == "RUNNING" and time.time() - task.running_at > 2)
    cloud.lag_s = 3
    task.kill(OOM)
    code, stderr, ended = end(process)
    assert code == 255 and OOM in stderr and "security group" not in stderr, stderr
    assert ended - cloud.reported_stopped[0] < AFTER_ANSWER_S


@pytest.mark.waits
def test_a_stop_does_not_wait_for_aws(prepared, ecs_job, cloud, until):
    """The link is lost, ECS does not answer, and the runner cancels the job."""
    cloud.link_faults["4711"] = []
    task = prepared()
    process = started(ecs_job)
    cloud.faults.append(Fault("DescribeTasks", delay_s=60, times=1000))
    before = cloud.count("DescribeTasks")
    task.proxy.refusing = True
    task.proxy.cut()
    until(lambda: cloud.count("DescribeTasks") > before)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, stderr, ended = end(process)
    assert code in (BUILD_FAILURE, SYSTEM_FAILURE), stderr
    assert ended - begun < 45, "AWS does not answer for a minute"
    cloud.faults.clear()


def test_the_watchs_own_answer_is_enough(prepared, ecs_job, cloud):
    """The stage reports the reason although AWS does not answer afterwards."""
    task = prepared(WatchInterval="500ms")
    process = started(ecs_job)
    pids = processes.freeze(task.process.pid)
    try:
        cloud.reported_stopped = ThenSilence(cloud)
        task.stop_code, task.reason = SPOT
        code, stderr, ended = end(process)
    finally:
        processes.end(pids)
    assert code == SYSTEM_FAILURE and SPOT[1] in stderr, stderr
    assert ended - cloud.reported_stopped[0] < AFTER_ANSWER_S


def test_a_link_that_breaks_soon_after_a_look_is_looked_at_again(prepared, ecs_job, cloud, until):
    """The link breaks while ECS reports RUNNING, is restored, and breaks when the task ends."""
    cloud.link_faults["4711"] = []
    task = prepared()
    process = started(ecs_job)
    before = cloud.count("DescribeTasks")
    task.proxy.cut()
    until(lambda: cloud.count("DescribeTasks") > before)
    begun = time.monotonic()
    task.kill(OOM)
    code, stderr, ended = end(process)
    assert code == SYSTEM_FAILURE and OOM in stderr, stderr
    assert ended - begun < AFTER_ANSWER_S


def hold_the_turn(driver, seconds):
    """As a driver that asks for all tasks and gets no answer (driver/backend/ecs/looks_table.c)."""
    turns, turn, scope_bytes, slots_at = 64, struct.Struct("=16sq"), 16, 4096
    (path,) = driver.metadata.glob(".ecs-looks-*")
    with open(path, "r+b") as table:
        table.seek(slots_at)
        scope = table.read(scope_bytes)
        assert any(scope)
        table.seek(scope[0] % turns * turn.size)
        table.write(turn.pack(scope, int((time.monotonic() + seconds) * 1000)))


def test_a_driver_that_waits_for_another_in_vain_asks_for_itself(prepared, ecs_job, cloud):
    """The link is lost while another driver has the turn to ask."""
    cloud.link_faults["4711"] = []
    task = prepared()
    process = started(ecs_job)
    hold_the_turn(ecs_job.driver, 60)
    task.kill(OOM)
    code, stderr, ended = end(process)
    assert code == SYSTEM_FAILURE and OOM in stderr, stderr
    assert ended - task.ended_at < AFTER_ANSWER_S


def test_what_is_left_of_a_dying_task_does_not_hide_why(prepared, ecs_job, cloud, until):
    """The job's monitor is killed first, and the agent still reports that."""
    task = prepared()
    process = started(ecs_job)
    (monitor,) = processes.named(task.process.pid, "berth-job")
    os.kill(monitor, signal.SIGKILL)
    cloud.lag_s = 3
    log = cloud.directory / f"task-{task.id}" / "container.log"
    until(lambda: "monitor was killed" in log.read_text())
    task.kill(OOM)
    code, stderr, ended = end(process)
    assert code == SYSTEM_FAILURE and OOM in stderr, stderr
    assert ended - cloud.reported_stopped[0] < AFTER_ANSWER_S


def test_a_reason_that_reads_like_a_mistake_is_one_of_the_system(prepared, ecs_job, cloud):
    """A task that ran is a system failure, whatever the reason of StopTask says."""
    task = prepared()
    process = started(ecs_job, "trap '' TERM\necho up\nsleep 60\n")
    task.stop("UserInitiated", "cleaned up, CannotPull: manifest unknown")
    code, stderr, _ = end(process)
    assert code == SYSTEM_FAILURE and "manifest unknown" in stderr, stderr
    done = ecs_job.run("echo never\n", "after_script")
    assert done.returncode == SYSTEM_FAILURE and "manifest unknown" in done.stderr


def test_a_young_task_is_not_gone_because_ecs_does_not_know_it_yet(prepared, ecs_job, cloud, until):
    """Just after RunTask, in another process."""
    cloud.link_faults["4711"] = []
    task = prepared()
    go = ecs_job.directory / "go"
    process = started(ecs_job, f"echo up\nuntil [ -e {go} ]; do sleep 0.05; done\necho down\n")
    cloud.faults.append(Fault("DescribeTasks", missing=True, times=3))
    before = cloud.count("DescribeTasks")
    task.proxy.cut()
    until(lambda: cloud.count("DescribeTasks") > before, what="a look at the task")
    go.write_text("")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out == b"down\n", err


def test_aws_that_cannot_be_asked_does_not_end_a_job(prepared, ecs_job, cloud):
    """A configuration that AWS refuses meanwhile does not mean that the task has ended."""
    cloud.link_faults["4711"] = []
    task = prepared()
    ecs_job.env["AWS_MAX_ATTEMPTS"] = "many"
    go = ecs_job.directory / "go"
    process = started(ecs_job, f"echo up\nuntil [ -e {go} ]; do sleep 0.05; done\necho down\n")
    task.proxy.cut()
    go.write_text("")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out == b"down\n", err
    del ecs_job.env["AWS_MAX_ATTEMPTS"]


JOBS = 200
PACE = 20


@pytest.mark.waits
def test_two_hundred_lost_links_keep_the_pace(prepared, ecs_job, cloud, tmp_path):
    """All tasks end at once, and ECS does not report it yet."""
    task = prepared(CallsPerSecond=PACE)
    (path,) = ecs_job.driver.metadata.glob("job-4711-*.json")
    text = path.read_text()
    config = ecs_job.driver.config()
    cloud.lag_s = 3
    task.kill(OOM)
    before = len(cloud.times)
    begun = time.monotonic()
    running, copies = [], []
    for number in range(9000, 9000 + JOBS):
        copy = path.with_name(path.name.replace("4711", str(number)))
        copy.write_text(text.replace(path.stem, copy.stem))
        copy.chmod(0o600)
        copies.append(copy)
        response = tmp_path / f"response-{number}.json"
        response.write_text(json.dumps({"id": number, "token": ecs_job.token}))
        env = {**ecs_job.env, "JOB_RESPONSE_FILE": str(response)}
        words = ("--config", config, "custom", "run", ecs_job.script("echo x\n"), "build_script")
        running.append(ecs_job.driver.start(*words, env=env, config=False))
    stderr = [process.communicate(timeout=120)[1].decode() for process in running]
    looks = sorted(at for at, name in cloud.times[before:] if name == "DescribeTasks")
    assert all(process.returncode == SYSTEM_FAILURE for process in running)
    assert all(OOM in text for text in stderr), [text for text in stderr if OOM not in text][:3]
    assert len(looks) < JOBS, "one call asks for many; alone each asks until the end is reported"
    for count, at in enumerate(looks):  # a loaded machine may bunch them up, but never ahead
        assert at - begun >= count / PACE - 0.5, f"look {count}"
    for copy in copies:
        copy.unlink()


def test_a_script_that_failed_while_its_task_was_stopped_did_not_fail_by_itself(
    prepared, ecs_job, cloud, tmp_path
):
    """Under sshd only ECS reports it: the session just gets SIGTERM."""
    task = prepared("sshd")
    go = tmp_path / "go"
    process = started(ecs_job, f"echo up\nwhile [ ! -e {go} ]; do sleep 0.05; done\nexit 1\n")
    task.stop_code, task.reason = SPOT[:2]  # stopping, and its processes still run
    go.touch()
    code, reported, _ = end(process)
    assert code == SYSTEM_FAILURE and ecs_job.exit_code() is None, reported
    assert SPOT[0] in reported and "not a failure of the script" in reported, reported
