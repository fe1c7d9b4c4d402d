# SPDX-License-Identifier: MIT
"""Warm tasks that exit or hang, a killed claimer or launcher, an engine that restarts, a full disk:
no job is lost, and no container stays that no record counts."""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

from support.driver import SYSTEM_FAILURE
from support.engine_front import Front
from support.waiting import until
from support.warm_pool import DEADLINE_S


def test_a_task_that_exited(pool, engine):
    """The job gets the next one; 'warm' finds another that exited."""
    pool.warm()
    oldest = min(pool.ready().items(), key=lambda each: (each[1]["warm"]["ready_at"], each[0]))
    keys = set(pool.ready())
    for key in keys:
        if pool.ready()[key]["warm"]["ready_at"] == oldest[1]["warm"]["ready_at"]:
            last = key
    engine.good("POST", f"/containers/berth-{last}/kill?signal=KILL")
    for _ in keys:
        job, done = pool.prepared()
        assert job.run("echo $IMAGE_SAYS\n").stdout == b"hello\n"
    pool.until_ready(2)
    until(lambda: last not in pool.containers(), DEADLINE_S, "the exited task is removed")
    until(pool.counted, DEADLINE_S, "every container has its record")


def test_all_tasks_exited(pool, engine):
    """An engine that was restarted without its containers: the job starts cold, in time."""
    pool.warm()
    for key in pool.ready():
        engine.good("DELETE", f"/containers/berth-{key}?force=1&v=1")
    job, done = pool.prepared()
    assert "cannot be used" in done.stderr and "launching job-" in done.stdout.decode()
    assert job.run("echo $IMAGE_SAYS\n").stdout == b"hello\n"
    pool.until_ready(2)


def test_an_engine_that_lists_nothing_and_then_exited_tasks(pool, engine, tmp_path):
    """While it refuses to list them nothing changes; tasks that were killed are replaced."""
    with Front(engine.socket, tmp_path / "front.sock") as front:
        pool.driver.settings["Docker"]["Host"] = front.url
        pool.warm()
        before = set(pool.ready())
        front.refuse("GET", "/containers/json", 500, "starting")
        assert "cannot list the tasks" in pool.warm(good=False).stderr
        assert set(pool.ready()) == before
        front.refusals.clear()
        for key in before:
            engine.good("POST", f"/containers/berth-{key}/kill?signal=KILL")
        done = pool.warm()
        assert "it has exited" in done.stderr
        assert len(pool.ready()) == 2 and not before & set(pool.ready())
        assert pool.counted()
        pool.end()
    pool.driver.settings["Docker"]["Host"] = engine.url


def test_another_host_key(pool):
    pool.entry["Tasks"] = 1
    pool.warm()
    key, record = next(iter(pool.ready().items()))
    record["host_key_seed"] = record["user_key_seed"]
    (pool.driver.metadata / f"{key}.json").write_text(json.dumps(record))
    job, done = pool.prepared()
    assert "host key" in done.stderr and "launching job-" in done.stdout.decode()
    assert job.run("echo $IMAGE_SAYS\n").stdout == b"hello\n"
    pool.until_ready(1)
    until(lambda: key not in pool.containers(), DEADLINE_S, "the task is stopped")


def test_killed_at_any_moment(pool, programs):
    """The claimer, at calls all over 'prepare': cleanup ends the task, or it is still offered."""
    pool.entry["Tasks"] = 1
    tool = programs.driver.parent.parent / "tests/tools/kill-at"
    pool.warm()
    job = pool.job()
    # The leak checker cannot trace a process that is traced already.
    job.env["ASAN_OPTIONS"] = job.env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    counted = job.stage("prepare", before=[tool, "0"])
    assert "warm task" in counted.stdout.decode(), counted.stderr
    calls = int(re.search(r"calls: (\d+)", counted.stderr)[1])
    assert job.stage("cleanup").returncode == 0
    claimed = 0
    for number in range(1, 16):
        pool.warm()
        until(lambda: len(pool.ready()) == 1 and pool.counted(), DEADLINE_S, "one ready task")
        key = next(iter(pool.ready()))
        job = pool.job()
        done = job.stage("prepare", before=[tool, str(calls * number // 16)])
        assert done.returncode == 137, done.stderr
        claimed += job.key() is not None
        assert (job.key() is None) == (key in pool.ready())
        assert job.stage("cleanup").returncode == 0
        assert (key in pool.containers()) == (key in pool.ready())
    assert 0 < claimed < 15


def test_the_launcher_is_killed(pool, engine):
    """'warm' and its children: the next 'warm' ends what they left."""
    pool.entry["Tasks"] = 3
    process = pool.driver.start("warm")
    until(pool.containers, DEADLINE_S, "a container")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = set(pool.records()) - set(pool.ready())
    if left:
        assert all(key in pool.driver.run("gc").stdout.decode() for key in left)
    done = pool.warm()
    assert "3 ready, 0 launching, 3 wanted" in done.stdout.decode()
    assert not left & set(pool.ready())

    def counted():
        # What the engine was about to create for a killed process may come late.
        return pool.driver.run("gc", "--stop").returncode == 0 and pool.counted()

    until(counted, DEADLINE_S, "all containers are counted")


@pytest.mark.waits
def test_tasks_that_hang(pool, engine):
    """All together cost a job some seconds, not each of them."""
    pool.entry["Tasks"] = 4
    pool.warm()
    paused = list(pool.ready())
    for key in paused:
        engine.good("POST", f"/containers/berth-{key}/pause")
    job, done = pool.prepared()
    for key in paused:
        engine.call("POST", f"/containers/berth-{key}/unpause")
    assert "launching job-" in done.stdout.decode()
    assert 1 <= done.stderr.count("cannot be used") <= 3, done.stderr
    assert job.run("echo $IMAGE_SAYS\n").stdout == b"hello\n"


@pytest.fixture
def small_disk(docker_driver):
    """The metadata directory has room for some records; fill() takes the rest, free() gives it."""
    place = docker_driver.metadata
    place.mkdir(mode=0o700)
    words = ["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "none", place]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    stuffing = place / "stuffing"

    def fill():
        with contextlib.suppress(OSError), stuffing.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    yield fill, stuffing.unlink
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk(small_disk, pool):
    """No record, no task; a claim that cannot be recorded ends its task."""
    fill, free = small_disk
    fill()
    assert "No space left on device" in pool.warm(good=False).stderr
    assert pool.containers() == [] and pool.records() == {}
    free()
    pool.entry["Tasks"] = 1
    pool.warm()
    key = next(iter(pool.ready()))
    fill()
    job, done = pool.prepared(good=False)
    assert done.returncode == SYSTEM_FAILURE and "No space left on device" in done.stderr
    until(lambda: key not in pool.containers(), DEADLINE_S, "the task is stopped")
    assert job.key() is None and pool.records() == {}
    free()
