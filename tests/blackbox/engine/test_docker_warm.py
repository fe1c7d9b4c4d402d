# SPDX-License-Identifier: MIT
"""Warm tasks as containers: never two jobs in one, never one that no record counts."""

import concurrent.futures
import datetime
import json
import os
import re
import signal
import threading
import time

import pytest

from support.driver import SYSTEM_FAILURE
from support.engine_front import Front
from support.host_image import helper_tar
from support.waiting import until
from support.warm_pool import DEADLINE_S


def test_a_job_in_a_warm_task(pool):
    done = pool.warm()
    assert "2 ready, 0 launching, 2 wanted" in done.stdout.decode()
    first = set(pool.ready())
    assert len(first) == 2 and pool.containers() == sorted(first)
    listed = pool.driver.run("ps").stdout.decode()
    image = re.escape(pool.entry["Image"])
    assert all(re.search(rf"{key} .* running, warm .* {image} ", listed) for key in first)
    shown = pool.driver.run("ps", "--json").stdout.splitlines()
    assert [json.loads(line)["image"] for line in shown] == [pool.entry["Image"]] * 2
    assert "no orphaned tasks" in pool.driver.run("gc").stderr

    began = time.time()
    job, done = pool.prepared()
    assert "berth: warm task docker-" in done.stdout.decode()
    metadata = json.loads((pool.driver.metadata / f"{job.key()}.json").read_text())
    assert metadata["job"] in first
    assert job.run("echo $IMAGE_SAYS; test -d /builds\n").stdout == b"hello\n"
    pool.until_ready(2)  # the replacement, which leaves the job its first second
    (new,) = set(pool.ready()) - first
    created = pool.engine.good("GET", f"/containers/berth-{new}/json")["Created"]
    assert datetime.datetime.fromisoformat(created).timestamp() >= began + 0.99
    assert metadata["job"] not in pool.ready() and pool.counted()

    listed = pool.driver.run("ps").stdout.decode()
    assert job.key() in listed and metadata["job"] not in listed.replace(
        "berth-" + metadata["job"], ""
    )
    number = job.key().split("-")[1]
    assert pool.driver.run("ssh", number, "--", "echo", "here").stdout == b"here\n"
    wrong = pool.driver.run("ssh", next(iter(pool.ready())), "--", "true")
    assert wrong.returncode != 0 and "no running job" in wrong.stderr

    assert "no orphaned tasks" in pool.driver.run("gc").stderr
    assert job.stage("cleanup").returncode == 0
    assert metadata["job"] not in pool.containers() and len(pool.containers()) == 2


def test_the_oldest_task_is_claimed(pool):
    """It is the first that would reach MaxAge."""
    pool.warm()
    key, record = max(pool.ready().items())
    record["warm"]["ready_at"] -= 100
    (pool.driver.metadata / f"{key}.json").write_text(json.dumps(record))
    job, _ = pool.prepared()
    assert json.loads((pool.driver.metadata / f"{job.key()}.json").read_text())["job"] == key


def test_gc_ends_a_claimed_task(pool):
    """The job's key finds a task that has another name."""
    pool.entry["Tasks"] = 1
    pool.warm()
    ((key, record),) = pool.ready().items()
    record["origin"] |= {"started_at": 1000, "timeout": 10}  # of who launched it, long ago
    (pool.driver.metadata / f"{key}.json").write_text(json.dumps(record))
    job, _ = pool.prepared()
    pool.until_ready(1)
    assert "no orphaned tasks" in pool.driver.run("gc").stderr
    name = job.key()
    path = pool.driver.metadata / f"{name}.json"
    record = json.loads(path.read_text())
    record["origin"] |= {"started_at": 1000, "timeout": 10}
    path.write_text(json.dumps(record))
    assert f"would stop berth-{key} of {name}" in pool.driver.run("gc").stdout.decode()
    assert f"stopped berth-{key} of {name}" in pool.driver.run("gc", "--stop").stdout.decode()
    assert not path.exists() and pool.containers() == list(pool.ready())


def test_with_a_helper(pool, engine):
    """The warm task has one, too; after the claim both containers serve the job."""
    image = f"berth-test/helper-warm:{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')}"
    engine.import_image(image, helper_tar(), ["ENV PATH=/usr/bin:/bin"])
    pool.driver.settings["Helper"] = {"Image": image, "Busybox": "none"}
    pool.entry |= {"Tasks": 1, "MaxAge": "20m"}
    pool.warm()
    (key,) = pool.ready()
    names = [f"berth-{key}", f"berth-{key}-helper"]
    for name in names:  # neither waits for longer, if this host is gone
        words = engine.good("GET", f"/containers/{name}/json")["Args"]
        for option in ("--connect-timeout", "--claim-timeout"):
            assert words[words.index(option) + 1] == f"{21 * 60000}ms", name
        assert "has claimed" not in engine.docker("logs", name).stderr
    job, done = pool.prepared()
    assert "berth: warm task " in done.stdout.decode()
    for name in names:  # the log of the first process, which a session reports to
        log = lambda it=name: engine.docker("logs", it).stderr  # noqa: E731
        until(lambda log=log: "a client has claimed this task" in log(), DEADLINE_S, name)
    assert job.run("command -v git; echo x >/builds/f\n", "get_sources").stdout != b""
    assert job.run("command -v git; cat /builds/f\n").stdout == b"x\n"
    number = job.key().split("-")[1]
    assert (
        pool.driver.run("ssh", "--container", "helper", number, "--", "git", "--version").returncode
        == 0
    )
    pool.until_ready(1)
    # A job that would have no helper, and one with another version of GitLab's own.
    pool.driver.settings["Helper"]["Use"] = "never"
    assert "launching job-" in pool.prepared()[1].stdout.decode()
    # A name that only a job completes.
    pool.driver.settings["Helper"] = {"Image": f"{image}-$CI_RUNNER_VERSION"}
    assert "set [Helper] Image" in pool.warm(good=False).stderr
    pool.driver.settings["Helper"] = {"Image": image, "Busybox": "none"}


def test_without_its_helper_no_task_is_ready(pool, free_port):
    """Jobs that claimed it would have none, though its image may be there again."""
    pool.driver.settings["Helper"] = {"Image": f"127.0.0.1:{free_port()}/h:1", "Busybox": "none"}
    pool.entry["Tasks"] = 1
    errors = pool.warm(good=False).stderr
    assert "helper container: cannot pull" in errors and "no helper container" not in errors
    assert pool.ready() == {} and pool.containers() == []


def test_the_task_waits_for_as_long_as_it_may(pool, engine):
    pool.entry |= {"Tasks": 1, "MaxAge": "2h"}
    pool.warm()
    key = next(iter(pool.ready()))
    words = engine.good("GET", f"/containers/berth-{key}/json")["Args"]
    assert words[words.index("--connect-timeout") + 1] == f"{(120 + 1) * 60000}ms"
    assert "--max-lifetime" not in words


@pytest.mark.parametrize(
    "name, value",
    [
        ("image", {"name": "berth-test/busybox:1", "entrypoint": ["sh"]}),
        ("image", {"name": "berth-test/busybox:1", "pull_policy": ["if-not-present"]}),
        (
            "image",
            {"name": "berth-test/busybox:1", "executor_opts": {"docker": {"user": "1000"}}},
        ),
        ("services", [{"name": "berth-test/busybox:1", "command": ["sleep", "1000"]}]),
    ],
)
def test_a_job_that_asks_for_more_starts_cold(pool, name, value):
    pool.driver.settings["Docker"] |= {"AllowedServices": ["**"], "ServiceTimeout": "0s"}
    pool.entry["Tasks"] = 1
    pool.warm()
    key = list(pool.ready())
    job = pool.job()
    response = json.loads(job.response_file.read_text())
    job.response_file.write_text(json.dumps(response | {name: value}))
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "launching job-" in done.stdout.decode() and list(pool.ready()) == key


def test_the_configuration_changes(pool):
    """A task of the old settings is not claimed, and is replaced."""
    pool.entry["Tasks"] = 1
    pool.warm()
    old = set(pool.ready())
    pool.driver.settings["Docker"]["Memory"] = "200MiB"
    _, done = pool.prepared()
    assert "launching job-" in done.stdout.decode()
    done = pool.warm()
    assert "fits no [[Warm]] any more" in done.stderr
    assert len(pool.ready()) == 1 and not old & set(pool.ready())


def test_settings_that_a_task_depends_on(pool, tmp_path):
    """A job under another one does not get it, nor one whose runner passes another variable."""
    pool.entry["Tasks"] = 1
    settings = pool.driver.settings
    settings["Docker"]["Environment"] = ["OF_THE_RUNNER"]
    settings |= {"SSH": {}, "Services": {}}
    pool.warm()
    (key,) = pool.ready()
    for section, name, value in (
        ("Docker", "Memory", "200MiB"),
        ("Docker", "PidsLimit", 100),
        ("Docker", "User", "1000"),
        ("Docker", "Volumes", [f"{tmp_path}:/host"]),
        ("Docker", "Environment", ["OF_THE_RUNNER", "A=1"]),
        ("Docker", "CapDrop", ["NET_RAW"]),
        ("Services", "Builds", False),
        ("SSH", "ReattachTimeout", "1m"),
        ("", "CancelGrace", "3s"),
        ("variable", "OF_THE_RUNNER", "x"),
    ):
        job = pool.job()
        place = job.env if section == "variable" else settings[section] if section else settings
        before = dict(place)
        place[name] = value
        done = job.stage("prepare")
        assert "launching job-" in done.stdout.decode(), (section, name, done.stderr)
        assert job.stage("cleanup").returncode == 0
        place.clear()
        place |= before
    assert list(pool.ready()) == [key]
    assert "berth: warm task " in pool.prepared()[1].stdout.decode()


def test_fewer_are_wanted(pool):
    pool.entry["IdleTime"] = "1h"
    pool.warm()
    before = set(pool.ready())
    pool.entry["Tasks"] = 1
    pool.warm()
    assert set(pool.ready()) == before
    pool.entry["IdleTime"] = "0s"
    pool.warm()
    assert len(pool.ready()) == 1 and set(pool.ready()) < before
    pool.entry["Schedule"] = {"00:00-12:00": 3, "12:00-24:00 UTC": 3}
    assert "3 ready, 0 launching, 3 wanted" in pool.warm().stdout.decode()


def test_an_old_task_is_replaced(pool):
    pool.entry["Tasks"] = 1
    pool.warm()
    key, record = next(iter(pool.ready().items()))
    record["warm"]["ready_at"] -= 4 * 3600
    (pool.driver.metadata / f"{key}.json").write_text(json.dumps(record))
    _, done = pool.prepared()
    assert "launching job-" in done.stdout.decode()
    assert "it has reached MaxAge" in pool.warm().stderr
    assert len(pool.ready()) == 1 and key not in pool.ready()


def test_there_is_a_maximum(pool):
    pool.entry["Tasks"] = 2
    pool.driver.settings["WarmPool"]["MaxTasks"] = 2
    other = {"Image": "berth-test/other:1", "Tasks": 1}
    pool.driver.settings["Warm"].append(other)
    done = pool.warm()
    assert "'berth-test/other:1' has 0 of 1 warm tasks: [WarmPool] MaxTasks is 2" in done.stderr
    assert len(pool.ready()) == 2


def test_many_claims_at_once(pool, engine, tmp_path):
    """50 processes and 5 tasks: five get one each; the engine refuses all others a container."""
    pool.entry["Tasks"] = 5
    with Front(engine.socket, tmp_path / "front.sock") as front:
        pool.driver.settings["Docker"]["Host"] = front.url
        pool.warm()
        front.refuse("POST", "/containers/create", 500, "no more of them")
        jobs = [pool.job() for _ in range(50)]
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as threads:
            done = list(threads.map(lambda job: job.stage("prepare"), jobs))
        winners = [job for job, each in zip(jobs, done, strict=True) if each.returncode == 0]
        tasks = [
            json.loads((pool.driver.metadata / f"{job.key()}.json").read_text())["job"]
            for job in winners
        ]
        assert len(tasks) == len(set(tasks)) == 5, [each.stderr for each in done]
        assert {each.returncode for each in done} == {0, SYSTEM_FAILURE}
        assert pool.ready() == {} and pool.containers() == sorted(tasks)
        front.refusals.clear()

        def full():  # a replacement that was refused may end later, and was counted until then
            pool.warm()
            return len(pool.ready()) == 5

        until(full, DEADLINE_S, "5 ready tasks")
        until(pool.counted, DEADLINE_S, "every container has its record")
        pool.end()
    pool.jobs.clear()
    pool.driver.settings["Docker"]["Host"] = engine.url


def test_a_launch_under_way(pool, engine, tmp_path):
    """Another 'warm' counts it and leaves it alone; a request to stop is no failure."""
    pool.entry["Tasks"] = 1
    with Front(engine.socket, tmp_path / "front.sock") as front:
        pool.driver.settings["Docker"]["Host"] = front.url
        gate = front.hold("POST", "/containers/[^/]+/start")
        process = pool.driver.start("warm")
        assert gate.reached.wait(DEADLINE_S)
        (task,) = pool.records()
        done = pool.warm()
        assert "0 ready, 1 launching, 1 wanted" in done.stdout.decode()
        assert list(pool.records()) == [task] and not pool.records("spent-")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=DEADLINE_S - 15)  # the gate opens by itself after 60 s
        assert process.returncode != 0 and b"next launch" not in err
        gate.open.set()
        assert not list(pool.driver.metadata.glob(".warm-failed-*"))
        until(lambda: pool.containers() == [], DEADLINE_S, "the task is removed")
        pool.end()
    pool.driver.settings["Docker"]["Host"] = engine.url


def test_the_job_is_not_in_the_replacement(pool, tmp_path):
    """Its process has no variable, file or login of the job, and no stream of the runner."""
    seen = tmp_path / "seen"
    pool.entry["Tasks"] = 1
    pool.driver.settings["LogFile"] = str(tmp_path / "log")
    pool.warm()
    job = pool.job()
    job.env |= {"CUSTOM_ENV_CI_JOB_IMAGE": "poison:1", "CUSTOM_ENV_DOCKER_AUTH_CONFIG": "{bad"}
    found = []

    def watch(stop):
        while not stop.is_set() and not found:
            for path in os.listdir("/proc"):
                try:
                    words = open(f"/proc/{path}/cmdline", "rb").read()
                    if b"--if-due" not in words or str(tmp_path).encode() not in words:
                        continue
                    variables = open(f"/proc/{path}/environ", "rb").read()
                    streams = [os.readlink(f"/proc/{path}/fd/{n}") for n in range(3)]
                    stat = open(f"/proc/{path}/stat").read().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if variables and len(streams) == 3:
                    found.append((variables, streams, int(stat[3]), int(stat[2])))

    # The default image of the configuration is the job's, which a job's variable must not change.
    del job.env["CUSTOM_ENV_CI_JOB_IMAGE"]
    job.env["CUSTOM_ENV_SECRET"] = "value"
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(stop,))
    thread.start()
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    pool.until_ready(1)
    stop.set()
    thread.join()
    assert found, seen
    variables, streams, session, group = found[0]
    assert b"CUSTOM_ENV_" not in variables and b"JOB_RESPONSE_FILE" not in variables
    assert streams == ["/dev/null"] * 3
    assert session != os.getsid(0) and group == session


def test_mistakes(pool):
    def message():
        done = pool.driver.run("ps")
        assert done.returncode != 0
        return done.stderr

    file = pool.driver.directory / "fargate.toml"
    pool.entry["Tasks"] = 9
    assert re.search(rf"{file}:\d+: \[\[Warm\]\] of .* wants 9 tasks, more than", message())
    pool.entry |= {"Tasks": 1, "Schedule": {"Mon-Fry 08:00-19:00": 1}}
    assert re.search(rf"{file}:\d+: Warm.Schedule: .* no valid days; write it", message())
    pool.entry["Schedule"] = {"Mon-Fri 08:00-19:00 Asia/Tokio": 1}
    done = pool.warm(good=False)
    assert re.search(rf"{file}:\d+: .*Asia/Tokio.*tzdata", done.stderr)
    pool.entry["Schedule"] = {}
    pool.driver.settings["Warm"].append(dict(pool.entry))
    done = pool.warm(good=False)
    assert "is for the same jobs as an earlier one; set Tasks or Schedule in line" in done.stderr
    pool.driver.settings["Warm"] = [{"TaskDefinition": "x"}]
    assert "has a TaskDefinition, which is for ecs" in pool.warm(good=False).stderr
    pool.driver.settings["Warm"] = [{"Image": "Bad/App"}]
    wrong = (
        r": \[\[Warm\]\] of 'Bad/App' has an Image that is not a valid image name; its path must"
    )
    assert re.search(rf"{file}:\d+{wrong} be lower case", pool.warm(good=False).stderr)
    pool.driver.settings["Warm"] = [{"Imge": "x"}]
    assert "needs Image, or TaskDefinition for ecs" in message()
    pool.driver.settings["Warm"] = [pool.entry]


def test_doctor(pool):
    """Price and numbers; a sum above MaxTasks; a zone that does not exist."""
    pool.driver.settings["Docker"] |= {"CPUs": 2, "Memory": "4GiB"}
    pool.driver.settings["Price"] = {"VCPUHour": 0.05, "GiBHour": 0.005}
    pool.entry["Schedule"] = {"Mon-Fri 08:00-20:00": 8, "Sat-Sun 00:00-24:00": 0}
    done = pool.driver.run("doctor")
    # 60 of 168 hours 8 tasks, 60 hours 2 tasks, of 0.12 per hour and 730 hours
    assert re.search(
        r"ok .*'berth-test/busybox:1': 3.6 tasks on average, at most 8, 312.86 per month",
        done.stdout.decode(),
    )
    pool.driver.settings["Warm"].append({"Image": "other:1", "Tasks": 1})
    assert "together ask for 9 tasks at some time" in pool.driver.run("doctor").stdout.decode()
    pool.entry["Schedule"] = {"08:00-20:00 Mars/Base": 8}
    done = pool.driver.run("doctor")
    assert done.returncode != 0 and "tzdata" in done.stdout.decode()
    pool.driver.settings["Warm"].pop()
    pool.entry["Schedule"] = {}


@pytest.mark.waits
def test_watch(pool):
    """'warm --watch' ends with the signal and leaves the pool as it is."""
    process = pool.driver.start("warm", "--watch")
    pool.until_ready(2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert len(pool.ready()) == 2
