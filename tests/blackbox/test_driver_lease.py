# SPDX-License-Identifier: MIT
"""Durable jobs that write so fast that the agent's session reads their output itself."""

import hashlib
import os
import random
import signal
import threading

import pytest

from support.driver import BUILD_FAILURE
from support.processes import named, with_marker

PIECE = 8 << 20


def is_lent(session):
    """It holds the ends of the job's pipes."""
    try:
        with os.scandir(f"/proc/{session}/fd") as entries:
            return sum(os.readlink(entry.path).startswith("pipe:") for entry in entries) >= 2
    except (FileNotFoundError, ProcessLookupError):
        return False


class Reader(threading.Thread):
    """Takes a run stage's output while it may, and knows how much and which."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.total, self.hash = pipe, 0, hashlib.sha256()
        self.may_read = threading.Event()
        self.may_read.set()
        self.start()

    def run(self):
        while piece := os.read(self.pipe.fileno(), 1 << 18):
            self.total += len(piece)
            self.hash.update(piece)
            self.may_read.wait()


class FastJob:
    def __init__(self, job):
        job.prepare()
        self.job = job
        self.noise = random.Random(5).randbytes(PIECE)
        self.killed = set()
        self.file = job.home() / "noise"
        self.file.write_bytes(self.noise)

    def lent_session(self):
        sessions = set(named(self.job.agent_pid(), "berth-session")) - self.killed
        return next((pid for pid in sessions if is_lent(pid)), None)

    def wait_lent(self, until):
        return until(self.lent_session, 60, what="a session that reads the job's output")

    def kill_lent(self, until):
        session = self.wait_lent(until)
        self.killed.add(session)
        os.kill(session, signal.SIGKILL)
        seen = self.reader.total
        until(lambda: self.reader.total > seen, 20, what="output afterwards")

    def start(self, text):
        process = self.job.start(f"export MARK={self.file}\n{text.format(noise=self.file)}")
        self.reader = Reader(process.stdout)
        return process, self.reader

    def marked(self):
        return with_marker(f"MARK={self.file}".encode())

    def check(self, reader, pieces):
        reader.join(60)
        assert reader.total == pieces * PIECE
        wanted = hashlib.sha256()
        for _ in range(pieces):
            wanted.update(self.noise)
        assert reader.hash.digest() == wanted.digest()


@pytest.fixture
def fast(job):
    return FastJob(job)


def test_sessions_that_are_killed_while_they_read_lose_and_repeat_nothing(fast, until, programs):
    enough = fast.job.home() / "enough"
    process, reader = fast.start(f"while [ ! -e {enough} ]; do cat {{noise}}; done; exit 7")
    for _ in range(4 if programs.sanitized else 12):
        fast.kill_lent(until)
    enough.touch()
    assert process.wait(60) == BUILD_FAILURE
    assert fast.job.exit_code() == "7\n"
    reader.join(60)
    fast.check(reader, reader.total // PIECE)


def test_a_job_goes_on_when_its_reader_stops(fast, until):
    """What the spool takes need not wait for anybody, whoever filled it before."""
    done = fast.job.home() / "done"
    more = fast.job.home() / "more"
    process, reader = fast.start(
        f"while [ ! -e {more} ]; do cat {{noise}}; done; cat {{noise}} {{noise}}; : >{done}"
    )
    fast.wait_lent(until)
    reader.may_read.clear()
    more.touch()
    until(done.exists, 20, what="the job's end, with nobody who reads")
    reader.may_read.set()
    assert process.wait(20) == 0
    reader.join(20)
    fast.check(reader, reader.total // PIECE)


def test_both_streams_of_a_fast_job_are_whole(fast):
    process = fast.job.start(
        f"for i in 1 2 3 4 5 6; do cat {fast.file}; cat {fast.file} >&2; printf x; done; exit 3"
    )
    errors = Reader(process.stderr)
    output = Reader(process.stdout)
    assert process.wait(60) == BUILD_FAILURE
    for reader in (output, errors):
        reader.join(20)
    assert output.hash.digest() == hashlib.sha256((fast.noise + b"x") * 6).digest()
    assert errors.total >= 6 * PIECE  # the driver's own words come after them


def test_a_fast_job_that_closes_a_stream_ends_as_any_other(fast):
    process, reader = fast.start(f"exec 2>&-; cat {' '.join(['{noise}'] * 20)}; exit 4")
    assert process.wait(60) == BUILD_FAILURE
    assert fast.job.exit_code() == "4\n"
    fast.check(reader, 20)


def test_a_cancelled_fast_job_leaves_nothing(fast, until):
    process, _ = fast.start("while :; do cat {noise}; done")
    fast.wait_lent(until)
    process.terminate()
    process.wait(30)
    until(lambda: not fast.marked(), what="the job's end")


def test_a_lease_ends_when_the_job_falls_silent(fast, until):
    enough = fast.job.home() / "enough"
    process, _ = fast.start(f"while [ ! -e {enough} ]; do cat {{noise}}; done; exec sleep 1000")
    fast.wait_lent(until)
    enough.touch()
    until(lambda: not fast.lent_session(), what="the end of the lease")
    process.terminate()
    assert process.wait(30) != 0
