# SPDX-License-Identifier: MIT
"""The helper's container and the job's start at the same time, and end together."""

import signal

import pytest

from support.driver import SYSTEM_FAILURE
from support.engine_front import Front


@pytest.fixture
def job(helper_job):
    return helper_job


START = "/containers/[0-9a-f]+/start"


@pytest.fixture
def front(job, engine, tmp_path):
    """The engine behind a proxy that holds or refuses requests."""
    with Front(engine.socket, tmp_path / "front.sock") as instance:
        job.driver.settings["Docker"]["Host"] = instance.url
        yield instance
        for _, _, gate in instance.gates:
            gate.open.set()
        instance.refusals.clear()
        job.driver.settings["Docker"]["Host"] = engine.url


def starts(front):
    return sum(path.endswith("/start") for _, path, _ in front.asked)


def test_both_containers_start_at_the_same_time(job, front, until):
    gate = front.hold("POST", START)
    process = job.driver.start("custom", "prepare", env=job.env)
    assert gate.reached.wait(60), "the helper's"
    until(lambda: starts(front) == 2, 60, "the job's, while the helper's has no answer")
    gate.open.set()
    assert process.wait(60) == 0, process.stderr.read()
    assert job.run("command -v git\n", "get_sources").returncode == 0
    assert job.run("echo ran\n").stdout == b"ran\n"


def test_a_container_that_stays_keeps_no_other(job, front, engine):
    """Cleanup fails after it has removed what it can."""
    job.prepare()
    name = f"berth-{job.metadata()['job']}"
    which = engine.good("GET", f"/containers/{name}/json")["Id"]
    front.refuse("DELETE", f"/containers/{which}", 400, "device is busy")
    done = job.stage("cleanup")
    assert done.returncode != 0 and "device is busy" in done.stderr
    assert engine.labelled(job.driver.label)["containers"] == [[f"/{name}"]]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_prepare_that_ends_while_both_start_leaves_nothing(job, front, engine, until, stop):
    gate = front.hold("POST", START)
    process = job.driver.start("custom", "prepare", env=job.env)
    until(lambda: starts(front) == 2, 60)
    process.send_signal(stop)
    gate.open.set()
    process.wait(60)
    assert job.stage("cleanup").returncode == 0
    assert engine.labelled(job.driver.label) == {"containers": [], "networks": [], "volumes": []}


def test_a_helper_that_does_not_start_is_the_first_error(job, front, engine):
    """The job's container is refused for the same reason, which is not reported."""
    front.refuse("POST", START, 500, "no more of them")
    done = job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE
    assert done.stderr.count("helper container: Docker Engine: no more of them") == 1, done.stderr
    assert starts(front) == 2
    assert engine.labelled(job.driver.label) == {"containers": [], "networks": [], "volumes": []}
