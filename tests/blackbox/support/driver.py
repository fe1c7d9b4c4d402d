# SPDX-License-Identifier: MIT
"""berth-driver as GitLab Runner starts it: one process per stage, the environment of a job."""

import json
import os
import secrets
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

BUILD_FAILURE = 70
SYSTEM_FAILURE = 71
TIMEOUT_S = 200
PS_COLUMNS = ["JOB", "AGE", "STATE", "CPU", "MEMORY", "COST", "PROJECT", "IMAGE", "TASK", "URL"]


def toml_text(value):
    """A TOML value; JSON writes strings, numbers, booleans and arrays of them the same way."""
    return json.dumps(value)


def inline_text(value):
    """The same for a table on one line."""
    if not isinstance(value, dict):
        return toml_text(value)
    return "{ " + ", ".join(f"{toml_text(k)} = {toml_text(v)}" for k, v in value.items()) + " }"


def is_table(value):
    return isinstance(value, dict) or (
        isinstance(value, list) and value and isinstance(value[0], dict)
    )


def write_config(path, settings):
    """settings: {"Key": value, "Table": {"Key": value}, "Tables": [{"Key": value}]}."""
    lines = [f"{k} = {toml_text(v)}" for k, v in settings.items() if not is_table(v)]
    for table, entries in settings.items():
        if isinstance(entries, dict):
            lines.append(f"[{table}]")
            lines += [f"{k} = {toml_text(v)}" for k, v in entries.items()]
    for table, each in settings.items():
        for entries in each if isinstance(each, list) and is_table(each) else []:
            lines.append(f"[[{table}]]")
            lines += [f"{k} = {inline_text(v)}" for k, v in entries.items()]
    # At once: other processes may be reading it.
    new = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    new.write_text("\n".join(lines) + "\n")
    if path.exists():
        new.chmod(path.stat().st_mode & 0o777)
    new.rename(path)
    return path


class Driver:
    """The program with a configuration and directories of its own below 'directory'."""

    def __init__(self, program, directory):
        self.program = program
        self.directory = directory
        self.metadata = directory / "metadata"
        self.local = directory / "local"
        self.settings = {
            "Backend": "local",
            "CancelGrace": "1s",
            "TaskMetadata": {"Directory": str(self.metadata)},
            "Local": {"Directory": str(self.local)},
        }
        self.running = []

    def config(self):
        return write_config(self.directory / "fargate.toml", self.settings)

    def environment(self, **more):
        keep = ("PATH", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "BERTH_AGENT")
        env = {name: os.environ[name] for name in keep if name in os.environ}
        env.update(more)
        return env

    def start(self, *words, env=None, config=True, before=(), **how):
        """'before': words in front of the program, of support/mounts.py."""
        argv = [*before, str(self.program)]
        if config:
            argv += ["--config", str(self.config())]
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        process = subprocess.Popen(
            argv + [str(word) for word in words],
            env=self.environment() if env is None else env,
            start_new_session=True,
            **how,
        )
        self.running.append(process)
        return process

    def run(self, *words, input=None, **how):
        if input is not None:
            how["stdin"] = subprocess.PIPE
        process = self.start(*words, **how)
        out, err = process.communicate(input, timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(words, process.returncode, out, (err or b"").decode())

    def stop_all(self):
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


class Job:
    """One job of the runner: its stages share an environment and end in cleanup."""

    def __init__(self, driver, directory, job_id=4711):
        self.driver = driver
        self.directory = directory
        self.token = "glcbt-" + secrets.token_hex(10)
        self.exit_code_file = directory / "build_exit_code"
        self.response_file = directory / "response.json"
        self.response_file.write_text(json.dumps({"id": job_id, "token": self.token}))
        self.env = driver.environment(
            TMPDIR=str(directory),
            BUILD_FAILURE_EXIT_CODE=str(BUILD_FAILURE),
            SYSTEM_FAILURE_EXIT_CODE=str(SYSTEM_FAILURE),
            BUILD_EXIT_CODE_FILE=str(self.exit_code_file),
            JOB_RESPONSE_FILE=str(self.response_file),
            CUSTOM_ENV_CI_JOB_ID=str(job_id),
            CUSTOM_ENV_CI_JOB_TOKEN=self.token,
        )

    def stage(self, *words, **how):
        return self.driver.run("custom", *words, env=self.env, **how)

    def prepare(self):
        prepare(self)
        return self

    def finish(self):
        """'cleanup' succeeds and leaves nothing."""
        done = self.stage("cleanup")
        assert done.returncode == 0, done.stderr
        assert self.nothing_kept() == []

    def put_before_agent(self, words, agent):
        """The local backend's agent is started by these words."""
        wrapper = self.directory / "agent-wrapper"
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([*words, str(agent)])} "$@"\n')
        wrapper.chmod(0o755)
        self.env["BERTH_AGENT"] = str(wrapper)

    def start_agent_by(self, text, agent):
        """The same by a shell script, which has the agent's words as "$@"."""
        wrapper = self.directory / "agent-wrapper"
        wrapper.write_text(f'#!/bin/sh\nset -- {shlex.quote(str(agent))} "$@"\n{text}\n')
        wrapper.chmod(0o755)
        self.env["BERTH_AGENT"] = str(wrapper)

    def script(self, text):
        path = self.directory / f"script-{secrets.token_hex(4)}"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def run(self, text, stage="build_script", **how):
        return self.stage("run", self.script(text), stage, **how)

    def start(self, text, stage="build_script", **how):
        path = self.script(text)
        return self.driver.start("custom", "run", path, stage, env=self.env, **how)

    def exit_code(self):
        return self.exit_code_file.read_text() if self.exit_code_file.exists() else None

    def metadata(self):
        """The parsed metadata file, None when there is none."""
        files = list(self.driver.metadata.glob("*.json")) if self.driver.metadata.exists() else []
        assert len(files) <= 1, files
        return json.loads(files[0].read_text()) if files else None

    def agent_pid(self):
        return self.metadata()["state"]["pid"]

    def home(self):
        return Path(self.metadata()["state"]["directory"]) / "home"

    def nothing_kept(self):
        """What is left of the job's metadata and directories."""
        left = list(self.driver.metadata.glob("*")) if self.driver.metadata.exists() else []
        if self.driver.local.exists():
            left += [path for path in self.driver.local.iterdir() if path.name != "cache"]
        return left


def prepare(job, code=0):
    """What 'prepare' printed, which must exit with this code."""
    done = job.stage("prepare")
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def berth_driver(programs, tmp_path, nothing_left):
    """berth-driver with its own configuration; what it still runs is ended after the test."""
    instance = Driver(programs.driver, tmp_path)
    yield instance
    instance.stop_all()


@pytest.fixture
def job(berth_driver, tmp_path):
    """A job; cleanup runs after the test and must succeed."""
    directory = tmp_path / "job"
    directory.mkdir()
    instance = Job(berth_driver, directory)
    yield instance
    instance.finish()
