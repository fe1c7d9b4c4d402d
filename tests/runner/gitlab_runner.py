# SPDX-License-Identifier: MIT
"""A stand-in for GitLab Runner with the custom executor: the contract a driver is held to.

It calls the driver as GitLab Runner does: config, prepare (up to three attempts, cleanup after each
that failed), the run stages in their order, cleanup; each a process of its own in a process group
of its own, with CUSTOM_ENV_*, TMPDIR, *_EXIT_CODE*, JOB_RESPONSE_FILE. Standard library only, so
that the demo needs no Python package.

    runner = Runner([driver, "--config", file, "custom"], job, log=print_bytes)
    result = runner.run()       # JobResult
    runner.cancel()             # from another thread or a signal handler
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from runner.executable import Executable
from runner.scripts import StageScripts, wrap

BUILD_FAILURE, SYSTEM_FAILURE = 1, 2
PREPARE_ATTEMPTS, PREPARE_PAUSE_S = 3, 3.0
CONFIG_KEYS = {
    "builds_dir",
    "cache_dir",
    "builds_dir_is_shared",
    "hostname",
    "driver",
    "job_env",
    "shell",
}
RED, YELLOW, CYAN, GREEN, RESET = "\x1b[31;1m", "\x1b[0;33m", "\x1b[36;1m", "\x1b[32;1m", "\x1b[0;m"


class BuildFailure(Exception):
    """The job is at fault: no retry. exit_code is the script's own."""

    def __init__(self, exit_code):
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


class SystemFailure(Exception):
    """The runner's side is at fault; 'retry: runner_system_failure' applies."""


class UnknownFailure(SystemFailure):
    """An exit code that the contract does not know."""


class Stopped(Exception):
    """Canceled or timed out; args[0] says which."""


@dataclass
class Phase:
    name: str
    seconds: float
    exit_code: int
    build_exit_code: str = ""  # content of BUILD_EXIT_CODE_FILE afterwards


@dataclass
class JobResult:
    """status: success, failed or canceled. reason: '', script_failure, runner_system_failure,
    unknown_failure, job_execution_timeout. exit_code: of the user's script, or None."""

    status: str = "success"
    reason: str = ""
    exit_code: int = None
    message: str = ""
    phases: list = field(default_factory=list)
    runner_log: list = field(default_factory=list)
    config: dict = field(default_factory=dict)

    def phase(self, name):
        """The last phase of that name, or None."""
        return next((phase for phase in reversed(self.phases) if phase.name == name), None)


class Runner:
    """Runs one job through a driver.

    driver_command         words in front of config, prepare, run and cleanup
    log(bytes)             the job's log, as GitLab would show it
    on_section(id, title)  called where GitLab begins a section of the log
    directory              where the temporary directories of the stages are made
    """

    def __init__(
        self,
        driver_command,
        job,
        log,
        *,
        on_section=None,
        directory=None,
        env=None,
        builds_dir="/builds",
        cache_dir="/cache",
        step_stage="build_script",
        graceful_kill_timeout_s=600.0,
        force_kill_timeout_s=60.0,
        config_timeout_s=3600.0,
        prepare_timeout_s=3600.0,
        cleanup_timeout_s=3600.0,
        prepare_pause_s=PREPARE_PAUSE_S,
    ):
        self.driver_command = [str(word) for word in driver_command]
        self.job = job
        self.log = log
        self.on_section = on_section or self._section_markers
        self.directory = directory
        self.env = dict(os.environ if env is None else env)
        self.builds_dir, self.cache_dir = builds_dir, cache_dir
        self.step_stage = step_stage
        self.timeouts = {
            "config": config_timeout_s,
            "prepare": prepare_timeout_s,
            "cleanup": cleanup_timeout_s,
        }
        self.prepare_pause_s = prepare_pause_s
        self.executable = Executable(graceful_kill_timeout_s, force_kill_timeout_s)
        self.result = JobResult()
        self.job_env = {}
        self.hostname = ""
        self.shared_builds_dir = False
        self.temp_dir = None
        self.deadline = None
        self._canceled = threading.Event()

    # ---- what a caller uses

    def cancel(self):
        """As the cancel button in GitLab: SIGTERM to the stage's process group, SIGKILL later."""
        self._canceled.set()
        self.executable.cancel()

    def run(self):
        """Runs the whole job. Never raises for what the driver does."""
        self.deadline = time.monotonic() + self.job.timeout_s
        try:
            self._prepare_with_retries()
            self._run_stages()
            self._line("Job succeeded", GREEN)
        except BuildFailure as failure:
            self._failed("script_failure", str(failure), f"Job failed: {failure}")
            self.result.exit_code = failure.exit_code
        except UnknownFailure as failure:
            self._failed("unknown_failure", str(failure), f"Job failed (system failure): {failure}")
        except SystemFailure as failure:
            self._failed(
                "runner_system_failure", str(failure), f"Job failed (system failure): {failure}"
            )
        except Stopped as stop:
            if stop.args[0] == "timeout":
                self._failed(
                    "job_execution_timeout",
                    "timeout",
                    f"Job failed: execution took longer than {self.job.timeout_s:g}s seconds",
                )
            else:
                self._failed("", "canceled", "Job failed: canceled")
                self.result.status = "canceled"
        finally:
            if self.temp_dir is not None:
                self._cleanup()
            self.executable.close()
        return self.result

    # ---- log

    def _line(self, text, colour=""):
        self.log(f"{colour}{text}{RESET if colour else ''}\n".encode())

    def _section_markers(self, name, title):
        self.log(
            f"section_start:{int(time.time())}:{name}\r\x1b[0K\x1b[0K{CYAN}{title}{RESET}\n".encode()
        )

    def _failed(self, reason, message, line):
        self.result.status, self.result.reason, self.result.message = "failed", reason, message
        self._line(f"ERROR: {line}", RED)

    # ---- one call of the driver

    def _project_dir(self):
        below = ""
        if self.shared_builds_dir:
            below = "t1_standin/0/"
        return f"{self.builds_dir}/{below}{self.job.project_path}"

    def _variables(self):
        return {
            **self.job.predefined(self.builds_dir, self.cache_dir, self._project_dir()),
            **self.job.variables,
            **self.job.file_variables,
        }

    def _environment(self):
        """The runner's own environment, the contract's, the driver's job_env, the job's."""
        custom = {f"CUSTOM_ENV_{key}": value for key, value in self._variables().items()}
        custom["CUSTOM_ENV_CI_JOB_SERVICES"] = (
            json.dumps(self.job.services) if self.job.services else ""
        )
        return {
            **self.env,
            "TMPDIR": str(self.temp_dir),
            "BUILD_FAILURE_EXIT_CODE": str(BUILD_FAILURE),
            "SYSTEM_FAILURE_EXIT_CODE": str(SYSTEM_FAILURE),
            "BUILD_EXIT_CODE_FILE": str(self._exit_code_file()),
            "JOB_RESPONSE_FILE": str(self.temp_dir / "response.json"),
            **self.job_env,
            **custom,
        }

    def _exit_code_file(self):
        return self.temp_dir / "build_exit_code"

    def _call(self, phase, words, on_stdout=None, on_stderr=None, timeout_s=None):
        """Runs one stage and raises what its exit code means."""
        if self._canceled.is_set() and words[0] != "cleanup":
            raise Stopped("canceled")
        # A code left by an earlier stage would be taken for this one's.
        self._exit_code_file().unlink(missing_ok=True)
        limit = self.timeouts.get(words[0]) if timeout_s is None else timeout_s
        try:
            ending = self.executable.run(
                [*self.driver_command, *words],
                self._environment(),
                self.temp_dir,
                on_stdout or self.log,
                on_stderr or self.log,
                limit,
                cancelable=words[0] != "cleanup",
            )
        except OSError as problem:
            raise SystemFailure(f"cannot start '{self.driver_command[0]}': {problem}") from problem
        code_text = self._read_exit_code()
        self.result.phases.append(Phase(phase, ending.seconds, ending.exit_code, code_text))
        if ending.stopped is not None:
            raise Stopped(ending.stopped)
        self._classify(ending.exit_code, code_text)

    def _read_exit_code(self):
        try:
            return self._exit_code_file().read_text().split("\n")[0]
        except FileNotFoundError:
            return ""

    @staticmethod
    def _classify(exit_code, code_text):
        if exit_code == 0:
            return
        if exit_code == BUILD_FAILURE:
            # A bare integer, else the file is worth nothing and the exit code itself counts.
            number = code_text.lstrip("-")
            raise BuildFailure(
                int(code_text) if number.isascii() and number.isdigit() else BUILD_FAILURE
            )
        if exit_code == SYSTEM_FAILURE:
            raise SystemFailure(f"exit status {exit_code}")
        raise UnknownFailure(f"unknown Custom executor executable exit code {exit_code}")

    # ---- config and prepare

    def _prepare_with_retries(self):
        self.on_section("prepare_executor", 'Preparing the "custom" executor')
        for attempt in range(1, PREPARE_ATTEMPTS + 1):
            try:
                self._prepare_once()
                return
            except SystemFailure as failure:
                self._line(f"ERROR: Preparation failed: {failure}", RED)
                self._cleanup()
                if attempt == PREPARE_ATTEMPTS:
                    raise
                self._line(f"Will be retried in {self.prepare_pause_s:g}s ...")
                if self._canceled.wait(self.prepare_pause_s):
                    raise Stopped("canceled") from failure

    def _prepare_once(self):
        self.temp_dir = Path(tempfile.mkdtemp(prefix="custom-executor", dir=self.directory))
        response = self.temp_dir / "response.json"
        response.touch(mode=0o600)
        response.write_text(json.dumps(self.job.response(self._variables())) + "\n")
        self._config()
        self._call("prepare", ["prepare"])

    def _config(self):
        text = bytearray()
        self._call("config", ["config"], on_stdout=text.extend)
        try:
            config = json.loads(text) if text else {}
        except ValueError as problem:
            raise SystemFailure(f"error while parsing JSON output: {problem}") from problem
        unknown = set(config) - CONFIG_KEYS
        if unknown:
            self.result.runner_log.append(f"config: unknown keys {sorted(unknown)}")
        self.builds_dir = config.get("builds_dir", self.builds_dir)
        self.cache_dir = config.get("cache_dir", self.cache_dir)
        self.shared_builds_dir = config.get("builds_dir_is_shared", self.shared_builds_dir)
        self.hostname = config.get("hostname", self.hostname)
        self.job_env = config.get("job_env") or {}
        self.result.config = config
        name, version = (config.get("driver", {}).get(key, "") for key in ("name", "version"))
        with_driver = f" with driver {name} {version}".rstrip() if name else ""
        self._line(f"Using Custom executor{with_driver}...")

    # ---- run stages

    def _stage(self, phase, section, lines, passed_name=None):
        """lines None: this job has nothing to do there and the runner leaves the stage out."""
        if lines is None:
            return
        self.on_section(phase, section)
        directory = Path(tempfile.mkdtemp(prefix="script", dir=self.temp_dir))
        script = directory / "script."
        script.touch(mode=0o700)
        script.write_text(wrap(lines))
        self._call(
            phase,
            ["run", str(script), passed_name or phase],
            timeout_s=max(0.1, self.deadline - time.monotonic()),
        )

    def _run_stages(self):
        variables = {**self._variables(), "CI_JOB_STATUS": "running"}
        scripts = StageScripts(self.job, variables, self._project_dir(), self.cache_dir)
        self._stage("prepare_script", "Preparing environment", scripts.prepare_script())
        failure = None
        try:
            self._stages_of_the_job(scripts)
        except (BuildFailure, SystemFailure) as problem:
            failure = problem
        failure = self._stages_afterwards(scripts, failure) or failure
        if failure is not None:
            raise failure

    def _stages_of_the_job(self, scripts):
        self._stage("get_sources", "Getting source from Git repository", scripts.get_sources())
        self._stage("restore_cache", "Restoring cache", scripts.restore_cache())
        self._stage("download_artifacts", "Downloading artifacts", scripts.download_artifacts())
        failure = None
        try:
            self._stage(
                "step_script",
                'Executing "step_script" stage of the job script',
                scripts.step_script(),
                self.step_stage,
            )
        except (BuildFailure, SystemFailure) as problem:
            failure = problem
        self._after_script(scripts, "success" if failure is None else "failed")
        if failure is not None:
            raise failure

    def _after_script(self, scripts, status):
        """Its failure never changes the job's result."""
        try:
            self._stage("after_script", "Running after_script", scripts.after_script(status))
        except (BuildFailure, SystemFailure) as problem:
            self._line(
                f"WARNING: after_script failed, but job will continue unaffected: {problem}", YELLOW
            )

    def _stages_afterwards(self, scripts, failure):
        """Cache, artifacts and variables, also after a failure. Returns what failed here first."""
        failed = failure is not None
        plan = [
            (
                "archive_cache_on_failure" if failed else "archive_cache",
                f"Saving cache for {'failed' if failed else 'successful'} job",
                None if failed else scripts.archive_cache(),
            ),
            (
                "upload_artifacts_on_failure" if failed else "upload_artifacts_on_success",
                f"Uploading artifacts for {'failed' if failed else 'successful'} job",
                scripts.upload_artifacts()
                if self.job.artifacts_when in ("always", "on_failure" if failed else "on_success")
                else None,
            ),
            (
                "cleanup_file_variables",
                "Cleaning up project directory and file based variables",
                scripts.cleanup_file_variables(),
            ),
        ]
        first = None
        for phase, section, lines in plan:
            try:
                self._stage(phase, section, lines)
            except (BuildFailure, SystemFailure) as problem:
                first = first or problem
        return None if failed else first

    # ---- cleanup

    def _cleanup(self):
        """stdout goes to the runner's log as debug, stderr as warnings; the result is ignored."""
        notes = {"debug": bytearray(), "warn": bytearray()}
        try:
            self._call("cleanup", ["cleanup"], notes["debug"].extend, notes["warn"].extend)
        except (BuildFailure, SystemFailure, Stopped) as problem:
            self.result.runner_log.append(f"warn: Cleanup script failed: {problem}")
        for level, text in notes.items():
            for line in text.decode(errors="replace").splitlines():
                self.result.runner_log.append(f"{level}: {line}")
        shutil.rmtree(self.temp_dir, ignore_errors=True)
        self.temp_dir = None


def print_phases(result, out=None):
    """The table of phases: name, seconds, exit status, and the script's own code if any."""
    out = out or sys.stdout
    width = max((len(phase.name) for phase in result.phases), default=0)
    print(f"{'phase':<{width}}  {'seconds':>8}  exit  BUILD_EXIT_CODE_FILE", file=out)
    for phase in result.phases:
        print(
            f"{phase.name:<{width}}  {phase.seconds:8.3f}  {phase.exit_code:4d}  "
            f"{phase.build_exit_code}".rstrip(),
            file=out,
        )
    total = sum(phase.seconds for phase in result.phases)
    print(f"{'total':<{width}}  {total:8.3f}", file=out)
