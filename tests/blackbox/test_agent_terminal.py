# SPDX-License-Identifier: MIT
"""Interactive terminals: a real ssh client in a terminal of this test."""

import re
import time

import asyncssh
import pytest

from support import processes
from support.terminal import Terminal


@pytest.fixture
def terminal(ssh):
    """terminal(agent, command=None): ssh -t in its own terminal."""
    opened = []

    def start(target, command=None, options=("-t",), **how):
        opened.append(
            Terminal(["setsid", "-c", *ssh(target).command_line(command, options=options)], **how)
        )
        return opened[-1]

    yield start
    for one in opened:
        one.close()


BASH = "exec env PS1='ready> ' bash --norc --noprofile --noediting -i"
SLEEPER = (
    "bash -c 'echo go$((1+1)); exec sleep 300'\n"  # the echo of the input does not contain "go2"
)


def test_the_job_has_a_terminal(agent, terminal):
    shell = terminal(agent(), "tty; echo $SSH_TTY; stty size; echo $TERM; test -t 2 && echo yes")
    shell.expect(r"/dev/pts/(\d+)\r\n/dev/pts/\1\r\n37 91\r\n\S+\r\nyes\r\n")
    assert shell.wait() == 0


def test_no_terminal_without_a_request(agent, ssh):
    got = ssh(agent()).run("tty; echo ${SSH_TTY-unset}")
    assert got.stdout == b"not a tty\nunset\n"


def test_window_change(agent, terminal):
    script = "trap 'stty size; exit 7' WINCH; echo go$((1+1)); while :; do sleep 0.05; done"
    shell = terminal(agent(), script)
    shell.expect("go2\r\n")
    shell.resize(120, 50)
    shell.expect("50 120\r\n")
    assert shell.wait() == 7


def test_shell_without_a_command(agent, terminal):
    shell = terminal(agent(env={"SHELL": "/bin/sh", "MARK": "from-the-image"}))
    shell.type("echo $MARK-$((40+2)); exit 5\n")
    shell.expect("from-the-image-42\r\n")
    assert shell.wait() == 5


def test_interrupt_reaches_the_foreground_group(agent, terminal):
    shell = terminal(agent(), BASH)
    shell.expect("ready> ")
    shell.type(SLEEPER)
    shell.expect("\ngo2\r\n")
    shell.type("\x03")
    shell.expect("ready> ")
    shell.type("echo status=$?\n")
    shell.expect("\nstatus=130\r\n")
    shell.type("exit 6\n")
    assert shell.wait() == 6


def test_job_control(agent, terminal):
    shell = terminal(agent(), BASH)
    assert b"no job control" not in shell.expect("ready> ").string
    shell.type(SLEEPER)
    shell.expect("\ngo2\r\n")
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.type("bg\n")
    shell.expect("&")
    shell.type("jobs -r\n")
    shell.expect("Running")
    shell.type("kill %1; wait; exit 3\n")
    assert shell.wait() == 3


def test_large_output_through_the_terminal(agent, terminal):
    shell = terminal(agent(), "seq 1 100000; exit 9")
    status = shell.wait()
    assert status == 9
    numbers = [int(line) for line in re.findall(rb"^(\d+)\r?$", shell.shown, re.M)]
    assert numbers == list(range(1, 100001))


def test_signal_of_a_terminal_job(agent, terminal):
    assert terminal(agent(), "kill -TERM $$").wait() == 255  # exit-signal


def test_a_vanished_client_stops_the_interactive_shell(agent, terminal, until):
    target = agent(args=["--grace", "100s"])
    shell = terminal(target, BASH)
    shell.expect("ready> ")
    shell.type(SLEEPER)
    shell.expect("\ngo2\r\n")
    shell.process.kill()
    until(lambda: not target.jobs(), 60)  # SIGTERM alone would take the whole grace period


def test_shutdown_stops_the_interactive_shell(agent, terminal):
    target = agent(args=["--grace", "100s"])
    shell = terminal(target, BASH)
    shell.expect("ready> ")
    started = time.monotonic()
    assert target.terminate() == 0
    assert time.monotonic() - started < 50, "not the grace period"
    shell.wait()


def test_background_process_holds_the_terminal(agent, terminal):
    target = agent()
    shell = terminal(target, "trap '' HUP; sleep 300 & echo left; exit 4")
    shell.expect("left\r\n")
    assert shell.wait() == 4
    assert target.jobs()


def test_monitor_of_a_leftover_does_not_spin(agent, terminal, until):
    """The monitor of a leftover must not spin on the closed terminal."""
    target = agent()
    shell = terminal(target, "trap '' HUP; sleep 300 </dev/null >/dev/null 2>&1 &")
    assert shell.wait() == 0
    (monitor,) = until(lambda: processes.named(target.pid, "berth-job"), 60)
    until(lambda: not processes.named(target.pid, "berth-session"), 60)

    def ticks():
        total = 0
        for pid in [monitor, *processes.descendants(monitor)]:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total

    before = ticks()
    time.sleep(1)
    assert ticks() - before < 20


MODES = {
    asyncssh.PTY_VINTR: 24, asyncssh.PTY_VERASE: 255, asyncssh.PTY_ECHO: 0, asyncssh.PTY_ICRNL: 1,
    asyncssh.PTY_IXON: 0, asyncssh.PTY_ONLCR: 0, asyncssh.PTY_VEOF: 26, asyncssh.PTY_OP_ISPEED: 1,
}  # fmt: skip


def test_modes_of_the_client(agent, event_loop_run):
    async def check(connection):
        done = await connection.run("stty -a", term_type="xterm", term_modes=MODES)
        plain = await connection.run("stty -a", term_type="xterm")
        return done.stdout.split(), plain.stdout.split()

    words, plain = event_loop_run(agent(), check)
    text = " ".join(words)
    for setting in ("intr = ^X;", "erase = <undef>;", "eof = ^Z;", "quit = ^\\;"):
        assert setting in text
    assert {"-echo", "-ixon", "-onlcr", "icrnl", "opost"} <= set(words)
    assert {"echo", "ixon", "onlcr", "iutf8"} <= set(plain), "without modes the kernel's own"


def test_modes_of_the_clients_own_terminal(agent, terminal):
    shell = terminal(agent(), "stty -a; exit 4", before="stty intr ^E -echoe")
    shell.expect("intr = \\^E;")
    shell.expect("-echoe")
    assert shell.wait() == 4


@pytest.mark.parametrize("typed", ["", "line\n", "half a line", "line\nhalf"])
@pytest.mark.parametrize("modes", [{}, {asyncssh.PTY_VEOF: 11}], ids=["^D", "another"])
def test_end_of_input_reaches_a_terminal(agent, event_loop_run, typed, modes):
    async def check(connection):
        process = await connection.create_process(
            "stty -echo; echo up; cat; exit 7", term_type="xterm", term_modes=modes
        )
        assert (await process.stdout.readline()).strip() == "up"
        process.stdin.write(typed)
        process.stdin.write_eof()
        done = await process.wait()
        return done.exit_status, done.stdout

    status, text = event_loop_run(agent(), check)
    assert (status, text.replace("\r", "")) == (7, typed)
