# SPDX-License-Identifier: MIT
"""'ps', 'gc' and 'doctor' on an engine: what is there of this runner's, and of nobody else's."""

import json
import re
import urllib.parse

import pytest

from support.driver import SYSTEM_FAILURE, Driver


def run(job, *words):
    done = job.driver.run(*words, env=job.env)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines(), done.stderr


@pytest.fixture
def prepared(docker_job):
    docker_job.driver.settings["Docker"] |= {"Memory": "256MiB", "CPUs": 1}
    docker_job.driver.settings["Price"] = {"VcpuHour": 3600, "GibHour": 0}
    docker_job.env["CUSTOM_ENV_CI_JOB_URL"] = "https://gitlab.example/a/b/-/jobs/1"
    return docker_job.prepare()


def test_ps_without_a_job(docker_job):
    assert run(docker_job, "ps") == ([], "no task of this runner on the backend 'docker'\n")


def test_ps(prepared):
    heading, row = run(prepared, "ps")[0]
    assert heading.split() == ["JOB", "AGE", "STATE", "SIZE", "COST", "TASK"]
    job = prepared.metadata()["job"]
    pattern = rf"{job} +(\d+)s +running +1 CPU, 0.25 GiB +([\d.]+) +berth-{job} (\S+)"
    match = re.fullmatch(pattern, row)
    assert match, row
    assert match[3] == prepared.env["CUSTOM_ENV_CI_JOB_URL"]
    assert 0 <= float(match[2]) - int(match[1]) < 1.01


def forget(job):
    """As when the runner's host lost its metadata. Returns what brings it back."""
    (path,) = job.driver.metadata.glob("job-*.json")
    text = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(text)


def test_gc_stops_what_no_job_knows(prepared, engine):
    assert run(prepared, "gc") == ([], "every task on the backend 'docker' has its job\n")
    job = prepared.metadata()["job"]
    bring_back = forget(prepared)
    (line,), told = run(prepared, "gc")
    assert line.startswith(f"would stop berth-{job} of {job}") and "nothing was stopped" in told
    assert engine.labelled(prepared.driver.label)["containers"]
    lines, _ = run(prepared, "gc", "--stop")
    assert lines == [f"stopped berth-{job} of {job}"]
    assert not engine.labelled(prepared.driver.label)["containers"]
    bring_back()


def test_gc_leaves_other_runners_jobs_alone(prepared, engine, tmp_path):
    """Another runner on the same engine has a metadata directory of its own."""
    other = tmp_path / "other"
    other.mkdir()
    driver = Driver(prepared.driver.program, other)
    driver.settings |= {
        "Backend": "docker",
        "Docker": {"Host": engine.url, "Image": prepared.driver.settings["Docker"]["Image"]},
    }
    done = driver.run("gc", "--stop", env=prepared.env)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert run(prepared, "gc")[0] == []
    ran = prepared.run("echo alive")
    assert ran.stdout == b"alive\n"


def test_gc_stops_what_a_cleanup_could_not(prepared, engine, tmp_path):
    """Nobody cleans up twice: a job whose cleanup failed knows its task no more."""
    settings = prepared.driver.settings
    job = prepared.metadata()["job"]
    settings["Docker"]["Host"], settings["CleanupTimeout"] = f"unix://{tmp_path}/none", "1s"
    done = prepared.stage("cleanup")
    settings["Docker"]["Host"] = engine.url
    assert done.returncode == SYSTEM_FAILURE and "cannot reach the Docker Engine" in done.stderr
    assert run(prepared, "gc", "--stop")[0] == [f"stopped berth-{job} of {job}"]
    assert not engine.labelled(prepared.driver.label)["containers"]
    assert prepared.nothing_kept() == []


def test_a_job_that_is_prepared_again_is_known_again(prepared, engine, tmp_path):
    settings = prepared.driver.settings
    settings["Docker"]["Host"], settings["CleanupTimeout"] = f"unix://{tmp_path}/none", "1s"
    assert prepared.stage("cleanup").returncode == SYSTEM_FAILURE
    settings["Docker"]["Host"] = engine.url
    del settings["CleanupTimeout"]
    prepared.prepare()
    assert run(prepared, "gc") == ([], "every task on the backend 'docker' has its job\n")


def test_gc_finds_a_network_alone(prepared, engine):
    """What a driver that was killed between two calls may leave."""
    job = "job-9-00000000"
    (found,) = engine.good("GET", f"/containers/json?all=1&filters={own(prepared)}")
    labels = found["Labels"] | {"berth.job": job}
    engine.good("POST", "/networks/create", {"Name": f"berth-{job}", "Labels": labels})
    lines, _ = run(prepared, "gc", "--stop")
    assert lines == [f"stopped berth-{job} of {job}"]
    assert engine.labelled(prepared.driver.label)["networks"] == []


def own(job):
    return urllib.parse.quote(json.dumps({"label": [job.driver.label]}))


def test_doctor(docker_job, engine):
    lines, _ = run(docker_job, "doctor")
    text = "\n".join(lines)
    image = docker_job.driver.settings["Docker"]["Image"]
    assert f"at {engine.url}" in text and f"ok    image '{image}' is there" in text
    del docker_job.driver.settings["Docker"]["Image"]
    done = docker_job.driver.run("doctor", env=docker_job.env)
    assert done.returncode != 0
    assert b"FAIL  there is no image that a job could run in" in done.stdout
    docker_job.driver.settings["Docker"]["Image"] = image
