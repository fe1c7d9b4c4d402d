# SPDX-License-Identifier: MIT
"""Processes: how a job starts, what stops it, leftovers, reaping."""

import asyncio
import contextlib
import ctypes
import math
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support import processes
from support.clients import read_all, run, start, transport
from support.jobwire import Job

MNT_DETACH = 2
ENDS_AT_ONCE_S = 50.0  # takes under 1 s on an idle machine
LONG_GRACE = ["--grace", "100s"]


def status_field(text, name):
    return text.split(f"{name}:")[1].split()[0]


@pytest.mark.parametrize("before", [(), ("env", "--ignore-signal", "--block-signal")],
                         ids=["clean", "all ignored and blocked"])  # fmt: skip
def test_signals_of_a_job_are_standard(agent, before):
    started = agent(before=before)
    with transport(started) as link:
        _, text = run(link, "exec cat /proc/self/status")
    for name in ("SigIgn", "SigBlk", "SigCgt", "SigPnd", "ShdPnd"):
        assert int(status_field(text.decode(), name), 16) == 0, name


def test_descriptors_of_a_job(agent):
    with transport(agent()) as link:
        code, text = run(link, "exec ls -l /proc/self/fd")
        assert code == 0
        names = [line.split()[8] for line in text.decode().splitlines()[1:]]
        assert names == ["0", "1", "2", "3"], "3 is ls's own"


def test_inherited_descriptors_are_closed(agent, tmp_path):
    """No job gets a descriptor that the container runtime left open."""
    opened = f'exec 9<{tmp_path}; exec "$@"'
    with transport(agent(before=("bash", "-c", opened, "bash"))) as link:
        _, text = run(link, "ls -l /proc/$$/fd")
        assert str(tmp_path).encode() + b"\n" not in text


def test_job_is_a_session_leader(agent):
    with transport(agent()) as link:
        _, text = run(link, "cut -d' ' -f1,5,6 /proc/$$/stat")
        assert len(set(text.split())) == 1


def test_environment_of_a_job(agent):
    started = agent(env={"IMAGE_SETTING": "a b\nc", "BERTH_LISTEN": "127.0.0.1:1",
                         "BERTH_ANYTHING": "x", "AWS_REGION": "eu-north-1"})  # fmt: skip
    with transport(started) as link:
        _, text = run(link, "exec env -0")
    found = dict(entry.split("=", 1) for entry in text.decode().split("\0") if entry)
    assert found["IMAGE_SETTING"] == "a b\nc" and found["AWS_REGION"] == "eu-north-1"
    assert found["SSH_CONNECTION"].startswith("127.0.0.1 ")
    assert "PATH" in found and "HOME" in found
    assert not [name for name in found if name.startswith("BERTH_") or name == "SSH_PUBLIC_KEY"]


def test_an_empty_environment(agent):
    started = agent(env=dict.fromkeys(("PATH", "HOME", "USER", "LOGNAME", "SHELL")))
    with transport(started) as link:
        _, text = run(link, "exec /usr/bin/env")
    names = {line.split(b"=")[0] for line in text.splitlines()}
    assert names >= {b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL"}


def test_no_secrets_in_jobs_and_proc(agent, client_key):
    started = agent(args=["--log-level", "debug"], env={"BERTH_SECRET": "not-for-jobs"})
    with transport(started) as link:
        channel = start(link, "echo up; sleep 30")
        assert channel.recv(3) == b"up\n"
        pids = {started.pid} | started.jobs()
        assert len(pids) >= 4, "init, session, monitor, job"
        seen = b"".join(processes.environment(pid) for pid in pids)
        seen += b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)
        assert b"TEST_AGENT_MARKER" in seen, "the test itself must be able to see something"
    seen += started.log().encode()
    for secret in (client_key.public.split()[1], started.host_key.seed_base64, "not-for-jobs"):
        assert secret.encode() not in seen


def test_agent_is_not_dumpable(agent):
    """Only root may inspect it: its files in /proc belong to root."""
    started = agent(before=("setpriv", "--reuid=65534", "--clear-groups"),
                    env={"HOME": "/", "USER": "nobody"})  # fmt: skip
    assert os.stat(f"/proc/{started.pid}/environ").st_uid == 0


def test_leftovers_run_until_the_agent_exits(agent, ssh, until):
    started = agent()
    done = ssh(started).run("setsid sleep 300 >/dev/null 2>&1 & nohup sleep 301 & echo $!")
    assert done.returncode == 0
    left = int(done.stdout)
    until(lambda: b"301" in Path(f"/proc/{left}/cmdline").read_bytes(), 60, "exec")
    assert ssh(started).run("true").returncode == 0
    assert processes.alive(left)
    assert started.terminate() == 0
    assert not processes.alive(left) and not processes.with_marker(started.marker)


TREES = {
    "simple": "echo up; sleep 60",
    "children": "sleep 61 & (sleep 62 & sleep 63) & echo up; wait",
    "daemon": "setsid -f sleep 64; (setsid -f sh -c 'sleep 65 & echo up; wait'); exec sleep 66",
    "ignores TERM": "trap '' TERM INT HUP; sleep 67 & echo up; "
                    "while :; do sleep 0.1; done",
    "stopped": "sleep 68 & kill -STOP $!; echo up; wait",
    "stopped shell": "echo up; kill -STOP $$; sleep 60",
    "tail of a pipe": "echo up; yes | sleep 69",
}  # fmt: skip


@pytest.mark.parametrize("tree", TREES)
def test_signal_term_ends_the_tree_before_the_report(agent, event_loop_run, tree):
    """Processes that do not ignore TERM exit at once, even stopped ones."""
    ignores = tree == "ignores TERM"
    started = agent(args=["--grace", "500ms" if ignores else "30s"])

    async def check(connection):
        process = await connection.create_process(TREES[tree])
        assert await process.stdout.readline() == "up\n"
        process.send_signal("TERM")
        await asyncio.wait_for(process.wait_closed(), 15)
        left = job_processes(started)
        return process.exit_status, process.exit_signal, left

    status, name, left = event_loop_run(started, check)
    assert left == []
    assert (status, name[0]) == (-1, "KILL" if ignores else "TERM")


def test_repeated_term_does_not_change_the_grace_period(agent, event_loop_run):
    started = agent(args=["--grace", "500ms"])

    async def check(connection):
        process = await connection.create_process(TREES["ignores TERM"])
        assert await process.stdout.readline() == "up\n"
        for _ in range(100):
            process.send_signal("TERM")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait_closed()), 0.1)
                return process.exit_signal[0]
        return "none while TERM came"

    assert event_loop_run(started, check) == "KILL"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "KILL"])
def test_a_signal_that_kills_the_shell_leaves_nothing(agent, event_loop_run, name):
    """Not even processes outside the shell's process group."""
    started = agent(args=["--grace", "30s"])
    detached = "setsid sleep 77 </dev/null >/dev/null 2>&1 &"

    async def check(connection):
        process = await connection.create_process(
            f"ulimit -c 0; {detached} exec tail -f /etc/passwd"
        )
        await process.stdout.readline()
        process.send_signal(name)
        await asyncio.wait_for(process.wait_closed(), 15)
        return process.exit_signal[0], job_processes(started)

    assert event_loop_run(started, check) == (name, [])


@pytest.mark.parametrize("name", ["INT", "HUP", "QUIT", "USR1"])
def test_only_term_starts_the_grace_period(agent, event_loop_run, name):
    """A job may handle the other signals and keep running."""

    async def check(connection):
        process = await connection.create_process(
            f"trap 'echo got it' {name}; echo up; while :; do sleep 0.05; done"
        )
        assert await process.stdout.readline() == "up\n"
        process.send_signal(name)
        assert await process.stdout.readline() == "got it\n"
        await asyncio.sleep(0.6)  # time in which nothing must happen
        process.send_signal(name)
        assert await process.stdout.readline() == "got it\n"
        process.send_signal("TERM")
        await process.wait_closed()
        return process.exit_signal[0]

    assert event_loop_run(agent(args=["--grace", "300ms"]), check) == "TERM"


LATE = {
    "KILL to what outlives the shell": (
        "trap 'exit 3' TERM; "  # no 'wait', before which a shell can miss the signal
        "setsid sh -c \"trap '' TERM; echo $$; while :; do sleep 0.1; done\" & "
        "while :; do sleep 0.05; done",
        ["TERM", "KILL"], 3),
    "TERM to what keeps the output open": (
        "echo $$; (while :; do echo more; sleep 0.02; done) & exit 5", ["TERM"], 5),
}  # fmt: skip


@pytest.mark.parametrize(("script", "signals", "status"), LATE.values(), ids=LATE.keys())
def test_signals_after_the_shell_has_exited(agent, event_loop_run, script, signals, status):
    started = agent(args=LONG_GRACE)

    async def check(connection):
        process = await connection.create_process(script)
        shell = int(await process.stdout.readline())
        for name in signals[:-1]:
            process.send_signal(name)
        while processes.alive(shell):
            await asyncio.sleep(0.02)
        process.send_signal(signals[-1])
        await asyncio.wait_for(process.wait_closed(), ENDS_AT_ONCE_S)
        return process.exit_status, job_processes(started)

    assert event_loop_run(started, check) == (status, [])


def job_processes(started):
    """Command lines of jobs, without the agent's processes.

    A process without one, '?', is exiting: a monitor that has just reported.
    """
    lines = [processes.command_line(pid) for pid in started.jobs() if processes.alive(pid)]
    return [line for line in lines if line != "?" and "berth-agent" not in line]


# RFC 4254, section 6.10.
NAMES = ["ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1",
         "USR2"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_exit_signal_has_the_signals_name(agent, event_loop_run, name):
    async def check(connection):
        # Bash ignores QUIT.
        done = await connection.run(f"ulimit -c 0; exec sh -c 'kill -{name} $$'")
        return done.exit_signal[0]

    assert event_loop_run(agent(), check) == name


def test_status_of_a_signal_without_a_name_in_ssh(agent, event_loop_run):
    async def check(connection):
        return (await connection.run("ulimit -c 0; kill -XCPU $$")).exit_status

    assert event_loop_run(agent(), check) == 128 + signal.SIGXCPU


@pytest.mark.parametrize("name", NAMES)
def test_signals_by_name(agent, event_loop_run, name):
    async def check(connection):
        # One process that writes and stays: a shell that has just forked may miss an INT or QUIT.
        process = await connection.create_process("ulimit -c 0; exec tail -f /etc/passwd")
        await process.stdout.readline()
        process.send_signal(name)
        await process.wait_closed()
        return process.exit_signal[0]

    assert event_loop_run(agent(), check) == name


def test_handled_signal(agent, event_loop_run):
    async def check(connection):
        process = await connection.create_process(
            "trap 'echo got it' USR2; echo up; while :; do sleep 0.05; done"
        )
        await process.stdout.readline()
        for name in ("USR2", "NONSENSE", "KILL@example.com", ""):
            process.send_signal(name)
        line = await process.stdout.readline()
        process.send_signal("TERM")
        await process.wait_closed()
        return line

    assert event_loop_run(agent(), check) == "got it\n"


def test_exit_during_a_signal_is_reported_correctly(agent, event_loop_run):
    """The monitor may exit with signals of the client unread; it was not killed."""

    async def check(connection):
        for number in range(1, 41):
            process = await connection.create_process(
                f"trap 'exit {number}' USR2; echo up; while :; do sleep 0.01; done"
            )
            assert await process.stdout.readline() == "up\n"
            for _ in range(20 * (number % 20) + 20):  # at once: some arrive after the exit
                process.send_signal("USR2")
            await process.wait_closed()
            assert (process.exit_status, process.exit_signal) == (number, None)

    started = agent()
    event_loop_run(started, check)
    assert "monitor was killed" not in started.log()


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_a_vanished_client_stops_the_tree(agent, ssh, until, tree):
    started = agent(args=["--grace", "500ms"])
    process = ssh(started).start(tree)
    assert process.stdout.read(3) == b"up\n"
    process.kill()
    until(lambda: not started.jobs(), 60, "the session, its monitor and the job to be gone")


def test_a_killed_session_stops_only_its_jobs(agent, ssh, until):
    started = agent()
    first, second = ssh(started).start("echo up; sleep 60"), ssh(started).start("echo up; cat")
    assert first.stdout.read(3) == second.stdout.read(3) == b"up\n"
    sessions = processes.named(started.pid, "berth-session")
    assert len(sessions) == 2
    os.kill(min(sessions), signal.SIGKILL)
    ended = until(lambda: first.poll() is not None or second.poll() is not None, 60)
    assert ended
    until(lambda: len(started.jobs()) == 3, 60, "one session, one monitor and one job")
    until(lambda: "was killed by signal 9" in started.log())


def test_a_killed_monitor_is_reported(agent, ssh, until):
    started = agent()
    process = ssh(started).start("echo up; sleep 60")
    assert process.stdout.read(3) == b"up\n"
    (monitor,) = processes.named(started.pid, "berth-job")
    os.kill(monitor, signal.SIGKILL)
    assert process.wait(60) == 255, "ssh's status of an exit signal"
    assert "monitor was killed" in started.log()
    assert ssh(started).run("exit 5").returncode == 5


def children(pid):
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill_monitor_early(started, level):
    """Kills the newest monitor as soon as it exists (0), or has its job as a child (1)."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for pid in children(started.pid):
            if processes.name(pid) == "berth-job" and (level == 0 or children(pid)):
                os.kill(pid, signal.SIGKILL)
                return
    raise AssertionError("no monitor was seen")


@pytest.mark.parametrize("level", [0, 1])
def test_a_monitor_killed_during_startup(agent, until, level):
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        pytest.skip("this kernel has no list of children in /proc")
    started = agent()
    with transport(started) as link:
        for number in range(25):
            channel = link.open_session()
            killer = threading.Thread(target=kill_monitor_early, args=(started, level))
            killer.start()
            channel.exec_command(f"exec sleep {300 + number}")
            killer.join()
            channel.close()
        until(lambda: not sleepers(started), 60, "the end of the killed monitors' jobs")
    assert "was killed by signal 9" in started.log()


def sleepers(started):
    return [pid for pid in started.jobs() if "sleep" in processes.command_line(pid)]


def sessions_of(pids):
    found = set()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            found.add(os.getsid(pid))
    return found


ORPHANED = {
    "runs": "trap 'echo cleaned >$MARK; exit' TERM; : >$READY; while :; do sleep 0.1; done",
    "stopped": "trap 'echo cleaned >$MARK; exit' TERM; : >$READY; "
               "kill -STOP $$; while :; do sleep 0.1; done",
    "ignores TERM": "trap '' TERM; : >$READY; while :; do sleep 0.1; done",
}  # fmt: skip


def stop_with_a_detached(agent, ssh, until, directory, orphan):
    """Seconds until the agent has stopped with such a process of a killed monitor's job."""
    ignores = orphan == "ignores TERM"
    directory.mkdir()
    mark, ready = directory / "mark", directory / "ready"
    started = agent(
        args=["--grace", "500ms"] if ignores else LONG_GRACE,
        env={"MARK": str(mark), "READY": str(ready), "SCRIPT": ORPHANED[orphan]},
    )
    detach = '(setsid sh -c "$SCRIPT" </dev/null >/dev/null 2>&1 &); (setsid sleep 301 &)'
    process = ssh(started).start(f"{detach}; echo up; exec sleep 300")
    assert process.stdout.read(3) == b"up\n"
    until(ready.exists, 60, "the one that was detached")
    until(lambda: len(sessions_of(sleepers(started))) >= 2, 60, "one that left the job's session")
    (monitor,) = processes.named(started.pid, "berth-job")
    os.kill(monitor, signal.SIGKILL)
    assert process.wait(60) == 255
    assert len(job_processes(started)) >= 2, "what it detached still runs"
    began = time.monotonic()
    assert started.terminate() == 0
    took = time.monotonic() - began
    assert not processes.with_marker(started.marker)
    assert mark.exists() == (not ignores)
    return took


@pytest.mark.parametrize("orphan", ["runs", "stopped"])
def test_detached_processes_of_a_killed_monitors_job_stop_with_the_agent(
    agent, ssh, until, tmp_path, orphan
):
    """By SIGTERM. The agent is not PID 1 here, but as a subreaper it finds the process."""
    took = stop_with_a_detached(agent, ssh, until, tmp_path / "0", orphan)
    assert took < ENDS_AT_ONCE_S


def test_detached_processes_that_ignore_sigterm(agent, ssh, until, tmp_path):
    """Half a second of grace, not two more. A busy machine adds to it: hence the least of some."""
    took = math.inf
    for number in range(8):
        again = stop_with_a_detached(agent, ssh, until, tmp_path / str(number), "ignores TERM")
        took = min(took, again)
        if took < 2.4:
            break
    assert took < 2.4


def test_stop_of_an_idle_agent(agent, ssh):
    started = agent(args=LONG_GRACE)
    assert ssh(started).run("true").returncode == 0
    began = time.monotonic()
    assert started.terminate() == 0
    assert time.monotonic() - began < ENDS_AT_ONCE_S


def test_stop_right_after_a_job(agent):
    """The job's exit and SIGTERM may reach its monitor together."""
    for _ in range(12):
        started = agent(args=LONG_GRACE)
        with transport(started) as link:
            for code in range(4):
                assert run(link, f"exit {code}")[0] == code
        began = time.monotonic()
        assert started.terminate() == 0
        assert time.monotonic() - began < ENDS_AT_ONCE_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_reports_to_the_clients(agent, number):
    started = agent(args=LONG_GRACE)
    with transport(started) as link:
        # The shell can miss a signal between 'up' and 'wait', but not that the child has ended.
        channel = start(link, "trap 'echo bye; exit 33' TERM; sleep 60 & echo up; wait")
        assert channel.recv(3) == b"up\n"
        started.process.send_signal(number)
        assert read_all(channel) == b"bye\n"
        assert channel.recv_exit_status() == 33
    assert started.wait(ENDS_AT_ONCE_S) == 0


def stop_again_and_again(started, deadline_s=ENDS_AT_ONCE_S):
    """Sends SIGTERM ten times a second until the agent has exited; returns the time."""
    began = time.monotonic()
    while time.monotonic() < began + deadline_s:
        started.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert started.wait(0.1) == 0
            return time.monotonic() - began
    raise AssertionError(f"the agent still runs {deadline_s} s after its first SIGTERM")


def test_stop_with_a_job_that_ignores_term(agent, event_loop_run):
    """Repeated SIGTERM does not change the grace period, and the client gets the result."""
    started = agent(args=["--grace", "1s"])

    async def check(connection):
        process = await connection.create_process(TREES["ignores TERM"])
        assert await process.stdout.readline() == "up\n"
        stop = asyncio.to_thread(stop_again_and_again, started)
        took, _ = await asyncio.gather(stop, process.wait_closed())
        return took, process.exit_signal

    took, reported = event_loop_run(started, check)
    assert reported is not None and reported[0] == "KILL"
    assert 0.9 < took < 1 + ENDS_AT_ONCE_S
    assert not processes.with_marker(started.marker)


def test_stop_with_a_resumable_job_that_ignores_term(agent, private_key):
    started = agent(args=["--grace", "1s"])
    with Job(started.port, private_key) as job:
        job.start(os.urandom(16).hex(), TREES["ignores TERM"])
        job.step()
        stopper = threading.Thread(target=stop_again_and_again, args=(started,))
        stopper.start()
        try:
            assert job.collect(ENDS_AT_ONCE_S).exit == (128 + signal.SIGKILL, "KILL")
        finally:
            stopper.join()
    assert not processes.with_marker(started.marker)


def test_stop_with_connections_that_never_logged_in(agent):
    started = agent(args=LONG_GRACE)
    with socket.create_connection(("127.0.0.1", started.port)) as link:
        assert link.recv(4) == b"SSH-"
        began = time.monotonic()
        assert started.terminate() == 0
        assert time.monotonic() - began < ENDS_AT_ONCE_S


@pytest.mark.parametrize("count", [0, 1, 3])
def test_stop_with_channels_without_a_job(agent, count):
    started = agent(args=LONG_GRACE)
    with transport(started) as link:
        channels = [link.open_session(timeout=60) for _ in range(count)]
        began = time.monotonic()
        assert started.terminate() == 0
        assert time.monotonic() - began < ENDS_AT_ONCE_S
        assert [channel.recv_exit_status() for channel in channels] == [-1] * count


@pytest.mark.parametrize("kind, least, most", [("plain", 0.9, 40), ("resumable", 0, 40)])
def test_stop_with_a_client_that_does_not_read(agent, ssh, private_key, until, kind, least, most):
    """The job exits at once; its last output waits for the client during the grace period."""
    started = agent(args=["--grace", "1s"])
    if kind == "plain":
        process = ssh(started).start("cat /dev/zero")
        assert process.stdout.read(1) == b"\0"
        process.send_signal(signal.SIGSTOP)
        close = process.kill
    else:
        job = Job(started.port, private_key, acknowledge=False)
        job.start(os.urandom(16).hex(), "cat /dev/zero")
        close = job.close
    try:
        # Output that fits the socket buffers causes no wait.
        until(lambda: processes.stand_still(started.jobs()), 60, "the job to block")
        began = time.monotonic()
        assert started.terminate() == 0
        assert least < time.monotonic() - began < most
    finally:
        close()
    assert "after the grace period" not in started.log()


@pytest.fixture
def hung_directory(tmp_path_factory):
    """A file system whose server never replies, such as unreachable storage."""
    place = tmp_path_factory.mktemp("hung")
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"test", bytes(place), b"fuse", 0, options) != 0:
        os.close(device)
        pytest.skip(f"no FUSE here: {os.strerror(ctypes.get_errno())}")
    yield place
    os.close(device)  # waiting processes get an error, after a moment
    assert libc.umount2(bytes(place), MNT_DETACH) == 0


@pytest.mark.waits
def test_a_job_whose_storage_hangs(agent, ssh, until, hung_directory):
    """It fails with a reason, and later jobs run."""
    started = agent(env={"HOME": str(hung_directory)})
    process = ssh(started).start("echo never")
    assert process.wait(100) == 126
    assert process.stdout.read() == b""
    assert re.search(rb"cannot start the command: .* timed out\n", process.stderr.read())
    until(lambda: not started.jobs(), 60, "the job to be gone")
    assert started.terminate() == 0


def test_a_killed_agent_stops_its_jobs(agent, ssh, until):
    started = agent(args=["--grace", "500ms"])
    process = ssh(started).start(TREES["children"])
    assert process.stdout.read(3) == b"up\n"
    started.process.kill()
    started.wait()
    until(lambda: not processes.with_marker(started.marker), 60, "all jobs to be gone")


def own_children_are_reaped_here(agent_pid):
    return [pid for pid in processes.descendants(agent_pid, True) if processes.zombie(pid)]


def test_stop_kills_orphans_of_a_killed_monitor(agent, ssh):
    started = agent(args=LONG_GRACE)
    process = ssh(started).start("sleep 200 & echo up; wait")
    assert process.stdout.read(3) == b"up\n"
    (monitor,) = processes.named(started.pid, "berth-job")
    os.kill(monitor, signal.SIGKILL)
    assert process.wait(60) == 255
    began = time.monotonic()
    assert started.terminate() == 0
    assert not processes.with_marker(started.marker)
    assert time.monotonic() - began < ENDS_AT_ONCE_S


ORPHANS = "i=0; while [ $i -lt 2000 ]; do ( : & ) ; i=$((i+1)); done; exit 12"


def test_orphans_leave_no_zombies(agent, ssh, until):
    started = agent()
    assert ssh(started).run(ORPHANS).returncode == 12
    until(lambda: not own_children_are_reaped_here(started.pid), 60, "zombies reaped")


def test_orphans_of_a_job_are_reparented_to_the_agent(agent, ssh, until):
    started = agent()
    # It writes its PID before the job continues: setsid -f does not wait for the program.
    done = ssh(started).run('echo "$(setsid -f sh -c "echo \\$\\$; exec sleep 1 >&-")"')
    orphan = Path("/proc", str(int(done.stdout)))
    until(lambda: not orphan.exists(), 60, "reaped")


@pytest.fixture
def as_pid_1(agent):
    """An agent that is PID 1 of its own PID namespace."""
    probe = subprocess.run(
        ["unshare", "-pf", "--mount-proc", "true"], check=False, capture_output=True
    )
    if probe.returncode:
        pytest.skip("needs the right to make a PID namespace (unshare -pf)")
    return agent(before=("unshare", "-pf", "--mount-proc", "--kill-child=TERM"), args=LONG_GRACE)


def test_pid_1(as_pid_1, ssh, until):
    client = ssh(as_pid_1)
    assert client.run("cat /proc/1/comm").stdout == b"berth-agent\n"
    assert client.run("tr '\\0' '\\n' </proc/1/environ").stdout.count(b"SSH_PUBLIC_KEY") == 0
    assert client.run(ORPHANS).returncode == 12
    assert client.run("setsid -f sleep 400; exit 3").returncode == 3
    until(lambda: client.run("grep -l '^State:.Z' /proc/[0-9]*/status").stdout == b"")
    (init,) = processes.named(as_pid_1.pid, "berth-agent")
    began = time.monotonic()
    os.kill(init, signal.SIGTERM)
    until(lambda: not processes.alive(init), 60)
    assert time.monotonic() - began < ENDS_AT_ONCE_S
    assert "berth-agent[1]: info: exiting with status 0" in as_pid_1.log()


def test_subreaper_flag(agent):
    """Not PID 1: orphans of its jobs stay its descendants."""
    started = agent()
    with transport(started) as link:
        _, text = run(link, "sh -c 'sleep 300 & echo $!'; exit 0")
        orphan = int(text)
        assert orphan in processes.descendants(started.pid)
