# SPDX-License-Identifier: MIT
"""'ps', 'gc' and 'doctor' on an engine: this runner's objects, not those of others."""

import json
import re
import urllib.parse

import pytest

from support.driver import PS_COLUMNS, SYSTEM_FAILURE, Driver


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
    assert heading.split() == PS_COLUMNS
    job = prepared.metadata()["job"]
    pattern = rf"{job} +(\d+)s +running +1 +0.25 GiB +([\d.]+) +- +\S+ +berth-{job} +(\S+)"
    match = re.fullmatch(pattern, row)
    assert match, row
    assert match[3] == prepared.env["CUSTOM_ENV_CI_JOB_URL"]
    assert 0 <= float(match[2]) - int(match[1]) < 1.01


HOSTILE = "https://x/\x1b]0;owned\x07\n- 1s running\u202e\x9b31m/-/jobs/1"
ESCAPED = r"https://x/\x1b]0;owned\x07\x0a- 1s running\u202e\u009b31m/-/jobs/1"


def test_what_a_pipeline_author_wrote_forges_no_row(docker_job):
    docker_job.env["CUSTOM_ENV_CI_JOB_URL"] = HOSTILE
    docker_job.prepare()
    heading, row = run(docker_job, "ps")[0]
    assert row.endswith(" " + ESCAPED), row
    bring_back = forget(docker_job)
    (line,), _ = run(docker_job, "gc")
    assert line.isprintable()
    bring_back()


def forget(job):
    """As if the runner host had lost its metadata. Returns a function that restores it."""
    (path,) = job.driver.metadata.glob("job-*.json")
    text = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(text)


def test_gc_stops_containers_without_a_job(prepared, engine):
    assert run(prepared, "gc") == ([], "no orphaned tasks on the backend 'docker'\n")
    job = prepared.metadata()["job"]
    bring_back = forget(prepared)
    (line,), stderr = run(prepared, "gc")
    assert line.startswith(f"would stop berth-{job} of {job}") and "nothing was stopped" in stderr
    assert engine.labelled(prepared.driver.label)["containers"]
    lines, _ = run(prepared, "gc", "--stop")
    assert lines == [f"stopped berth-{job} of {job}"]
    assert not engine.labelled(prepared.driver.label)["containers"]
    bring_back()


def rebooted(job):
    """The job belongs to a runner of the previous boot."""
    (path,) = job.driver.metadata.glob("job-*.json")
    kept = json.loads(path.read_text())
    kept["origin"] |= {"pid": 1, "start": 1, "boot": "the last"}
    path.write_text(json.dumps(kept))
    return path


def test_gc_of_a_runner_that_is_gone(prepared, engine):
    job = rebooted(prepared).stem
    assert run(prepared, "gc")[0][0].startswith(f"would stop berth-{job} of {job}, running")
    assert run(prepared, "gc", "--stop")[0] == [f"stopped berth-{job} of {job}"]
    assert not engine.labelled(prepared.driver.label)["containers"]
    assert prepared.nothing_kept() == []


def test_gc_of_a_job_whose_task_is_gone_as_well(prepared, engine):
    """Only its metadata is left; other leftovers of the job are searched for."""
    job = rebooted(prepared).stem
    (found,) = engine.good("GET", f"/containers/json?all=1&filters={own(prepared)}")
    engine.good("DELETE", f"/containers/{found['Id']}?force=1&v=1")
    lines, _ = run(prepared, "gc")
    assert len(lines) == 1 and lines[0].startswith("would stop ") and f"of {job}" in lines[0]
    assert len(run(prepared, "gc", "--stop")[0]) == 1
    assert prepared.nothing_kept() == []


def test_prepare_uses_the_backend_that_was_checked(prepared, engine):
    """It also removes what an earlier attempt left on another backend."""
    prepared.driver.settings["Backend"] = "local"
    done = prepared.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert b"(backend 'local')" in done.stdout and b"task local-" in done.stdout
    assert prepared.metadata()["backend"] == "local"
    assert not engine.labelled(prepared.driver.label)["containers"]
    assert prepared.run("echo ran").stdout == b"ran\n"


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
    """GitLab Runner does not repeat a failed cleanup."""
    settings = prepared.driver.settings
    job = prepared.metadata()["job"]
    settings["Docker"]["Host"], settings["CleanupTimeout"] = f"unix://{tmp_path}/none", "1s"
    done = prepared.stage("cleanup")
    settings["Docker"]["Host"] = engine.url
    del settings["CleanupTimeout"]
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
    assert run(prepared, "gc") == ([], "no orphaned tasks on the backend 'docker'\n")


def test_gc_finds_a_network_alone(prepared, engine):
    """Leftovers of a driver that was killed between two requests."""
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
    assert f"at {engine.url}" in text and f"ok    image '{image}' exists" in text
    del docker_job.driver.settings["Docker"]["Image"]
    done = docker_job.driver.run("doctor", env=docker_job.env)
    assert done.returncode != 0
    assert b"FAIL  no image is configured" in done.stdout
    docker_job.driver.settings["Docker"]["Image"] = image


def test_logs_of_the_agent(prepared):
    lines, _ = run(prepared, "logs", prepared.metadata()["job"])
    assert any(line.startswith("berth-agent[1]: info: ") for line in lines), lines
    assert all(line.isprintable() for line in lines)
