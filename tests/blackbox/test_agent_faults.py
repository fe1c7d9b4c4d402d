# SPDX-License-Identifier: MIT
"""An agent that is stopped, or has no descriptors, disk space or memory, or whose clock jumps.
Results stay correct, and the agent serves clients again when the fault is over."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import time

import paramiko
import pytest

from support import processes
from support.clients import read_all, run, start, transport
from support.jobwire import Job, LinkLost
from support.mounts import small_disk

MIB = 1 << 20


@contextlib.contextmanager
def stopped(started):
    """Init, sessions and monitors."""
    pids = processes.freeze(started.pid, lambda pid: processes.name(pid).startswith("berth-"))
    try:
        yield
    finally:
        processes.thaw(pids)


# The keepalive interval, and how long the agent is stopped.
STOPS = [("1s", 4)] + ([("15s", 60)] if os.environ.get("BERTH_TEST_FULL") == "1" else [])


@pytest.mark.parametrize(("keepalive", "stopped_s"), STOPS)
def test_a_stopped_agent_does_not_disconnect_its_clients(agent, ssh, keepalive, stopped_s):
    """Time passes, but it has sent no keepalives that the client could have answered."""
    started = agent(args=["--keepalive", keepalive, "--keepalive-count", "2"])
    process = ssh(started).start("echo up; read x; echo $x; exit 7")
    assert process.stdout.readline() == b"up\n"
    with stopped(started):
        time.sleep(stopped_s)  # longer than it waits for replies
    out, _ = process.communicate(b"still here\n", timeout=60)
    assert (out, process.returncode) == (b"still here\n", 7)
    assert "keepalive" not in started.log()


def test_a_stopped_agent_loses_no_output(agent, ssh):
    started = agent()
    # More than all buffers hold: the job cannot exit before the stop.
    last = 3_000_000
    process = ssh(started).start(f"seq 1 {last}; exit 7")
    assert process.stdout.read(2) == b"1\n"
    with stopped(started):
        time.sleep(1)
    rest = process.stdout.read()
    assert rest == "".join(f"{i}\n" for i in range(2, last + 1)).encode()
    assert process.wait(60) == 7


def test_a_stopped_agent_starts_no_resumable_job_twice(agent, client_key_path, tmp_path):
    """The driver times out meanwhile and attaches again."""
    mark, go = tmp_path / "mark", tmp_path / "go"
    started = agent(env={"MARK": str(mark), "GO": str(go)})
    key = paramiko.Ed25519Key.from_private_key_file(str(client_key_path))
    name = os.urandom(16).hex()
    script = b"echo started >>$MARK; echo one; until [ -e $GO ]; do sleep 1; done; echo two; exit 5"
    with Job(started.port, key) as job:
        job.start(name, "sh -s", script)
        job.step()
        with stopped(started):
            time.sleep(1.5)
            job.close()
    with Job(started.port, key, offsets=job.offsets) as again:
        again.start(name, "sh -s", script)
        go.touch()
        again.collect().release()
    assert (bytes(job.outputs[0]), bytes(again.outputs[0])) == (b"one\n", b"two\n")
    assert (again.exit, mark.read_text()) == ((5, ""), "started\n")


def ticks(pid):
    """Processor time of a process, in hundredths of a second."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_out_of_descriptors(agent, until):
    """Connections wait meanwhile; the agent does not spin or flood its log, and serves all."""
    started = agent(args=["--max-unauthenticated-per-address", "10"])
    with transport(started) as logged_in:
        run(logged_in, "exit 0")
        used = {int(name) for name in os.listdir(f"/proc/{started.pid}/fd")}
        lowest = min(set(range(len(used) + 1)) - used)
        resource.prlimit(started.pid, resource.RLIMIT_NOFILE, (lowest, 4096))
        with contextlib.ExitStack() as stack:
            waiting = stack.enter_context(socket.create_connection(("127.0.0.1", started.port)))
            until(lambda: "cannot accept a connection" in started.log(), 60)
            before = ticks(started.pid)
            waiting.settimeout(1)
            with contextlib.suppress(TimeoutError):
                assert waiting.recv(4) == b"", "refused, or left waiting"
            assert ticks(started.pid) - before < 20
            assert started.log().count("cannot accept a connection") == 1
            resource.prlimit(started.pid, resource.RLIMIT_NOFILE, (1024, 4096))
        assert run(logged_in, "exit 4")[0] == 4
        with transport(started) as link:
            assert run(link, "exit 5")[0] == 5


def test_a_full_disk_blocks_a_resumable_job_like_a_full_spool(agent, private_key, tmp_path):
    """The limit is 64 MiB, the disk has one: the job blocks until output is read, and no byte
    is lost."""
    disk = tmp_path / "disk"
    started = agent(before=small_disk(disk), args=["--spool-dir", str(disk)])
    with Job(started.port, private_key) as job:
        job.start(os.urandom(16).hex(), "seq 1 600000; exit 6")
        job.collect().release()
    assert job.exit == (6, "")
    assert bytes(job.outputs[0]) == "".join(f"{i}\n" for i in range(1, 600001)).encode()


def test_a_full_disk_refuses_a_job(agent, private_key, tmp_path, until):
    disk = tmp_path / "disk"
    started = agent(before=small_disk(disk), args=["--spool-dir", str(disk)])
    with transport(started) as link:
        assert run(link, f"head -c 2000000 /dev/zero >{disk}/filler; exit 0")[0] == 0
        with Job(started.port, private_key) as job:
            with pytest.raises(Exception, match="No space left on device"):
                job.start(os.urandom(16).hex(), "echo never")
            with pytest.raises(LinkLost):
                job.next()
        assert run(link, f"rm {disk}/filler; exit 0")[0] == 0
    with Job(started.port, private_key) as job:
        job.start(os.urandom(16).hex(), "echo now")
        assert job.collect().exit == (0, "")
        job.release()


def test_a_closed_log_stops_nothing(agent, tmp_path):
    disk = tmp_path / "disk"
    started = agent(before=small_disk(disk, f"2>{disk}/log"), args=["--log-level", "debug"])
    with transport(started) as link:
        assert run(link, f"head -c 2000000 /dev/zero >{disk}/filler; exit 0")[0] == 0
        for code in range(20):
            assert run(link, f"exit {code}")[0] == code
    assert started.terminate() == 0


@pytest.fixture
def stuck_pipe(tmp_path):
    """(path, descriptor) of a full named pipe without a reader: a blocked log driver."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x" * 4096)
    yield path, descriptor
    os.close(descriptor)


def read_everything(descriptor):
    text = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            text += os.read(descriptor, 65536)
    return text.lstrip(b"x").decode()


def test_a_blocked_log_stops_nothing(agent, stuck_pipe):
    """Jobs and shutdown go on; the number of lost lines is logged once the pipe is read."""
    path, descriptor = stuck_pipe
    started = agent(before=("bash", "-c", f'exec "$@" 2>{path}', "bash"), args=["--grace", "100s"])
    with transport(started) as link:
        for code in range(3):
            assert run(link, f"exit {code}")[0] == code
        assert read_everything(descriptor) == ""
        assert run(link, "exit 5")[0] == 5
    began = time.monotonic()
    assert started.terminate() == 0
    assert time.monotonic() - began < 50, "not the grace period"
    text = read_everything(descriptor)
    assert text.count("log lines were lost because the log was blocked\n") >= 2, (
        "init's and a session's"
    )
    assert "SIGTERM: stopping" in text and text.endswith("info: exiting with status 0\n")


def test_a_session_out_of_memory(agent, ssh, programs):
    if programs.sanitized:
        pytest.skip("the sanitizer needs more than the limit")
    started = agent()
    with transport(started) as link:
        ok = start(link, "cat; exit 9")
        before = set(processes.descendants(started.pid))
        process = ssh(started).start("echo up; cat")
        assert process.stdout.readline() == b"up\n"
        (session,) = [
            pid for pid in processes.descendants(started.pid) - before
            if processes.name(pid) == "berth-session"
        ]  # fmt: skip
        resource.prlimit(session, resource.RLIMIT_AS, (1 * MIB, 1 * MIB))
        with contextlib.suppress(OSError):
            process.stdin.write(b"x" * 20 * MIB)
        process.kill()
        ok.shutdown_write()
        assert (read_all(ok), ok.recv_exit_status()) == (b"", 9)
        assert run(link, "exit 8")[0] == 8
    with transport(started) as link:
        assert run(link, "exit 7")[0] == 7


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void)
{
    char text[32] = "";
    int fd = open(getenv("TEST_CLOCK_OFFSET"), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    return atol(text);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int result = real(id, now);
    if (id == CLOCK_REALTIME) {
        now->tv_sec += offset();
    }
    return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    (void)zone;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
"""


@pytest.mark.parametrize("hours", [1, -1, 24 * 365])
def test_a_clock_that_jumps(agent, ssh, programs, tmp_path, hours):
    """A preloaded library changes the wall clock; no deadline moves."""
    if not programs.sanitized:
        pytest.skip(
            "a static program's clock cannot be changed from outside; the sanitizer's build runs it"
        )
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed")
    library, source, offset = tmp_path / "clock.so", tmp_path / "clock.c", tmp_path / "offset"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    offset.write_text("0")
    started = agent(
        env={"LD_PRELOAD": str(library), "TEST_CLOCK_OFFSET": str(offset),
             "ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"},
        args=["--keepalive", "1s", "--keepalive-count", "3", "--idle-timeout", "5s",
              "--grace", "1s", "--log-format", "json"],
    )  # fmt: skip
    process = ssh(started).start("echo up; read x; date +%s; exit 7")
    assert process.stdout.readline() == b"up\n"
    offset.write_text(str(hours * 3600))
    time.sleep(3)  # three keepalives, answered
    out, _ = process.communicate(b"go on\n", timeout=60)
    assert process.returncode == 7
    assert abs(int(out) - time.time() - hours * 3600) < 60, "the job saw the other time"
    began = time.monotonic()
    assert started.wait(60) == 0
    assert time.monotonic() - began > 2, "idle for five seconds of real time"
    assert "--idle-timeout" in started.log()


def test_a_claim_that_init_does_not_get_is_not_refused_as_unknown(agent):
    """A refused subsystem is the reply of an agent without claims; the client then goes on."""
    started = agent(args=["--claim-timeout", "1h"])
    with transport(started) as client:
        assert processes.freeze(started.pid, lambda pid: pid == started.pid) == {started.pid}
        try:
            with pytest.raises((paramiko.SSHException, EOFError)):
                for _ in range(5000):  # more than the socket to init holds
                    with client.open_session(timeout=60) as channel:
                        channel.invoke_subsystem("berth-claim")
            client.join(60)
            assert not client.is_active()
            assert "cannot report the claim of this task to init" in started.log()
        finally:
            processes.thaw([started.pid])
