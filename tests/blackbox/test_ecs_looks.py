# SPDX-License-Identifier: MIT
"""DescribeTasks for all drivers that wait on one metadata directory: shared, and only where it may
be."""

import fcntl
import json
import os
import signal
import struct
import time

import pytest

from support.crowd_play import Play, busiest_second, percentile
from support.driver import SYSTEM_FAILURE
from support.ecs_crowd import Crowd

SLOTS_AT = 4096  # driver/backend/ecs/looks_table.c
SLOT = struct.Struct("=16s16s6q")  # struct looks_slot; the last two: expires_ms, missing
JOBS = 12
CALLS_PER_SECOND = 10  # the default

START_S = 6  # in which a busy machine starts all drivers of a play


@pytest.fixture
def crowd(programs, tmp_path, nothing_left):
    """ECS for many jobs; fails the test for what is not in ECS's model."""
    directory = tmp_path / "crowd"
    directory.mkdir()
    instance = Crowd(directory, str(programs.agent))
    yield instance
    problems = instance.stop()
    assert problems == []


@pytest.fixture
def play(crowd, berth_driver, tmp_path):
    """play(count, warm): jobs; their cleanup has to leave no task."""
    plays = []

    def make(count, warm=0):
        plays.append(Play(crowd, berth_driver, tmp_path, count, warm))
        return plays[-1]

    yield make
    crowd.hidden.clear()
    crowd.release()
    for one in plays:
        one.clean_up()


def table(driver):
    (path,) = driver.metadata.glob(".ecs-looks-*")
    return path


def asked_for(crowd):
    """The numbers of tasks in each DescribeTasks."""
    return [len(request["tasks"]) for request in crowd.requests("DescribeTasks")]


def all_ready(prepared):
    failed = [one.log for one in prepared if one.status != 0]
    assert failed == [], failed[0]


def own_tasks(play, prepared):
    """Each job has the address of its own task."""
    for one in prepared:
        task = play.crowd.task_of(one.job.env["CUSTOM_ENV_CI_JOB_ID"])
        assert f"task has the address {task.address} " in one.log


def start(play, number):
    """'prepare' of one job of the play, whose process the test keeps."""
    words = ("--config", play.config, "custom", "prepare")
    return play.driver.start(*words, env=play.jobs[number].env, config=False)


def test_waiting_drivers_ask_together(play, crowd):
    crowd.provisioning_s = START_S
    one = play(JOBS)
    prepared = one.prepare()
    all_ready(prepared)
    own_tasks(one, prepared)
    asked = asked_for(crowd)
    looks = [arn for request in crowd.requests("DescribeTasks") for arn in request["tasks"]]
    assert len(looks) > 2 * JOBS and len(asked) < len(looks) / 2, asked
    path = table(one.driver)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_bytes()
    env = next(iter(crowd.tasks.values())).environment
    assert env["BERTH_HOST_KEY_SEED"].encode() not in text and len(text) < 8 << 20
    assert path.stat().st_blocks * 512 < JOBS * 16384 + 65536, "the rest of it is holes"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_driver_that_ends_while_it_asks_for_all(play, crowd, how):
    """The others do not wait for it, and get their answers from the next one."""
    crowd.provisioning_s = START_S
    one = play(4)
    held = crowd.hold(lambda request: len(request["tasks"]) > 1)
    processes = [start(one, number) for number in range(4)]
    assert held.wait(60)
    request = next(r for r in crowd.requests("DescribeTasks") if len(r["tasks"]) > 1)
    owner = crowd.tasks[request["tasks"][0]].job_id
    jobs = [job.env["CUSTOM_ENV_CI_JOB_ID"] for job in one.jobs]
    asking = processes[jobs.index(owner)]
    asking.send_signal(how)
    for process in processes:
        if process is not asking:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
    assert not crowd.released.is_set(), "the call of the first one was never answered"
    crowd.release()
    if how == signal.SIGSTOP:
        asking.send_signal(signal.SIGCONT)
        _, err = asking.communicate(timeout=60)
        assert asking.returncode == 0, err


def test_a_table_that_another_process_keeps_locked(play, crowd):
    one = play(1)
    all_ready(one.prepare())
    one.clean_up()
    with open(table(one.driver), "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        all_ready(one.prepare())


@pytest.mark.parametrize("what", ["noise", "short", "writable by others", "a directory"])
def test_a_table_that_cannot_be_used(play, crowd, what):
    one = play(3)
    all_ready(one.prepare())
    one.clean_up()
    path = table(one.driver)
    if what == "noise":
        path.write_bytes(os.urandom(4 << 20))
    elif what == "short":
        os.truncate(path, 5000)
    elif what == "writable by others":
        path.chmod(0o666)
    else:
        path.unlink()
        path.mkdir()
    prepared = one.prepare()
    all_ready(prepared)
    own_tasks(one, prepared)


def test_an_old_table_has_no_answers(play, crowd):
    """The slots of an earlier task are not taken for those of the next one."""
    one = play(2)
    for _ in range(2):
        prepared = one.prepare()
        all_ready(prepared)
        own_tasks(one, prepared)
        one.clean_up()


def test_an_answer_to_an_earlier_stage_is_none_to_the_next(play, crowd, until):
    """ECS may have called the task missing when it was new, and later answers may not be in the
    table, which drivers that cannot share do not write."""
    one = play(1)
    all_ready(one.prepare())
    (job,) = one.jobs
    text = bytearray(table(one.driver).read_bytes())
    at = next(at for at in range(SLOTS_AT, len(text), SLOT.size) if any(text[at : at + 32]))
    slot = list(SLOT.unpack_from(text, at))
    slot[-1] = 1
    SLOT.pack_into(text, at, *slot)
    table(one.driver).write_bytes(text)
    (path,) = one.driver.metadata.glob("job-*.json")
    data = json.loads(path.read_text())
    data["state"]["asked_at"] = "1"  # long ago
    path.write_text(json.dumps(data))
    task = crowd.task_of(job.env["CUSTOM_ENV_CI_JOB_ID"])
    task.process.kill()  # the task runs, as far as ECS knows
    task.process.wait()
    asked = len(crowd.times("DescribeTasks"))
    process = job.start("true\n")
    until(
        lambda: process.poll() is not None or len(crowd.times("DescribeTasks")) > asked,
        60, "a call or the end",
    )  # fmt: skip
    assert process.poll() is None, process.stderr.read()
    process.kill()
    process.wait()


OTHERS = [
    {"AWS_ACCESS_KEY_ID": "AKIAOTHEROTHEROTHER"},
    {"AWS_ROLE_SESSION_NAME": "other"},
    {"AWS_CONFIG_FILE": "/nonexistent/other"},
    {"AWS_ENDPOINT_URL": "other"},
    "Cluster",
    "Region",
]


@pytest.mark.waits
@pytest.mark.parametrize(
    "other", OTHERS, ids=["key", "role", "file", "endpoint", "Cluster", "Region"]
)
def test_only_the_same_request_is_shared(play, crowd, other):
    """Jobs that differ in login, endpoint, cluster or region never ask together."""
    crowd.provisioning_s = START_S
    one = play(4)
    settings = one.driver.settings["Fargate"]
    theirs = {job.env["CUSTOM_ENV_CI_JOB_ID"] for job in one.jobs[2:]}
    configs = [one.config] * 4
    if isinstance(other, str):
        value = {"Cluster": f"{crowd.cluster}-2", "Region": "eu-west-1"}[other]
        settings[other] = value
        one.driver.directory = one.driver.directory / "other"
        one.driver.directory.mkdir()
        configs[2:] = [one.driver.config()] * 2
    else:
        if "AWS_ENDPOINT_URL" in other:
            other = {"AWS_ENDPOINT_URL": crowd.url.replace("127.0.0.1", "localhost")}
        for job in one.jobs[2:]:
            job.env |= other
    processes = [
        one.driver.start("--config", config, "custom", "prepare", env=job.env, config=False)
        for config, job in zip(configs, one.jobs, strict=True)
    ]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    groups = [
        {crowd.tasks[arn].job_id in theirs for arn in request["tasks"]}
        for request in crowd.requests("DescribeTasks")
    ]
    assert all(len(group) == 1 for group in groups)
    assert max(asked_for(crowd)) == 2, "those of one kind ask together"
    for config, job in zip(configs, one.jobs, strict=True):
        done = one.driver.run("--config", config, "custom", "cleanup", env=job.env, config=False)
        assert done.returncode == 0, done.stderr


def test_a_task_that_is_missing_is_missing_alone(play, crowd):
    """'failures' names it; the other tasks of the same answer have their addresses."""
    crowd.provisioning_s = START_S
    one = play(4)
    gone = one.jobs[0].env["CUSTOM_ENV_CI_JOB_ID"]
    crowd.hidden.add(gone)
    processes = [start(one, number) for number in range(4)]
    for process in processes[1:]:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert processes[0].poll() is None
    arn = crowd.task_of(gone).arn
    together = [r for r in crowd.requests("DescribeTasks") if arn in r["tasks"][1:]]
    assert together or any(
        r["tasks"][0] == arn and len(r["tasks"]) > 1 for r in crowd.requests("DescribeTasks")
    )
    crowd.hidden.clear()
    _, err = processes[0].communicate(timeout=60)
    assert processes[0].returncode == 0, err


def test_a_login_that_may_not_see_them_all(play, crowd):
    """A policy by tags refuses the call for several tasks; then each driver asks for its own."""
    crowd.provisioning_s = START_S
    crowd.most = 1
    one = play(4)
    prepared = one.prepare()
    all_ready(prepared)
    own_tasks(one, prepared)
    asked = asked_for(crowd)
    assert 1 <= sum(1 for count in asked if count > 1) <= 4, asked


def test_a_refusal_of_all_together_is_not_the_end_of_one(play, crowd):
    """No turn to ask for this task alone comes before the launch has taken its time."""
    crowd.provisioning_s = 60
    crowd.most = 1
    one = play(2)
    one.driver.settings["Fargate"]["LaunchTimeout"] = "5s"
    one.config = one.driver.config()
    held = crowd.hold(lambda request: len(request["tasks"]) > 1)
    processes = [start(one, number) for number in range(2)]
    assert held.wait(60)
    later_ms = int((time.monotonic() + 60) * 1000)  # as if others had taken all turns until then
    (one.driver.metadata / ".ecs-look").write_bytes(struct.pack("=q", later_ms))
    crowd.release()
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == SYSTEM_FAILURE, err
        assert b"no address within [Fargate] LaunchTimeout" in err


def test_no_driver_waits_for_a_slow_answer_longer_than_alone(play, crowd):
    crowd.latency_s = 1.5
    crowd.provisioning_s = 0.2
    prepared = play(3).prepare()
    all_ready(prepared)
    # First look, one call under way, one second until it is given up, a call.
    assert max(float(one.log.split("address")[1].split("after ")[1].split()[0])
               for one in prepared) < 0.7 + 1.5 + 1 + 1.5 + 6  # fmt: skip


@pytest.mark.waits
def test_many_jobs_some_of_them_warm(play, crowd):
    """The play of './dev bench --only crowd' in small."""
    count, warm = 60, 10
    crowd.provisioning_s = crowd.pending_s = crowd.running_s = 1
    play_of_all = play(count, warm)
    play_of_all.fill()
    before = len(crowd.tasks)
    prepared = play_of_all.prepare()
    all_ready(prepared)
    assert before == warm == sum(one.is_warm for one in prepared)
    cold = [one for one in prepared if not one.is_warm]
    own_tasks(play_of_all, cold)
    latencies = play_of_all.latencies(cold)
    assert len(latencies) == count - warm and percentile(latencies, 0.95) <= 10
    for operation in ("RunTask", "DescribeTasks"):
        times = sorted(crowd.times(operation))
        for number, at in enumerate(times):  # a loaded machine bunches them up, but never ahead
            assert at - times[0] >= number / CALLS_PER_SECOND - 0.5, f"{operation} {number}"
    assert max(one.private for one in cold) <= 4096


def test_the_bench_counts_by_seconds():
    assert busiest_second([]) == 0
    assert busiest_second([0, 0.5, 0.99, 1.0, 1.5]) == 3
    assert percentile(list(range(1, 101)), 0.95) == 95
