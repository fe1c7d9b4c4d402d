# SPDX-License-Identifier: MIT
"""'ps', 'gc', 'doctor' for programs and for a terminal; 'logs'."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import sys
import termios
import time

import pytest

from support.driver import PS_COLUMNS
from support.ecs import CONTAINER
from support.ecs_moto import REGION
from support.history import documented, many
from support.terminal import Terminal


def run(driver, *words):
    done = driver.run(*words, env=driver.environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(), done.stderr


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


# Characters that control a terminal, or hide or reverse what it shows, and what they become.
HIDDEN = "\u202e\u009b\u007f\u2066\u200e\U000e0041\x1b"
ESCAPED = r"\u202e\u009b\u007f\u2066\u200e\udb40\udc41\u001b"
URL = f"https://gitlab.example.com/{HIDDEN}é/-/jobs/4711"


def waiting(pipe):
    """Bytes in it."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.fixture
def running(job):
    """A job with an origin."""
    members = json.loads(job.response_file.read_text()) | {
        "job_info": {"name": "unit"},
        "git_info": {
            "repo_url": "https://x:y@gitlab.example.com/group/proj.git",
            "ref": "main\x1b",
        },
        "image": {"name": "node:22"},
    }
    job.response_file.write_text(json.dumps(members))
    job.env["CUSTOM_ENV_CI_JOB_URL"] = URL
    return job.prepare()


def test_ps_for_programs(running):
    printed = run(running.driver, "ps", "--json")[0]
    assert f"{ESCAPED}é/" in printed and not set(HIDDEN) & set(printed)
    (found,) = objects(printed)
    key = running.metadata()["job"]
    assert set(found) <= documented("ps")
    assert abs(found.pop("started_at") - time.time()) < 120
    assert found == {
        "job": key,
        "backend": "local",
        "task": f"local-{running.agent_pid()}",
        "state": "running",
        "spot": False,
        "name": "unit",
        "project": "group/proj",
        "ref": r"main\x1b",
        "image": "node:22",
        "url": URL,
    }
    assert run(running.driver, "ps", "-q") == (f"{key}\n", "")
    heading, row = run(running.driver, "ps")[0].splitlines()
    assert heading.split() == PS_COLUMNS and row.split()[6:8] == ["group/proj", "node:22"]
    assert running.stage("cleanup").returncode == 0
    assert run(running.driver, "ps", "--json") == run(running.driver, "ps", "-q") == ("", "")


def test_ps_watches(running, berth_driver, until):
    watch = berth_driver.start("ps", "--watch", "-q", env=berth_driver.environment())
    key = running.metadata()["job"].encode() + b"\n"
    assert watch.stdout.readline() == key and watch.stdout.readline() == key
    watch.send_signal(signal.SIGINT)
    assert watch.wait(60) == 130
    # Its reader is gone: it ends by itself.
    watch = berth_driver.start("ps", "--watch", env=berth_driver.environment())
    watch.stdout.readline()
    watch.stdout.close()
    assert watch.wait(60) is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [["logs", "4711"], ["history"]], ids=["logs", "history"])
def test_interrupt_is_quiet_while_the_reader_waits(running, until, words, number):
    """Commands that read files wait for nothing but the reader of their output."""
    with (running.home().parent / "agent.log").open("ab") as file:
        file.write(b"a line of the agent\n" * 20000)
    path = running.driver.directory / "history/jobs.jsonl"
    path.write_text("".join(f"{entry}\n" for entry in many(2000)))
    path.chmod(0o600)
    process = running.driver.start(*words, env=running.driver.environment())
    half = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ) / 2  # pages are not filled to the end
    until(lambda: waiting(process.stdout) > half, 60, "output that is not read")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, b"berth-driver: interrupted\n")


def test_ps_on_a_terminal(running, berth_driver):
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    watch = berth_driver.start("ps", "--watch", env=berth_driver.environment(), stdout=theirs)
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60
    while shown.count(b"\x1b[H\x1b[2JJOB ") < 2:
        assert time.monotonic() < deadline, shown
        if select.select([ours], [], [], 1)[0]:
            shown += os.read(ours, 65536)
    watch.terminate()
    watch.wait(60)
    os.close(ours)


def test_gc_for_programs(running):
    assert run(running.driver, "gc", "--json")[0] == ""
    (path,) = running.driver.metadata.glob("*.json")
    kept = json.loads(path.read_text())
    kept["origin"] |= {"started_at": 5, "timeout": 1}
    path.write_text(json.dumps(kept))
    wanted = {
        "job": kept["job"],
        "backend": "local",
        "task": f"local-{kept['state']['pid']}",
        "state": "running",
        "started_at": 5,
    }
    assert set(wanted) | {"stopped", "task_definition", "removed"} == documented("gc")
    assert objects(run(running.driver, "gc", "--json")[0]) == [wanted | {"stopped": False}]
    assert objects(run(running.driver, "gc", "--json", "--stop")[0]) == [wanted | {"stopped": True}]


def test_doctor_on_a_terminal(berth_driver):
    """Its lines fit, and say the same."""
    berth_driver.settings["Unknwon"] = "x"
    env = berth_driver.environment(TERM="dumb")
    text = berth_driver.run("doctor", env=env).stdout.decode()
    words = [berth_driver.program, "--config", berth_driver.config(), "doctor"]
    terminal = Terminal(words, columns=50, env=env)
    try:
        terminal.wait(60)
        shown = terminal.shown.decode().replace("\r\n", "\n")
    finally:
        terminal.close()
    assert any(len(line) > 50 for line in text.splitlines())
    assert all(len(line) <= 50 or len(line.split()[-1]) > 30 for line in shown.splitlines()), shown
    assert re.search(r"(?m)^  warn  \S.*\n {8}\S", shown) or re.search(r"\n {8}\w", shown), shown
    assert shown.split() == text.split()


def test_doctor_for_programs(berth_driver):
    berth_driver.settings["Unknwon"] = "x\x1b"
    text = berth_driver.run("doctor", env=berth_driver.environment())
    done = berth_driver.run("doctor", "--json", env=berth_driver.environment())
    assert done.returncode == text.returncode
    *findings, last = objects(done.stdout.decode())
    assert {name for row in [*findings, last] for name in row} <= documented("doctor")
    words = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skip": "skip"}
    shown = re.findall(r"(?m)^  (ok|warn|FAIL|skip) +(.*)$", text.stdout.decode())
    assert [(words[row["finding"]], row["text"]) for row in findings] == shown
    assert {row["section"] for row in findings} == {"This machine"}
    assert last == {
        "summary": {name: sum(row["finding"] == name for row in findings) for name in words}
    }
    assert last["summary"]["fail"] == 1 and "\x1b" not in done.stdout.decode()


@pytest.mark.parametrize("mistake", ["value", "syntax", "missing", "log"])
def test_doctor_reports_a_file_that_it_cannot_use(berth_driver, tmp_path, mistake):
    """As a finding, which programs can read, like every other."""
    path = tmp_path / "fargate.toml"
    texts = {
        "value": '[Fargate]\nRegion = "x"\n[SSH]\nPort = "x"\n',
        "syntax": "[Fargate\n",
        "log": 'LogFile = "/nonexistent/berth.log"\n',
    }
    wanted = {
        "value": [f"{path}:4", "Port"],
        "syntax": [f"{path}:1"],
        "missing": [str(path), "No such file"],
        "log": ["LogFile", "/nonexistent/berth.log"],
    }[mistake]
    if mistake in texts:
        path.write_text(texts[mistake])
    words = ["--config", path, "doctor"]
    env = berth_driver.environment()
    text = berth_driver.run(*words, env=env, config=False)
    done = berth_driver.run(*words, "--json", env=env, config=False)
    assert (text.returncode, done.returncode, text.stderr, done.stderr) == (1, 1, "", "")
    finding, last = objects(done.stdout.decode())
    assert finding["finding"] == "fail" and last["summary"]["fail"] == 1
    assert all(part in finding["text"] for part in wanted), finding
    assert f"  FAIL  {finding['text']}\n" in text.stdout.decode()
    done = berth_driver.run(*words, "--policy", env=env, config=False)
    assert done.returncode == 1 and done.stdout == b"" and wanted[0] in done.stderr
    done = berth_driver.run("doctor", "--log-level", "x", env=env, config=False)
    assert done.returncode == 2 and done.stdout == b""


def test_doctor_finds_a_history_that_cannot_be_written(berth_driver):
    directory = berth_driver.directory / "history"
    directory.mkdir()
    directory.chmod(0o777)
    done = berth_driver.run("doctor", "--json", env=berth_driver.environment())
    (found,) = [row for row in objects(done.stdout.decode()) if "no history" in row.get("text", "")]
    assert found["finding"] == "warn" and "chmod go-w" in found["remedy"]
    assert found["text"].startswith("no history of jobs: [History] Directory ")
    berth_driver.settings["History"] = {"Enabled": False}
    done = berth_driver.run("doctor", "--json", env=berth_driver.environment())
    assert "no history" not in done.stdout.decode()


def test_logs_of_the_agent(running):
    out, _ = run(running.driver, "logs", "4711")
    assert re.search(r"(?m)^berth-agent\[\d+\]: info: ", out)
    with (running.home().parent / "agent.log").open("ab") as file:
        file.write(b"\x1b[2J\xff" + b"x" * 10000 + b"\nlast")
    lines = run(running.driver, "logs", "4711")[0].splitlines()
    assert lines[-1] == "last" and all(line.isprintable() for line in lines)
    assert r"\x1b[2J\xff" + "x" * 100 in "".join(lines)
    done = running.driver.run("logs", "1", env=running.driver.environment())
    assert done.returncode != 0 and "no running job '1'" in done.stderr
    done = running.driver.run("logs", env=running.driver.environment())
    assert done.returncode != 0 and "'logs' needs a job" in done.stderr


def test_logs_on_ecs(ecs_job, cloud):
    """From CloudWatch Logs, in pages, of the definition that the task has."""
    driver = ecs_job.driver
    env = {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": cloud.moto.url}
    ecs_job.prepare()
    done = driver.run("logs", "4711", env=ecs_job.env | env)
    assert done.returncode != 0
    assert f"sends no log of the container '{CONTAINER}' to CloudWatch" in done.stderr
    assert ecs_job.stage("cleanup").returncode == 0
    group = f"/ecs/{cloud.cluster}"
    cloud.register_family(
        logConfiguration={
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": group,
                "awslogs-stream-prefix": "job",
                "awslogs-region": REGION,
            },
        }
    )
    ecs_job.prepare()
    logs = cloud.moto.client("logs")
    stream = f"job/{CONTAINER}/{ecs_job.metadata()['state']['arn'].rpartition('/')[2]}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now_ms = int(time.time() * 1000)
    messages = [f"line {n}\x1b" for n in range(15000)]
    for first in range(0, len(messages), 5000):
        logs.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[
                {"timestamp": now_ms - 60000 + n, "message": messages[n]}
                for n in range(first, first + 5000)
            ],
        )
    done = driver.run("logs", "4711", env=ecs_job.env | env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [rf"line {n}\x1b" for n in range(15000)]
