# SPDX-License-Identifier: MIT
"""A request to stop, or a kill, at every moment of 'prepare', 'run' and 'cleanup': no task is left.

A moment is a place where the driver is held up: a call of AWS before AWS sees it or after it did
its part, a state of the task, so many bytes of the conversation over SSH. All moments of a test go
on at once, each in a job of its own, since nearly all of their time is waiting.
"""

import itertools
import json
import signal
import threading

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE, write_config
from support.ecs import EcsJob
from support.processes import with_marker
from support.proxy import Fault as LinkFault
from support.waiting import until

DEADLINE_S = 120
NEVER = 1000
SIGNALS = {"TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
# Of a login's and a script's bytes from the server.
PARTS = (0, 0.02, 0.2, 0.5, 0.8, 0.95)


class Play:
    """A job that is held at one point."""

    def __init__(self, stage, cloud, directory, number, name, signal_name):
        self.stage, self.cloud, self.number = stage, cloud, number
        self.name = f"{name}, {signal_name}"
        self.signal = SIGNALS[signal_name]
        self.id = str(7000 + number)
        self.gate = None
        self.problems = []
        self.job = EcsJob(stage.driver, directory, cloud, int(self.id))
        self.mark = f"MOMENT={directory}".encode()

    def task(self):
        return self.cloud.task_of(self.id)

    def run(self, *words, config=None):
        words = ("--config", config or self.stage.config, "custom", *words)
        return self.stage.driver.run(*words, env=self.job.env, config=False)

    def start(self, *words, config=None):
        words = ("--config", config or self.stage.config, "custom", *words)
        return self.stage.driver.start(*words, env=self.job.env, config=False)

    def started_by(self):
        """Tasks of this job without StopTask."""
        return [
            arn
            for arn in self.cloud.running()
            if arn in self.cloud.tasks and self.cloud.tasks[arn].job_id == self.id
        ]

    def expect(self, condition, what):
        if not condition:
            self.problems.append(f"{self.name}: {what}")

    def kept(self):
        return list(self.stage.driver.metadata.glob(f"job-{self.id}-*"))

    def end(self, process, what, codes=None):
        """Sends the signal, waits for the driver, runs cleanup and checks for leftovers."""
        codes = codes or ((SYSTEM_FAILURE if what == "prepare" else BUILD_FAILURE),)
        process.send_signal(self.signal)
        out, err = process.communicate(timeout=DEADLINE_S)
        wanted = codes if self.signal == signal.SIGTERM else (-signal.SIGKILL,)
        self.expect(process.returncode in wanted, f"{what}: exit {process.returncode}: {err}")
        if self.signal == signal.SIGTERM and what == "prepare":
            self.expect(not self.started_by(), f"prepare left a task: {err}")
        cleaned = self.run("cleanup")
        self.expect(cleaned.returncode == 0, f"cleanup: {cleaned.stderr}")
        if self.gate is not None:  # what was on its way to AWS gets there now
            self.gate.open.set()
            self.gate.passed.wait(DEADLINE_S)
        self.expect(not self.started_by(), "a task is left")
        self.expect(not self.kept(), f"metadata is left: {self.kept()}")
        self.expect(
            len([t for t in list(self.cloud.tasks.values()) if t.job_id == self.id]) <= 1,
            "two tasks",
        )
        until(lambda: not with_marker(self.mark), DEADLINE_S, f"{self.name}: the job's end")


class Stage:
    """Shared by the jobs of one test."""

    def __init__(self, driver, cloud, directory):
        self.driver, self.cloud, self.directory = driver, cloud, directory
        self.plays = []
        self._numbers = itertools.count(1)
        driver.settings["Fargate"] = {"CallsPerSecond": 100}
        Play(self, cloud, self._new("any"), 0, "any", "TERM")  # its job fills the settings
        driver.settings["SSH"]["Keepalive"] = "1s"
        # Without keepalives, which add bytes to a login on a busy machine.
        quiet = {**driver.settings, "SSH": {**driver.settings["SSH"], "Keepalive": "0"}}
        self.quiet = write_config(directory / "quiet.toml", quiet)
        self.config = driver.config()
        public = {**driver.settings["Fargate"], "EnablePublicIP": True, "UsePublicIP": True}
        self.public = write_config(
            directory / "public.toml", {**driver.settings, "Fargate": public}
        )

    def _new(self, name):
        directory = self.directory / name
        directory.mkdir()
        return directory

    def play(self, name, signal_name):
        number = next(self._numbers)
        instance = Play(self, self.cloud, self._new(f"play-{number}"), number, name, signal_name)
        self.plays.append(instance)
        return instance

    def perform(self, acts):
        """acts: a function for each job; all run at once."""

        def one(play, act):
            try:
                act(play)
            except Exception as problem:  # a thread's own would be lost
                play.problems.append(f"{play.name}: {problem!r}")

        threads = [
            threading.Thread(target=one, args=pair) for pair in zip(self.plays, acts, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        problems = [text for play in self.plays for text in play.problems]
        assert problems == []
        assert self.cloud.running() == []


@pytest.fixture
def stage(berth_driver, cloud, tmp_path):
    return Stage(berth_driver, cloud, tmp_path)


def at_call(operation, when, public=False):
    def act(play):
        play.job.env["AWS_ROLE_SESSION_NAME"] = play.id  # as another login: no shared DescribeTasks
        play.gate = play.cloud.hold(play.id, operation, when)
        process = play.start("prepare", config=play.stage.public if public else None)
        assert play.gate.reached.wait(DEADLINE_S), "the call never came"
        play.end(process, "prepare")

    return act


def at_state(status, pace):
    def act(play):
        play.cloud.paces[play.id] = pace
        process = play.start("prepare")
        until(lambda: play.task() and play.task().status == status, DEADLINE_S)
        play.end(process, "prepare")

    return act


def out_of_reach(play):
    """RUNNING, but nothing listens."""
    play.cloud.images[play.id] = ""
    play.cloud.paces[play.id] = (0, 0, 0)
    process = play.start("prepare")
    for line in process.stdout:
        if b"has the address" in line:
            break
    play.end(process, "prepare")


def at_once(play):
    """Before the driver handles signals, they end it like any process."""
    play.end(play.start("prepare"), "prepare", (SYSTEM_FAILURE, -signal.SIGTERM))


def at_byte(at):
    def act(play):
        play.cloud.link_faults[play.id] = [LinkFault(at, kind="stall")]
        process = play.start("prepare")
        until(lambda: play.task() and play.task().proxy, DEADLINE_S)
        proxy = play.task().proxy
        until(lambda: proxy.transferred and proxy.transferred[0][0] >= at, DEADLINE_S)
        play.end(process, "prepare")

    return act


def measure(stage):
    """The least bytes from the server in a login, and in a run of a script."""
    play = stage.play("measured", "TERM")
    stage.cloud.link_faults[play.id] = []
    done = play.run("prepare", config=stage.quiet)
    assert done.returncode == 0, done.stderr
    login = play.task().proxy.transferred[-1][0]
    script = play.job.script("echo up\n")
    done = play.run("run", script, "build_script", config=stage.quiet)
    assert done.returncode == 0, done.stderr
    script = play.task().proxy.transferred[-1][0]
    assert play.run("cleanup").returncode == 0
    stage.plays.remove(play)
    return login, script


def test_prepare(stage, cloud):
    login, _ = measure(stage)
    moments = {
        "at once": at_once,
        "RunTask asked": at_call("RunTask", "before"),
        "RunTask done": at_call("RunTask", "after"),
        "DescribeTasks asked": at_call("DescribeTasks", "before"),
        "DescribeTasks done": at_call("DescribeTasks", "after"),
        "EC2 asked": at_call("DescribeNetworkInterfaces", "before", public=True),
        "EC2 done": at_call("DescribeNetworkInterfaces", "after", public=True),
        "PROVISIONING": at_state("PROVISIONING", (NEVER, 0, 0)),
        "PENDING": at_state("PENDING", (0, NEVER, 0)),
        "out of reach": out_of_reach,
        **{f"SSH at {part:.0%}": at_byte(int(login * part)) for part in PARTS},
    }
    names = [(name, number) for name in moments for number in SIGNALS]
    for name, number in names:
        stage.play(name, number)
    stage.perform([moments[name] for name, _ in names])


def prepared(play):
    done = play.run("prepare")
    assert done.returncode == 0, done.stderr


def start_script(play, script):
    text = f"export {play.mark.decode()}\n{script}"
    return play.start("run", play.job.script(text), "build_script")


def run_at_byte(at):
    def act(play):
        play.cloud.link_faults[play.id] = []
        prepared(play)
        before = len(play.task().proxy.transferred)
        play.task().proxy.faults.append(LinkFault(at, kind="stall"))
        process = start_script(play, "echo up\nsleep 60\n")
        counts = play.task().proxy.transferred
        until(lambda: len(counts) > before and counts[before][0] >= at, DEADLINE_S)
        play.end(process, "run")

    return act


def run_at_word(script, freeze=None):
    """After the script printed 'up'; 'freeze': the link then stalls while the script runs."""

    def act(play):
        if freeze is not None:
            play.cloud.link_faults[play.id] = []
        prepared(play)
        process = start_script(play, script)
        assert process.stdout.readline() == b"up\n"
        codes = (BUILD_FAILURE,)
        if freeze is not None:
            play.task().proxy.frozen = True
            freeze(play)
            codes = (SYSTEM_FAILURE,)  # that the job has ended is not known here
        play.end(process, "run", codes)

    return act


def test_run(stage, cloud):
    """From the first byte of the connection to the script's result, which is lost."""
    _, script = measure(stage)

    def script_ends(play):
        (play.job.directory / "go").write_text("")
        until((play.job.directory / "gone").exists, DEADLINE_S)

    moments = {
        "running": run_at_word("echo up\nsleep 60\n"),
        **{f"SSH at {part:.0%}": run_at_byte(int(script * part)) for part in PARTS},
    }
    names = [(name, number) for name in moments for number in SIGNALS]
    for name, number in names:
        stage.play(name, number)
    acts = [moments[name] for name, _ in names]
    for number in SIGNALS:
        play = stage.play("result lost", number)
        there = play.job.directory
        wait = f"until [ -e {there}/go ]; do sleep 0.02; done; : >{there}/gone"
        acts.append(run_at_word(f"echo up\n{wait}\n", script_ends))
    stage.perform(acts)


def test_cleanup(stage, cloud):
    def at(when):
        def act(play):
            prepared(play)
            play.gate = play.cloud.hold(play.id, "StopTask", when)
            process = play.start("cleanup")
            assert play.gate.reached.wait(DEADLINE_S)
            process.send_signal(play.signal)
            if play.signal == signal.SIGTERM:
                play.gate.open.set()  # a cleanup does what it is for, signal or not
            process.wait(DEADLINE_S)
            cleaned = play.run("cleanup")
            play.expect(cleaned.returncode == 0, cleaned.stderr)
            play.expect(not play.started_by() and not play.kept(), "something is left")

        return act

    names = [(when, number) for when in ("before", "after") for number in SIGNALS]
    for when, number in names:
        stage.play(f"StopTask {when}", number)
    stage.perform([at(when) for when, _ in names])


# --- RunTask's answer never came, and the list does not show what it started


def kill_at_run_task(play):
    play.gate = play.cloud.hold(play.id, "RunTask", "after")
    process = play.start("prepare")
    assert play.gate.reached.wait(DEADLINE_S)
    process.kill()
    process.wait()


def test_a_task_that_is_not_listed_yet(stage, cloud):
    """The client token identifies it."""
    play = stage.play("not listed", "KILL")
    kill_at_run_task(play)
    cloud.listing = False
    cleaned = play.run("cleanup")
    assert cleaned.returncode == 0, cleaned.stderr
    first, second = cloud.requests("RunTask")
    assert first == second and len(cloud.tasks) == 1
    assert cloud.running() == [] and play.kept() == []
    (stop,) = cloud.requests("StopTask")
    assert stop["task"] == play.task().arn and play.job.url in stop["reason"]


def test_a_token_of_another_request(stage, cloud):
    """Metadata of an earlier version lacks the request: after a change of the configuration, the
    token starts nothing, so the list is polled."""
    play = stage.play("changed", "KILL")
    kill_at_run_task(play)
    (path,) = stage.driver.metadata.glob(f"job-{play.id}-*.json")
    kept = json.loads(path.read_text())
    del kept["state"]["request"]
    path.write_text(json.dumps(kept))
    cloud.listing = False
    stage.driver.settings["Fargate"]["PlatformVersion"] = "1.4.0"
    process = play.start("cleanup", config=stage.driver.config())
    until(lambda: cloud.count("RunTask") == 2 and cloud.count("ListTasks") >= 1, DEADLINE_S)
    assert cloud.running() != []
    cloud.listing = True
    _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    assert len(cloud.tasks) == 1 and cloud.running() == [] and play.kept() == []
