# SPDX-License-Identifier: MIT
"""Tasks that send wrong reports: the first report counts, and unexpected frames are errors.

The rude server really runs the script; the cases are the reports that it sends.
"""

import functools
import struct
import time

import pytest

from support import jobwire
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.rude_server import (
    RUN,
    UNKNOWN,
    Command,
    Place,
    RudeServer,
    channel_message,
    exit_signal,
    exit_status,
)

SCRIPT = "echo out; echo err >&2; exit 3"


@pytest.fixture
def rude(job):
    """rude(subsystem, command, ...): a prepared job whose task is that server."""
    servers = []

    def start(subsystem=None, command=None, **how):
        place_of = functools.partial(Place, job)
        servers.append(RudeServer(place_of, subsystem, command, **how))
        job.driver.settings.setdefault("SSH", {"ReattachTimeout": 0})
        job.prepare()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def listening(function):
    """Plays a job with 'function', then reads what the driver still sends."""

    def play(link):
        function(link)
        link.listen()

    return play


def after_exit(tell):
    @listening
    def play(link):
        link.exit(link.honest_start())
        tell(link)

    return play


@pytest.mark.parametrize(
    "tell",
    [
        lambda link: link.exit(0),
        lambda link: link.output(b"more\n"),
        lambda link: link.refused(),
        lambda link: link.notice(),
        lambda link: link.send(200, b"what"),
        lambda link: link.started(),
        lambda link: link.drop(),
    ],
    ids=["another exit", "output", "refusal", "notice", "nonsense", "start", "drop"],
)
def test_nothing_counts_after_the_exit(job, rude, tell):
    rude(after_exit(tell))
    done = job.run(SCRIPT)
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "3\n"), done.stderr
    assert done.stdout.startswith(b"out\n") and b"more" not in done.stdout


# Wrong frames of an agent, given the job's output and the frames that are right.
def exit_before_start(link):
    link.run()
    link.exit(0, totals=(0, 0))


def less_than_was_sent(link):
    link.honest_start()
    link.exit(0, totals=(link.offsets[0] - 1, link.offsets[1]))


def more_than_was_sent(link):
    link.honest_start()
    link.exit(0, totals=(link.offsets[0], link.offsets[1] + 1))


def output_before_start(link):
    link.run()
    link.output(b"early\n")
    link.started()
    link.exit(0)


def output_with_a_gap(link):
    link.honest_start()
    link.output(b"wrong\n", 0, link.offsets[0] + 1)
    link.exit(0)


def output_again(link):
    link.honest_start()
    link.output(b"wrong\n", 0, 0)
    link.exit(0)


def output_of_another_stream(link):
    link.honest_start()
    link.output(b"wrong\n", 2, 0)
    link.exit(0)


def start_twice(link):
    link.honest_start()
    link.started(*link.offsets)
    link.exit(0)


def start_elsewhere(link):
    link.run()
    link.started(1, 0)
    link.exit(0, totals=(1, 0))


def exit_after_the_end(link):
    link.honest_start()
    link.channel.shutdown_write()
    message = jobwire.encode(jobwire.EXIT, bytes(4 + 5 * 8) + b"".join(
        offset.to_bytes(8, "big") for offset in link.offsets))  # fmt: skip
    channel_message(link.channel, 94, message)


@pytest.mark.parametrize(
    "lie",
    [
        exit_before_start, less_than_was_sent, more_than_was_sent,
        output_before_start, output_with_a_gap, output_again, output_of_another_stream,
        start_twice, start_elsewhere, exit_after_the_end,
    ],
)  # fmt: skip
def test_a_frame_out_of_place_is_a_system_failure(job, rude, lie):
    rude(listening(lie))
    done = job.run(SCRIPT)
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert job.exit_code() is None
    assert b"wrong" not in done.stdout and b"early" not in done.stdout
    assert b"peak memory" not in done.stdout


def test_a_start_before_the_whole_script_came_is_a_system_failure(job, rude):
    def play(link):
        assert link.next()[0] in (jobwire.START, RUN)  # the rest is more than the window takes
        link.started()
        link.exit(0)

    rude(play)
    done = job.run(": " + "x" * (8 << 20) + "\nexit 0\n")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert "unexpected frame" in done.stderr


def second_link(again):
    """A job whose first connection is lost after two thirds of its output."""

    def play(link):
        if link.number > 2:  # 'prepare' was the first
            again(link)
        else:
            link.honest_start()
            link.drop()
        link.listen()

    return play


def test_an_attach_at_another_offset_writes_nothing(job, rude):
    job.driver.settings["SSH"] = {"ReattachTimeout": "20s"}

    def again(link):
        kind, offsets = link.introduction()
        assert kind == jobwire.ATTACH
        link.started(offsets[0] - 6, offsets[1], jobwire.ATTACHED)
        link.offsets = [offsets[0] - 6, offsets[1]]
        link.output(b"56789\nwrong\n")
        link.exit(0)

    server = rude(second_link(again))
    done = job.run("echo 0123456789")
    assert (done.returncode, done.stdout) == (SYSTEM_FAILURE, b"0123456789\n"), done.stderr
    assert "resumed the output at another offset" in done.stderr and job.exit_code() is None
    assert server.connections == 3


def test_a_second_start_of_a_job_is_refused(job, rude):
    """STARTED as the answer to ATTACH: the script runs a second time."""
    job.driver.settings["SSH"] = {"ReattachTimeout": "20s"}

    def again(link):
        _, offsets = link.introduction()
        link.started(*offsets)
        link.offsets = list(offsets)
        link.output(b"wrong\n")
        link.exit(0)

    rude(second_link(again))
    done = job.run("echo 0123456789")
    assert (done.returncode, done.stdout) == (SYSTEM_FAILURE, b"0123456789\n"), done.stderr


@pytest.mark.parametrize("answered", [True, False], ids=["started", "unanswered"])
def test_a_subsystem_that_is_refused_later_never_starts_the_script_again(job, rude, answered):
    """The first connection takes the whole script; the next server has only plain commands."""
    job.driver.settings["SSH"] = {"ReattachTimeout": "2s"}

    def play(link):
        link.run()
        if answered:
            link.started()
            link.output(b"once\n")
        server.subsystem = None
        link.drop()

    def command(channel, words, number):
        Command(channel, words).wait()
        exit_status(channel, 0)
        channel.close()

    server = rude(play, command)
    ran = job.directory / "ran"
    done = job.run(f"echo ran >>{ran}; exit 0")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert server.commands == [] and server.connections > 3
    assert ran.read_text() == "ran\n"
    assert job.exit_code() is None


@pytest.mark.waits
@pytest.mark.parametrize("status", [0, 1])
def test_a_notice_of_the_agent_is_a_system_failure(job, rude, status):
    """Whatever the script returned, and though the backend reports the task as running."""

    def play(link):
        link.honest_start()
        link.notice()
        link.exit(status)

    rude(listening(play))
    job.driver.settings["LogLevel"] = "debug"
    done = job.run(SCRIPT)
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert job.exit_code() is None
    assert "the task was stopped while stage" in done.stderr
    assert "the task is reported to stop" in done.stderr


def test_notices_do_not_fill_the_log(job, rude):
    def play(link):
        status = link.honest_start()
        for _ in range(500):
            link.notice("\x1b[31mred", 0)
        link.exit(status)

    rude(listening(play))
    done = job.run("exit 0")
    assert done.returncode == 0 and 1 <= done.stderr.count("red") <= 20
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "usage, reported",
    [
        ((UNKNOWN,) * 5, b""),
        ((UNKNOWN >> 1,) * 5, b""),
        ((UNKNOWN, 1 << 30, 1 << 30, UNKNOWN, UNKNOWN), b"berth: peak memory 1.0 of 1.0 GiB\n"),
        ((2000, UNKNOWN, UNKNOWN, UNKNOWN, 0), b"berth: 2.0 CPU s\n"),
    ],
)
def test_figures_that_are_not_known_are_not_printed(job, rude, usage, reported):
    def play(link):
        link.exit(link.honest_start(), usage=usage)

    rude(listening(play))
    done = job.run("echo out")
    assert (done.returncode, done.stdout) == (0, b"out\n" + reported), done.stderr


# --- a plain SSH server ---


def first_then(second):
    def play(channel, words, number):
        exit_status(channel, Command(channel, words).wait())
        second(channel)
        channel.shutdown_write()
        channel.close()

    return play


@pytest.mark.parametrize(
    "second",
    [
        lambda channel: exit_status(channel, 0),
        lambda channel: exit_signal(channel, "KILL"),
        lambda channel: (exit_status(channel, 4), exit_status(channel, 0)),
    ],
    ids=["status 0", "signal", "two more"],
)
def test_the_first_exit_status_counts(job, rude, second):
    rude(None, first_then(second))
    done = job.run(SCRIPT)
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "3\n"), done.stderr
    assert b"out\n" in done.stdout


def test_a_signal_that_came_first_counts(job, rude):
    def play(channel, words, number):
        Command(channel, words).wait()
        exit_signal(channel, "SEGV")
        exit_status(channel, 0)
        channel.shutdown_write()

    rude(None, play)
    done = job.run(SCRIPT)
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "139\n"), done.stderr


def test_output_after_its_end_is_not_written(job, rude):
    def play(channel, words, number):
        status = Command(channel, words).wait()
        channel_message(channel, 96)
        channel_message(channel, 94, "more\n")
        exit_status(channel, status)
        channel_message(channel, 94, "and more\n")
        channel_message(channel, 97)

    rude(None, play)
    done = job.run(SCRIPT)
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "3\n"), done.stderr
    assert b"out\n" in done.stdout and b"more" not in done.stdout


@pytest.mark.parametrize("early", ["exit", "output"])
def test_what_comes_before_the_command_is_no_result(job, rude, early):
    opened = []

    def open_(channel):
        opened.append(channel)
        if len(opened) == 1:  # the subsystem's, which is refused
            return
        if early == "exit":
            exit_status(channel, 0)
        else:
            channel_message(channel, 94, "early\n")

    def play(channel, words, number):
        exit_status(channel, Command(channel, words).wait())
        channel.shutdown_write()

    rude(None, play, opened=open_)
    done = job.run("exit 0")
    assert len(opened) == 2
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert job.exit_code() is None and b"early" not in done.stdout


def test_an_agent_that_reads_late_gets_one_acknowledgement(job, rude):
    """Its window is full of those of single bytes; of the others only the newest comes."""
    window, pieces = 256, 60
    acknowledged = []

    def play(link):
        status = link.honest_start()
        for _ in range(pieces):
            link.output(b"x")
            time.sleep(0.03)  # the pace under test: longer than an acknowledgement is delayed
        while not acknowledged or acknowledged[-1] != tuple(link.offsets):
            kind, payload = link.next()
            assert kind == jobwire.ACK
            acknowledged.append(struct.unpack(">QQ", payload))
        link.exit(status)
        link.listen()

    server = rude(play)
    server.authenticating = lambda link: setattr(link, "default_window_size", window)
    done = job.run(SCRIPT)
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "3\n"), done.stderr
    assert done.stdout.endswith(b"x" * pieces)
    assert len(acknowledged) <= window // len(jobwire.encode(jobwire.ACK, bytes(16))) + 4
