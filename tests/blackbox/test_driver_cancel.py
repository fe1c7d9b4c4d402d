# SPDX-License-Identifier: MIT
"""A request to stop: the job is killed, children included, before the driver exits."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.processes import with_marker


def marker(job):
    return b"BERTH_TEST_MARK=" + str(job.home()).encode()


def started(job, text, until):
    """A run stage whose processes carry a marker in their environment."""
    process = job.prepare().start(f"export MARK={job.home()}\n{text}")
    assert process.stdout.readline() == b"up\n"
    return process


def marked(job):
    return with_marker(f"MARK={job.home()}".encode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize(
    "text",
    [
        "sh -c 'echo up; sleep 60'\n",
        "sh -c 'trap \"\" TERM INT; echo up; while :; do sleep 0.1; done'\n",
        "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' &\n"
        "sh -c 'echo up; sleep 60'\n",
    ],
    ids=["simple", "ignores TERM", "daemon"],
)
def test_all_processes_have_exited_when_the_driver_exits(job, until, number, text):
    process = started(job, text, until)
    until(lambda: marked(job))
    os.kill(process.pid, number)
    code = process.wait(60)
    assert marked(job) == set(), "at the very moment of the driver's exit"
    assert code == BUILD_FAILURE
    assert b"stopped on request" in process.stderr.read()
    assert job.exit_code() is None


def test_output_of_a_trap_is_kept(job, until):
    job.driver.settings["CancelGrace"] = "60s"  # in which a busy machine comes to the trap
    process = started(job, "trap 'echo bye; exit 7' TERM\nsleep 60 &\necho up\nwait\n", until)
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout.read() == b"bye\n"
    assert process.wait(60) == BUILD_FAILURE


def test_the_task_survives_for_later_stages(job, until):
    process = started(job, "echo up\nsleep 60\n", until)
    os.kill(process.pid, signal.SIGTERM)
    process.wait(60)
    assert job.run("echo after_script\n", "after_script").stdout == b"after_script\n"


def test_stopping_prepare_leaves_nothing(job):
    """With the build code GitLab would report a failure of the script that never ran."""
    codes = set()
    coarse = range(0, 60, 10)
    fine = itertools.chain(range(0, 60, 3), range(60), range(60, 5000, 20))
    for delay_ms in itertools.chain(coarse, fine):
        if delay_ms not in coarse and SYSTEM_FAILURE in codes:
            break  # finer steps are for machines where 'prepare' takes a few milliseconds, later
            # ones for those that are busy
        process = job.driver.start("custom", "prepare", env=job.env)
        stopper = threading.Timer(delay_ms / 1000, process.terminate)
        stopper.start()
        code = process.wait(60)
        stopper.join()
        # The kernel ends a program that has not come to its first line.
        assert code in (0, SYSTEM_FAILURE, -signal.SIGTERM), process.stderr.read()
        if code == SYSTEM_FAILURE:
            assert job.nothing_kept() == []
        codes.add(code)
        job.stage("cleanup")
    assert SYSTEM_FAILURE in codes


STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]


def stopped(number):
    """In the child: the signal has come already, and waits through exec for the program."""

    def before_exec():
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])
        os.kill(os.getpid(), number)

    return before_exec


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_before_the_first_line_of_prepare(job, number):
    process = job.driver.start("custom", "prepare", env=job.env, preexec_fn=stopped(number))
    assert process.wait(60) == SYSTEM_FAILURE
    assert process.stderr.read() == b"berth: warning: stage 'prepare' was stopped on request\n"
    assert job.nothing_kept() == [] and job.exit_code() is None
    job.stage("cleanup")
    (line,) = job.driver.run("history", "--json", env=job.env).stdout.splitlines()
    assert json.loads(line)["reason"] == "stopped on request in stage 'prepare'"


def test_a_stop_that_finds_a_mistake_too(job):
    """The runner stopped it: what else was wrong does not turn that into the script's failure."""
    job.driver.settings["Backend"] = "lokal"
    for stage in ("config", "prepare"):
        process = job.driver.start("custom", stage, env=job.env, preexec_fn=stopped(signal.SIGTERM))
        assert process.wait(60) == SYSTEM_FAILURE, process.stderr.read()
        assert job.stage(stage).returncode == BUILD_FAILURE, "without a stop"
    job.driver.settings["Backend"] = "local"


# What the C library and constructors call before main().
START_OF_A_PROGRAM = {
    "execve",
    "arch_prctl",
    "set_tid_address",
    "brk",
    "mmap",
    "mprotect",
    "munmap",
}


def test_nothing_comes_before_the_signals(job, programs, tmp_path):
    """A stop request that comes before they are held ends prepare: that time is the shortest."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if programs.sanitized:
        pytest.skip("the sanitizers do a lot before main()")
    trace = tmp_path / "trace"
    words = ["strace", "-o", trace, programs.driver, "custom", "prepare"]
    subprocess.run(words, env=job.env, check=False, capture_output=True)
    calls = trace.read_text().splitlines()
    held = next(i for i, c in enumerate(calls) if "SIG_BLOCK, [HUP INT QUIT TERM]" in c)
    assert {call.split("(")[0] for call in calls[:held]} <= START_OF_A_PROGRAM, calls[:held]


def test_a_stop_of_run_keeps_the_build_code(job, until):
    process = started(job, "echo up\nsleep 60\n", until)
    os.kill(process.pid, signal.SIGQUIT)
    assert process.wait(60) == BUILD_FAILURE
