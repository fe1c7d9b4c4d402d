# SPDX-License-Identifier: MIT
"""Orphaned tasks: how 'ps' and 'gc' handle a runner that was killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.driver import PS_COLUMNS, Job
from support.processes import alive, descendants

NOTHING = "no orphaned tasks on the backend 'local'\n"

# The stand-in for GitLab Runner, as a program of that name.
RUN_A_JOB = """
import sys
sys.path.insert(0, sys.argv[1])
from runner.gitlab_runner import Runner
from runner.job import Job

def log(text):
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()

job = Job(script=[sys.argv[4]], id=4711)
Runner([sys.argv[2], "--config", sys.argv[3], "custom"], job, log, directory=sys.argv[5]).run()
"""


class GitlabRunner:
    """A process whose program file is called gitlab-runner, with a job of its own."""

    def __init__(self, driver, directory, top):
        self.driver, self.directory, self.top = driver, directory, top
        self.process = None

    def start(self, script, before=()):
        program = self.directory / "gitlab-runner"
        shutil.copy(os.path.realpath(f"{sys.base_prefix}/bin/python3"), program)
        words = [program, "-c", RUN_A_JOB, self.top / "tests", self.driver.program]
        self.process = subprocess.Popen(
            [*before, *words, self.driver.config(), script, self.directory],
            env=self.driver.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # In this session: a stopped process of another one would get HUP and CONT at its end.
            process_group=0,
        )

    def expect(self, text):
        for line in self.process.stdout:
            if text in line:
                return
        raise AssertionError(f"the job ended without {text!r}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def gitlab_runner(berth_driver, tmp_path, top):
    instance = GitlabRunner(berth_driver, tmp_path, top)
    yield instance
    if instance.process is not None and instance.process.poll() is None:
        instance.kill()
    for _ in with_driver(berth_driver):
        pass


@pytest.fixture
def top():
    return Path(__file__).resolve().parents[2]


def with_driver(driver):
    """The pids of drivers that are our own children."""
    for pid in descendants(os.getpid()):
        try:
            program = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if program == str(Path(driver.program).resolve()):
            yield pid


def run(driver, *words):
    done = driver.run(*words, env=driver.environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(), done.stderr


def the_job(driver):
    (path,) = driver.metadata.glob("*.json")
    return path, json.loads(path.read_text())


def test_a_runner_killed_in_mid_job(gitlab_runner, berth_driver, until):
    gitlab_runner.start("echo st''arted; while :; do read -t 1 x <> <(:) || :; done")
    gitlab_runner.expect(b"started")
    path, kept = the_job(berth_driver)
    origin, agent = kept["origin"], kept["state"]["pid"]
    assert origin["pid"] == gitlab_runner.process.pid and origin["timeout"] == 3600
    assert abs(origin["started_at"] - time.time()) < 120
    assert run(berth_driver, "gc") == ("", NOTHING)
    # Its driver still runs a script: it may still end the job, and does so as soon as it goes on.
    (stage,) = with_driver(berth_driver)
    os.kill(stage, signal.SIGSTOP)
    gitlab_runner.kill()
    assert run(berth_driver, "gc") == ("", NOTHING)
    os.kill(stage, signal.SIGKILL)
    until(lambda: not alive(stage))
    out, reported = run(berth_driver, "gc")
    assert re.fullmatch(rf"would stop local-{agent} of {path.stem}, running, age \d+[sm]\n", out)
    assert "nothing was stopped" in reported and alive(agent)
    assert run(berth_driver, "gc", "--stop")[0] == f"stopped local-{agent} of {path.stem}\n"
    assert not alive(agent) and list(berth_driver.metadata.iterdir()) == []
    assert run(berth_driver, "gc", "--stop") == ("", NOTHING)


def test_the_program_counts_not_the_name_of_a_script(job, tmp_path):
    """A script around the stages ends with each of them."""
    for name in ("gitlab-runner", "gitlab-runner-wrapper"):
        wrapper = tmp_path / name
        wrapper.write_text(f'#!/bin/sh\n"{job.driver.program}" "$@"\nexit $?\n')
        wrapper.chmod(0o755)
        program, job.driver.program = job.driver.program, wrapper
        job.prepare()
        job.driver.program = program
        assert run(job.driver, "gc") == ("", NOTHING)
        assert job.stage("cleanup").returncode == 0


def prepare_below(job, program):
    """'prepare' as the child of another program."""
    words = [program, "-c", '"$@"; exit $?', "x", job.driver.program, "--config"]
    words += [job.driver.config(), "custom", "prepare"]
    subprocess.run(words, env=job.env, check=True, stdout=subprocess.DEVNULL)
    return job.metadata()["origin"]


def test_a_wrapper_that_is_a_program_of_that_name(job, tmp_path):
    """It was gone at the next stage, so it is not what ends the job."""
    wrapper = shutil.copy(shutil.which("bash"), tmp_path / "gitlab-runner")
    assert prepare_below(job, wrapper)["pid"] != 0
    assert job.run("true").returncode == 0
    assert job.metadata()["origin"]["pid"] == 0
    assert run(job.driver, "gc") == ("", NOTHING)


@pytest.mark.parametrize(
    "name, found", [("gitlab-runner-linux-amd64", True), ("gitlab-runner-wrapper", False),
                    ("gitlab-runner-helper", False), ("my-gitlab-runner", False)]
)  # fmt: skip
def test_names_of_the_program(job, tmp_path, name, found):
    origin = prepare_below(job, shutil.copy(shutil.which("bash"), tmp_path / name))
    assert (origin["pid"] != 0) is found


def test_a_runner_whose_package_was_replaced_meanwhile(job, tmp_path):
    """Its program file is "(deleted)" then."""
    program = shutil.copy(shutil.which("bash"), tmp_path / "gitlab-runner")
    words = 'rm -f "$0"; "$@"; exit $?'
    argv = [program, "-c", words, program, job.driver.program, "--config", job.driver.config()]
    subprocess.run([*argv, "custom", "prepare"], env=job.env, check=True, stdout=subprocess.DEVNULL)
    assert job.metadata()["origin"]["pid"] != 0


def forge(driver, **origin):
    path, kept = the_job(driver)
    kept["origin"] |= origin
    path.write_text(json.dumps(kept))


def own(**changes):
    """This process as the runner that a job came from."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start = {"pid": os.getpid(), "start": int(fields[19])}
    return start | changes


@pytest.mark.parametrize(
    "origin, orphan",
    [
        (own, False),
        (lambda: own(start=1), True),
        (lambda: own(boot="another"), True),
        (lambda: own(boot="another", machine="another"), False),
        (lambda: own(start=1, machine="another"), False),
        (lambda: own(start=1, pid_namespace=1), False),
        (lambda: own(boot=""), False),
        (lambda: {"pid": 0, "boot": "another"}, False),
        (lambda: own(started_at=time.time() - 60 - 3600 - 30), True),
        (lambda: own(started_at=time.time() - 60 - 3600 + 300), False),
        (lambda: own(started_at=time.time() - 10**8, timeout=0), False),
        (lambda: {"pid": 0, "machine": "another", "started_at": 1}, True),
    ],
    ids=[
        "runs",
        "a recycled pid",
        "rebooted",
        "another machine's boot",
        "another machine",
        "another pid namespace",
        "a boot that is not known",
        "no ancestor found",
        "timeout and an hour",
        "not yet",
        "no timeout known",
        "timeout alone",
    ],
)
def test_who_is_an_orphan(job, origin, orphan):
    response = json.loads(job.response_file.read_text())
    job.response_file.write_text(json.dumps(response | {"runner_info": {"timeout": 60}}))
    job.prepare()
    assert job.metadata()["origin"]["timeout"] == 60
    forge(job.driver, **origin())
    out, reported = run(job.driver, "gc")
    assert out.startswith("would stop") if orphan else reported == NOTHING, (out, reported)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a pid namespace of its own")
def test_a_runner_in_another_pid_namespace(gitlab_runner, berth_driver):
    """As in a container: whether it is gone cannot be seen from here."""
    go = gitlab_runner.directory / "go"
    script = f"echo st''arted; until [ -e {go} ]; do sleep 0.05; done; exit 1"
    gitlab_runner.start(script, ["unshare", "--pid", "--fork", "--mount-proc"])
    gitlab_runner.expect(b"started")
    path, kept = the_job(berth_driver)
    assert kept["origin"]["pid"] == 1
    assert kept["origin"]["pid_namespace"] != os.stat("/proc/self/ns/pid").st_ino
    text = path.read_text()
    go.touch()
    gitlab_runner.process.wait()
    gitlab_runner.process.stdout.close()
    berth_driver.metadata.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    assert run(berth_driver, "gc") == ("", NOTHING)
    path.unlink()


def test_metadata_of_the_version_before(job):
    """It has no origin: every stage uses it, and only its cleanup ends the job."""
    job.prepare()
    path, kept = the_job(job.driver)
    del kept["origin"]
    path.write_text(json.dumps(kept))
    assert job.run("echo on").stdout == b"on\n"
    assert "origin" not in job.metadata()
    heading, row = run(job.driver, "ps")[0].splitlines()
    assert row.split() == [
        path.stem, "-", "running", *["-"] * 5, f"local-{job.agent_pid()}", "-",
    ]  # fmt: skip
    assert run(job.driver, "gc") == ("", NOTHING)
    assert job.driver.run("ssh", "4711", "echo in").stdout == b"in\n"


def test_ps_lists_local_tasks(job, tmp_path, until):
    assert run(job.driver, "ps") == ("", "no task of this runner on the backend 'local'\n")
    job.env["CUSTOM_ENV_CI_JOB_URL"] = "https://x/\x1b[2J\n\u202e/-/jobs/1"
    job.prepare()
    (tmp_path / "second").mkdir()
    second = Job(job.driver, tmp_path / "second", 4712)
    assert second.stage("prepare").returncode == 0
    pids = {}
    for path in job.driver.metadata.glob("*.json"):
        kept = json.loads(path.read_text())
        pids[kept["job"]] = kept["state"]["pid"]
        if "4711" in path.name:
            kept["origin"]["started_at"] -= 65
            path.write_text(json.dumps(kept))
    heading, first, other = run(job.driver, "ps")[0].splitlines()
    assert heading.split() == PS_COLUMNS
    key = first.split()[0]
    assert first.split()[1:] == [
        "1m", "running", *["-"] * 5, f"local-{pids[key]}", r"https://x/\x1b[2J\x0a\u202e/-/jobs/1",
    ]  # fmt: skip
    assert other.startswith("job-4712-") and other.split()[2] == "running"
    os.kill(pids[other.split()[0]], signal.SIGKILL)
    state = lambda: run(job.driver, "ps")[0].splitlines()[2].split()[2]  # noqa: E731
    until(lambda: state() == "ended", 60, "the killed task's end")
    assert second.stage("cleanup").returncode == 0


def test_damaged_metadata_is_neither_listed_nor_stopped(job):
    job.prepare()
    path, _ = the_job(job.driver)
    whole = path.read_text()
    path.write_text("{")
    assert run(job.driver, "gc", "--stop")[0] == "" and alive(json.loads(whole)["state"]["pid"])
    assert str(path) in run(job.driver, "ps")[1]
    path.write_text(whole)


def test_tasks_of_exec(berth_driver, until):
    process = berth_driver.start("exec", "echo up; exec sleep 60")
    assert process.stdout.readline() == b"up\n"
    path, kept = the_job(berth_driver)
    assert path.stem.startswith("exec-") and path.stat().st_mode & 0o777 == 0o600
    assert kept["origin"]["pid"] == process.pid
    row = run(berth_driver, "ps")[0].splitlines()[1]
    assert row.split()[::8] == [path.stem, f"local-{kept['state']['pid']}"]
    assert berth_driver.run("ssh", path.stem, "echo in; exit 3").stdout == b"in\n"
    assert run(berth_driver, "gc") == ("", NOTHING)
    process.kill()
    process.wait()
    until(lambda: not alive(kept["state"]["pid"]))
    assert run(berth_driver, "gc", "--stop")[0].endswith(f" of {path.stem}\n")
    assert list(berth_driver.metadata.iterdir()) == []
    assert [entry.name for entry in berth_driver.local.iterdir()] == ["cache"]


def test_exec_forgets_its_task(berth_driver):
    assert berth_driver.run("exec", "exit 7").returncode == 7
    assert list(berth_driver.metadata.iterdir()) == []
