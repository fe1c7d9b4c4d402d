# SPDX-License-Identifier: MIT
"""LogFile: what the file records of each job, and what the job's log has as well."""

import fcntl
import json
import os
import re
import signal
import stat
import subprocess

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE

PROJECT = "group/a project \x1b[31m"
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def log(job, tmp_path):
    """The file; its parent is there."""
    path = tmp_path / "driver.log"
    job.driver.settings |= {"LogFile": str(path), "LogFormat": "json"}
    job.env["CUSTOM_ENV_CI_PROJECT_PATH"] = PROJECT
    return path


def events(path):
    """The lines about stages, each as its members but the time."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(re.fullmatch(STAMP, line.pop("time")) for line in lines)
    assert all(line.pop("pid") > 1 and line.pop("program") == "berth-driver" for line in lines)
    found = [line for line in lines if line["message"] in ("stage begins", "stage ended")]
    assert all(line.pop("level") == "info" for line in found)
    return found


def event(stage, status, task, message="stage ended", **more):
    known = {"task": task} if task else {}
    return {
        "message": message,
        "job": 4711,
        "project": PROJECT,
        **known,
        "stage": stage,
        "status": status,
        **more,
    }


def without_seconds(found):
    seconds = [line.pop("seconds") for line in found]
    assert all(0 <= value < 60 for value in seconds)
    return found


def test_the_file_tells_a_jobs_life(job, log):
    assert job.stage("config").returncode == 0
    job.prepare()
    task = f"local-{job.agent_pid()}"
    assert job.run("sleep 0.3\n").returncode == 0
    assert events(log)[-1]["seconds"] >= 0.3
    assert job.run("exit 42\n", "after_script").returncode == BUILD_FAILURE
    os.kill(job.agent_pid(), signal.SIGKILL)
    assert job.run("true\n", "archive_cache").returncode == SYSTEM_FAILURE
    assert job.stage("cleanup").returncode == 0
    job.driver.settings["Backend"] = "lokal"
    assert job.stage("prepare").returncode == BUILD_FAILURE
    job.driver.settings["Backend"] = "local"
    assert without_seconds(events(log)) == [
        event("config", "success", None),
        event("prepare", "running", None, "stage begins"),
        event("prepare", "success", task),
        event("build_script", "success", task),
        event("after_script", "script_failure", task, exit_code=42),
        event("archive_cache", "system_failure", task),
        event("cleanup", "success", task),
        event("prepare", "running", None, "stage begins"),
        event("prepare", "build_failure", None),
    ]


def test_a_stop_is_logged_as_stopped(job, log):
    process = job.prepare().start("echo up\nsleep 60\n")
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(60) == BUILD_FAILURE
    assert events(log)[-1]["status"] == "stopped"


def test_a_task_on_ecs_is_its_arn(ecs_job, cloud, tmp_path):
    cloud.image = "agent"
    path = tmp_path / "driver.log"
    ecs_job.driver.settings |= {"LogFile": str(path), "LogFormat": "json"}
    assert ecs_job.stage("prepare").returncode == 0
    arn = ecs_job.metadata()["state"]["arn"]
    assert ecs_job.run("true\n").returncode == 0
    assert [line.get("task") for line in events(path)] == [None, arn, arn]


def test_a_line_of_text(job, log):
    job.driver.settings["LogFormat"] = "text"
    job.prepare()
    last = log.read_text().splitlines()[-1]
    quoted = re.escape(json.dumps(PROJECT))
    assert re.fullmatch(
        rf"{STAMP} berth-driver\[\d+\]: info: stage ended job=4711 project={quoted} "
        rf"task=local-{job.agent_pid()} stage=prepare status=success seconds=\d+(\.\d+)?",
        last,
    ), last
    assert all(re.match(f"{STAMP} berth-driver", line) for line in log.read_text().splitlines())


def test_above_info_it_tells_no_life(job, log):
    job.driver.settings["LogLevel"] = "warn"
    job.prepare()
    assert log.read_text() == ""


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "fatal"])
@pytest.mark.parametrize("with_file", [True, False])
def test_errors_reach_the_jobs_log_at_any_level(job, tmp_path, level, with_file):
    path = tmp_path / "driver.log"
    job.driver.settings |= {"LogLevel": level} | ({"LogFile": str(path)} if with_file else {})
    done = job.run("true\n")
    message = "error: stage 'build_script': no task for 'job-4711-"
    assert done.returncode == SYSTEM_FAILURE
    assert done.stderr.startswith(f"berth: {message}"), done.stderr
    if with_file:
        assert (message in path.read_text()) == (level != "fatal")


def test_every_line_in_a_jobs_log_begins_alike(job):
    """Of Berth's own lines, on both streams; those of the script are not touched."""
    job.driver.settings |= {"LogLevel": "debug", "Unknwon": 1}
    response = json.loads(job.response_file.read_text())
    job.response_file.write_text(json.dumps(response | {"image": {"name": "ruby:3.3"}}))
    job.driver.settings["Price"] = {"VcpuHour": 1.0, "GibHour": 1.0}
    stages = [
        job.stage("prepare"),
        job.run("exit 3\n"),
        job.run("/nonexistent/git clone x\n"),
        job.run("PATH=/nonexistent; git clone x\n"),
        job.run("exit 127\n", "get_sources"),
        job.run("true\n", "cleanup_file_variables"),
        job.stage("cleanup"),
        job.run("true\n"),
    ]
    shown = "".join(done.stdout.decode() + done.stderr for done in stages)
    lines = [line for line in shown.splitlines() if "not found" not in line or "[Helper]" in line]
    lines = [line for line in lines if "No such file" not in line]
    assert all(re.match("berth: (?:(?:error|warning|debug): )?[^ ]", line) for line in lines), shown
    for part in ("error: stage", "warning: the backend", "launching", "task local-"):
        assert f"berth: {part}" in shown, shown


@pytest.mark.parametrize(
    ("stage", "script", "hint"),
    [
        ("build_script", "PATH=/nonexistent; git clone x\n", "has git for get_sources"),
        ("get_sources", "exit 127\n", "git and gitlab-runner in the job's image"),
        ("build_script", "PATH=/nonexistent; make\n", None),
        ("build_script", "git --no-such-option; exit 1\n", None),
    ],
)
def test_a_hint_for_an_image_without_git(job, stage, script, hint):
    job.prepare()
    done = job.run(script, stage)
    assert done.returncode == BUILD_FAILURE
    found = [line for line in done.stdout.decode().splitlines() if "[Helper]" in line]
    assert len(found) == (1 if hint else 0) and (not hint or hint in found[0]), found


def test_progress_reaches_the_jobs_log(job, log):
    job.driver.settings["LogLevel"] = "error"
    done = job.stage("prepare")
    assert b"berth: launching job-4711-" in done.stdout and b"berth: task local-" in done.stdout
    done = job.driver.run("exec", "true")
    assert "berth-driver: task local-" in done.stderr and " running after " in done.stderr


def test_what_is_for_the_file_stays_there(job, log):
    job.driver.settings["LogLevel"] = "debug"
    done = job.stage("prepare")
    assert "stage ended" not in done.stderr + done.stdout.decode()
    done = job.driver.run("ssh", "4711", "true")
    assert done.returncode == 0 and '"level":"debug"' in log.read_text()
    assert "debug" not in done.stderr


def test_without_a_file_stages_are_not_logged(job):
    done = job.stage("prepare")
    assert done.returncode == 0 and "stage" not in done.stderr, done.stderr


def test_the_file_is_for_its_owner(job, log):
    old = os.umask(0)
    try:
        job.prepare()
    finally:
        os.umask(old)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.chmod(0o640)
    assert job.run("true\n").returncode == 0
    assert stat.S_IMODE(log.stat().st_mode) == 0o640, "a mode that is set stays"


def test_stderr_as_the_file_gets_each_line_once(job):
    job.driver.settings["LogFile"] = "/dev/stderr"
    done = job.run("true\n")
    assert done.stderr.count("no task for") == 1


@pytest.fixture
def full_pipe():
    """(read end, write end) of a full pipe. A write to it waits for a reader."""
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(ends[1], bytes(4096))
    os.set_blocking(ends[1], True)
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("end", ["script", "stop", "no job"])
def test_a_log_that_is_never_read_does_not_hold_up_the_end(job, full_pipe, until, end):
    job.prepare()
    ready = job.home() / "ready"
    if end == "no job":
        job.driver.settings["Backend"] = "lokal"
    process = job.start(
        f"touch {ready}; kill -s KILL $$\n" if end == "script" else f"touch {ready}; sleep 60\n",
        stdout=subprocess.DEVNULL,
        stderr=full_pipe[1],
    )
    if end == "stop":
        until(ready.exists, what="the script")
        process.terminate()
    assert process.wait(60) == BUILD_FAILURE
    assert ready.exists() == (end != "no job")
    job.driver.settings["Backend"] = "local"


def test_a_log_that_is_read_a_moment_later_loses_no_line(job, log, full_pipe, until):
    """The file has the line first, then the driver waits for its standard error."""
    process = job.start("true\n", stdout=subprocess.DEVNULL, stderr=full_pipe[1])
    until(lambda: log.exists() and "no task for" in log.read_text(), what="the line in the file")
    reported = os.read(full_pipe[0], 4096)
    assert process.wait(60) == SYSTEM_FAILURE
    reported += os.read(full_pipe[0], 4096)
    assert b"no task for" in reported and b"lost" not in reported
