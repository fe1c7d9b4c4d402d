# SPDX-License-Identifier: MIT
"""berth-driver ssh: a shell or a command in a running job's task."""

import os
import pty
import signal
import termios

import pytest

from support.terminal import Terminal

OWN_FAILURE = 255


def words(job, *more):
    driver = job.driver
    return [str(driver.program), "--config", str(driver.config()), "ssh", *more]


@pytest.fixture
def terminal(job):
    opened = []

    def start(*more):
        opened.append(Terminal(words(job, *more)))
        return opened[-1]

    yield start
    for instance in opened:
        instance.close()


def test_a_command_without_a_terminal(job):
    job.prepare()
    for name in ("4711", job.metadata()["job"], f"local-{job.agent_pid()}"):
        done = job.driver.run("ssh", name, "--", "cat; tty; echo e >&2; exit 5", input=b"in\n")
        assert (done.returncode, done.stdout) == (5, b"in\nnot a tty\n"), name
        assert done.stderr == "e\n"
    assert job.driver.run("ssh", "4711", "echo", "a  b").stdout == b"a  b\n"


def test_a_job_that_is_not_there_is_answered_with_those_that_are(job):
    job.prepare()
    done = job.driver.run("ssh", "9")
    assert done.returncode == OWN_FAILURE and job.metadata()["job"] in done.stderr
    assert job.driver.run("ssh").returncode == 2


def test_an_id_of_two_jobs_is_not_guessed(job):
    job.prepare()
    (path,) = job.driver.metadata.glob("*.json")
    other = path.with_name("job-4711-0000.json")
    other.write_text(path.read_text().replace(path.stem, other.stem))
    done = job.driver.run("ssh", "4711", "true")
    assert done.returncode == OWN_FAILURE and "several jobs" in done.stderr
    assert path.stem in done.stderr and other.stem in done.stderr
    assert job.driver.run("ssh", path.stem, "true").returncode == 0
    other.unlink()


@pytest.mark.parametrize("end", ["exit", "signal"])
def test_a_shell_with_job_control_and_the_terminal_as_before(job, terminal, end):
    job.prepare()
    shell = terminal("4711", "bash", "--norc", "-i")
    shell.type("stty size\n")
    shell.expect("37 91")
    shell.resize(70, 20)
    shell.process.send_signal(signal.SIGWINCH)
    shell.type("until [ $(stty size | tr -d ' ') = 2070 ]; do :; done; echo siz''ed\n")
    shell.expect("sized")
    shell.type("echo up''; read x\n")
    shell.expect(r"up\r\n")
    shell.type("\x03")
    shell.expect(r"[#$] $")
    shell.type("sh -c 'echo st''art; exec cat'\n")
    shell.expect(r"start\r\n")
    shell.type("\x1a")
    shell.expect("Stopped")
    # Until the shell has reaped it: else 'exit' reports stopped jobs, and the shell stays.
    shell.type("kill -9 %1; until [ -z \"$(jobs -s)\" ]; do :; done; echo do''ne\n")
    shell.expect("done")
    if end == "exit":
        shell.type("exit 7\n")
        assert shell.wait() == 7
    else:
        shell.process.send_signal(signal.SIGTERM)
        assert shell.wait() == 128 + signal.SIGTERM
    fresh = pty.openpty()  # all start alike
    assert termios.tcgetattr(shell.master) == termios.tcgetattr(fresh[1])
    for fd in fresh:
        os.close(fd)
