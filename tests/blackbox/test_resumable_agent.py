# SPDX-License-Identifier: MIT
"""Resumable jobs with a client in Python: output, faults, limits, bad input."""

import contextlib
import hashlib
import os
import random
import re
import signal
import struct
import threading
import time

import pytest

from support import jobwire, processes
from support.jobwire import ATTACHED, STARTED, Job, LinkLost, Refused
from support.mounts import without_shell
from support.proxy import Fault, Proxy, random_faults

# Adds a line to a file when it starts, then writes numbered lines to both streams.
LOUD = """
echo started >>"$MARK"
i=0
while [ $i -lt {lines} ]; do
    i=$((i + 1))
    printf '%063d\\n' $i
    [ $((i % 64)) -eq 0 ] && printf 'error %08d\\n' $i >&2
done
exit 7
"""


def expected(lines):
    out = "".join(f"{i:063d}\n" for i in range(1, lines + 1)).encode()
    err = "".join(f"error {i:08d}\n" for i in range(64, lines + 1, 64)).encode()
    return out, err


def new_name():
    return os.urandom(16).hex()


@pytest.fixture
def resumable(agent, private_key, tmp_path):
    """resumable(args): an agent, and a function that connects to it."""

    def start(*args, env=None, before=()):
        mark = tmp_path / "mark"
        instance = agent(args=list(args), env={"MARK": str(mark), **(env or {})}, before=before)
        instance.mark = mark
        instance.connect = lambda **how: Job(instance.port, private_key, **how)
        return instance

    return start


def starts(instance):
    return instance.mark.read_text().count("started")


def test_output_and_exit_code_arrive(resumable, until):
    instance = resumable()
    with instance.connect() as job:
        assert job.start(new_name(), "sh -s", LOUD.format(lines=5000).encode()) == STARTED
        job.collect()
        job.release()
    assert (bytes(job.outputs[0]), bytes(job.outputs[1])) == expected(5000)
    assert job.exit == (7, "")
    assert starts(instance) == 1
    reported = r"job \d+: ended with status 7 after [\d.]+ s, peak memory .* CPU s, 321\.2 kB out\n"
    until(lambda: re.search(reported, instance.log()), what="the log's line of its end")


def test_a_spool_may_exceed_the_sessions_memory(resumable):
    """The ceiling on a session's address space is 256 MiB."""
    with resumable("--spool-limit", "8GiB").connect() as job:
        assert job.start(new_name(), "sh -s", LOUD.format(lines=5000).encode()) == STARTED
        job.collect()
        job.release()
    assert (bytes(job.outputs[0]), bytes(job.outputs[1])) == expected(5000)


def test_exit_has_the_signals_name(resumable):
    with resumable().connect() as job:
        job.start(new_name(), "kill -SEGV $$")
        assert job.collect().exit == (128 + signal.SIGSEGV, "SEGV")
        job.release()


def test_input_is_a_read_only_file(resumable):
    with resumable().connect() as job:
        data = random.Random(1).randbytes(3_000_000)
        job.start(new_name(), "sha256sum; echo x 2>/dev/null >/proc/self/fd/0 || echo sealed", data)
        job.collect()
        job.release()
    digest, _, rest = bytes(job.outputs[0]).decode().partition(" ")
    assert digest == hashlib.sha256(data).hexdigest()
    assert "sealed" in rest


def test_nothing_starts_before_the_input_is_complete(resumable, until):
    instance = resumable()
    with instance.connect() as job:
        job.send(jobwire.START, new_name().encode() + b'echo started >>"$MARK"')
        job.send(jobwire.INPUT, b"some")
        job.send(jobwire.INPUT_END, struct.pack(">Q", 5))
        with pytest.raises(Refused) as refused:
            job.next()
        assert refused.value.args[0] == 1
    with instance.connect() as job:
        job.send(jobwire.START, new_name().encode() + b'echo started >>"$MARK"')
        job.send(jobwire.INPUT, b"some")
    until(lambda: not processes.descendants(instance.pid), what="no session left")
    assert not instance.mark.exists()


def run_through(instance, private_key, faults, script, deadline_s=120):
    """One job over connections that break: reconnects and attaches like the driver."""
    name = new_name()
    outputs = [bytearray(), bytearray()]
    attached, report, done = False, None, False
    end = time.monotonic() + deadline_s
    with Proxy(instance.port, faults) as proxy:
        while not done:
            assert time.monotonic() < end, "the job did not come to its end"
            job = None
            try:
                job = Job(proxy.port, private_key, [len(stream) for stream in outputs])
                job.attach(name) if attached else job.start(name, "sh -s", script)
                attached = True
                job.collect().release()
                done = True
            except LinkLost:
                pass
            except Refused as refused:
                # RELEASE arrived, only the agent's close was lost.
                assert refused.args[0] == 2 and report is not None, refused
                done = True
            finally:
                if job is not None:
                    job.close()
                    outputs[0] += job.outputs[0]
                    outputs[1] += job.outputs[1]
                    report = job.exit or report
    return outputs, report, proxy


def check_run(instance, private_key, faults, lines=20000):
    script = LOUD.format(lines=lines).encode()
    outputs, exit_report, proxy = run_through(instance, private_key, faults, script)
    out, err = expected(lines)
    assert hashlib.sha256(outputs[0]).digest() == hashlib.sha256(out).digest()
    assert hashlib.sha256(outputs[1]).digest() == hashlib.sha256(err).digest()
    assert exit_report == (7, "")
    assert starts(instance) == 1
    return proxy


@pytest.mark.parametrize("seed", range(40 if os.environ.get("BERTH_TEST_FULL") == "1" else 6))
def test_resets_at_any_byte_lose_and_repeat_nothing(resumable, private_key, seed):
    dice = random.Random(seed)
    faults = random_faults(dice, 12, 0.2, 3_000, 300_000)
    proxy = check_run(resumable(), private_key, faults)
    assert proxy.connections > 2


@pytest.mark.parametrize("at", [1500, 2000, 2300, 2600, 3000, 3400, 4000])
def test_resets_during_the_upload_start_nothing_twice(resumable, private_key, at):
    check_run(resumable(), private_key, [Fault(at, upload=True)] * 2, lines=2000)


def test_resets_around_the_exit(resumable, private_key):
    instance = resumable()
    clean = check_run(instance, private_key, [], lines=2000)
    total = clean.transferred[0][0]
    for back in (0, 30, 80, 150, 400):
        instance.mark.unlink()
        check_run(instance, private_key, [Fault(total - back)], lines=2000)


def test_the_job_runs_without_a_connection(resumable, until, tmp_path):
    instance = resumable()
    name = new_name()
    flag = tmp_path / "flag"
    with instance.connect() as job:
        job.start(
            name, f"echo one; while [ ! -e {flag} ]; do sleep 0.05; done; echo two; : >{flag}2"
        )
        job.step()
        offsets = job.offsets
    until(lambda: "detached" in instance.log())
    flag.touch()
    until((tmp_path / "flag2").exists, what="the job went on")
    with instance.connect(offsets=offsets) as job:
        assert job.attach(name) == ATTACHED
        assert job.collect().exit == (0, "")
        assert bytes(job.outputs[0]) == b"two\n"
        job.release()


def test_the_result_is_kept_until_released(resumable, until):
    instance = resumable()
    name = new_name()
    for _ in range(3):
        with instance.connect(acknowledge=False) as job:
            job.start(name, 'echo started >>"$MARK"; echo hello; exit 3')
            assert job.collect().exit == (3, "")
            assert bytes(job.outputs[0]) == b"hello\n"
    assert starts(instance) == 1
    with instance.connect() as job:
        assert job.start(name, "echo never") == ATTACHED
        job.collect().release()
    until(lambda: not processes.descendants(instance.pid), what="the monitor is gone")
    with instance.connect() as job, pytest.raises(Refused) as refused:
        job.attach(name)
    assert refused.value.args[0] == 2


def test_exit_with_the_end_of_output_is_reported_at_once(resumable):
    """The drain time applies only to output that another process holds open."""
    instance = resumable("--drain", "60s")
    for _ in range(5):
        with instance.connect() as job:
            job.start(new_name(), "exit 5")
            assert job.collect(deadline_s=60).exit == (5, "")
            job.release()


def test_a_release_just_before_the_close_counts(resumable, until):
    instance = resumable()
    with instance.connect() as job:
        job.start(new_name(), "true")
        job.collect()
        (session,) = processes.named(instance.pid, "berth-session")
        os.kill(session, signal.SIGSTOP)
        job.send(jobwire.RELEASE)
        job.channel.close()
    os.kill(session, signal.SIGCONT)
    until(lambda: not processes.descendants(instance.pid), what="the monitor is gone")


# Writes its second line once the file $FLAG is there.
TWO_LINES = 'echo one; until [ -e "$FLAG" ]; do sleep 0.05; done; echo two'


def test_a_killed_session_does_not_affect_the_job(resumable, tmp_path):
    flag = tmp_path / "flag"
    instance = resumable(env={"FLAG": str(flag)})
    name = new_name()
    with instance.connect() as job:
        job.start(name, TWO_LINES)
        job.step()
        (session,) = processes.named(instance.pid, "berth-session")
        os.kill(session, signal.SIGKILL)
        with pytest.raises(LinkLost):
            job.step()
    flag.touch()
    with instance.connect(offsets=job.offsets) as again:
        again.attach(name)
        again.collect().release()
    assert bytes(again.outputs[0]) == b"two\n"


def test_a_job_whose_monitor_was_killed_is_lost_and_not_started_again(resumable, until):
    instance = resumable()
    name = new_name()
    script = 'echo started >>"$MARK"; echo up; exec sleep 1000'
    with instance.connect() as job:
        job.start(name, script)
        job.step()
        (monitor,) = processes.named(instance.pid, "berth-job")
        os.kill(monitor, signal.SIGKILL)
        with pytest.raises(Refused) as refused:
            job.step()
        assert refused.value.args[0] == 6
    until(lambda: not processes.with_marker(instance.marker) - {instance.pid}, what="the job ended")
    for again in (lambda job: job.attach(name), lambda job: job.start(name, script)):
        with instance.connect() as job, pytest.raises(Refused) as refused:
            again(job)
        assert refused.value.args[0] == 6
    assert starts(instance) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: descriptors of a session")
def test_an_attach_that_a_killed_monitor_never_read_is_answered_with_lost(resumable, until):
    instance = resumable()
    for _ in range(5):
        name = new_name()
        with instance.connect() as job:
            job.start(name, "echo up; exec sleep 1000")
            job.step()
            (monitor,) = processes.named(instance.pid, "berth-job")
            (first,) = processes.named(instance.pid, "berth-session")
            os.kill(monitor, signal.SIGSTOP)
            with instance.connect(offsets=job.offsets) as again:
                (session,) = set(processes.named(instance.pid, "berth-session")) - {first}
                before = len(os.listdir(f"/proc/{session}/fd"))
                again.send(jobwire.ATTACH, name.encode() + struct.pack(">QQ", *again.offsets))
                until(
                    lambda pid=session, count=before: len(os.listdir(f"/proc/{pid}/fd")) > count,
                    what="the socket for the monitor",
                )
                os.kill(monitor, signal.SIGKILL)
                with pytest.raises(Refused) as refused:
                    again.next()
                assert refused.value.args[0] == 6, refused.value
        until(
            lambda: not processes.named(instance.pid, "berth-session", "berth-job"),
            what="no session left",
        )


def run_hello(instance, name):
    """A job whose output of 6 bytes was acknowledged, and that a signal has ended."""
    with instance.connect() as job:
        job.start(name, "echo hello; sleep 1000")
        job.step()
        job.send(jobwire.SIGNAL, b"USR1")  # after the acknowledgement, on the same socket
        job.collect()


def test_attach_at_the_oldest_kept_byte(resumable):
    instance = resumable()
    name = new_name()
    run_hello(instance, name)
    with instance.connect(offsets=(2**64 - 1, 2**64 - 1)) as job:
        job.attach(name)
        assert job.offsets == [6, 0]
        job.collect().release()
    assert job.exit == (128 + signal.SIGUSR1, "USR1")
    cpu_ms, _, _, process_peak, oom_kills = job.usage
    assert cpu_ms < 60_000 and 0 < process_peak < 1 << 40 and oom_kills == 0


@pytest.mark.parametrize("where", ["memory", "directory"])
def test_unread_output_is_limited_and_the_job_blocks(resumable, until, tmp_path, where):
    spool = tmp_path / "spool"
    spool.mkdir()
    args = ["--spool-limit", "1MiB"] + (["--spool-dir", str(spool)] if where == "directory" else [])
    instance = resumable(*args)
    name = new_name()
    count = tmp_path / "count"
    script = (
        f"i=0; while [ $i -lt 400 ]; do i=$((i+1)); head -c 65536 /dev/zero; echo $i >{count}; done"
    )
    with instance.connect(acknowledge=False) as job:
        job.start(name, script)

    def stuck():
        before = count.read_text() if count.exists() else ""
        time.sleep(0.5)  # time in which nothing must happen
        return before if before == count.read_text() else ""

    blocked_at = int(until(stuck, what="the job blocks"))
    # The spool, the pipe of 256 KiB, and one piece in transit.
    assert blocked_at * 65536 <= (1 << 20) + (1 << 18) + 65536
    assert list(spool.iterdir()) == []
    with instance.connect() as job:
        job.attach(name)
        job.collect().release()
    assert len(job.outputs[0]) == 400 * 65536 and not any(job.outputs[0])


def test_a_client_that_does_not_read_blocks_no_job_with_room_in_its_spool(
    resumable, until, tmp_path
):
    """The monitor waits for a session that is behind, but not for long."""
    instance = resumable("--spool-limit", "32MiB")
    written = tmp_path / "written"
    with instance.connect() as job:  # its window has 2 MiB, the pipe 256 KiB
        job.start(new_name(), f"head -c 24000000 /dev/zero; : >{written}; exit 3")
        until(written.exists, 60, "the job to write all of it")
        assert job.collect().exit == (3, "")
        job.release()
    assert bytes(job.outputs[0]) == bytes(24_000_000)


def test_signals_over_a_new_connection(resumable, until):
    instance = resumable()
    name = new_name()
    with instance.connect() as job:
        job.start(name, "sleep 1000 & echo ready; wait")
        job.step()
    with instance.connect(offsets=job.offsets) as job:
        job.attach(name)
        job.send(jobwire.SIGNAL, b"TERM")
        assert job.collect().exit == (128 + signal.SIGTERM, "TERM")
        job.release()
    until(lambda: not instance.jobs(), what="the whole tree ended")


# The shell exits at TERM, the detached process does not; it writes the shell's PID. No 'wait',
# before which a shell can miss the signal.
STUBBORN = (
    "trap 'exit 3' TERM; setsid sh -c \"trap '' TERM; echo $$; while :; do sleep 0.1; done\" & "
    "while :; do sleep 0.05; done"
)


def test_kill_reaches_processes_that_outlive_the_shell(resumable, until):
    instance = resumable("--grace", "100s")
    with instance.connect() as job:
        job.start(new_name(), STUBBORN)
        job.step()
        job.send(jobwire.SIGNAL, b"TERM")
        until(lambda: not processes.alive(int(job.outputs[0])), what="the shell ended")
        job.send(jobwire.SIGNAL, b"KILL")
        assert job.collect().exit == (3, "")
        job.release()
    until(lambda: not instance.jobs(), what="the whole tree ended")


@pytest.mark.parametrize("name", [b"TERM", b"KILL"])
def test_a_signal_stops_a_leftover_that_keeps_the_output_open(resumable, until, name):
    instance = resumable()
    with instance.connect() as job:
        job.start(new_name(), "echo $$; (while :; do echo more; sleep 0.02; done) & exit 5")
        job.step()
        shell = int(job.outputs[0].split()[0])
        until(lambda: not processes.alive(shell), what="the shell ended")
        job.send(jobwire.SIGNAL, name)
        assert job.collect().exit == (5, "")
        job.release()
    until(lambda: not instance.jobs(), what="the leftover ended")


@pytest.mark.parametrize("case", ["no shell", "environment too large"])
def test_permanent_and_temporary_start_failures(resumable, case):
    if case == "no shell":
        instance, command = resumable(before=without_shell()), "true"
    else:  # arguments and environment may use a quarter of the stack limit
        big = {f"BIG_{number}": "x" * 60_000 for number in range(3)}
        instance = resumable(before=("prlimit", "--stack=1048576"), env=big)
        command = "true " + "x" * 100_000
    with instance.connect() as job, pytest.raises(Refused) as refused:
        job.start(new_name(), command)
    assert refused.value.args[0] == 7


def test_the_newest_attach_wins(resumable, tmp_path):
    flag = tmp_path / "flag"
    instance = resumable(env={"FLAG": str(flag)})
    name = new_name()
    with instance.connect() as first:
        first.start(name, TWO_LINES)
        first.step()
        with instance.connect(offsets=first.offsets) as second:
            second.attach(name)
            with pytest.raises(Refused) as refused:
                first.step()
            assert refused.value.args[0] == 4
            flag.touch()
            second.collect().release()
            assert bytes(second.outputs[0]) == b"two\n"


def test_a_replaced_session_is_notified_whatever_it_sent_last(resumable):
    """Its monitor closes the socket while an acknowledgement and a signal are unread."""
    instance = resumable()
    name = new_name()
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(instance.connect(acknowledge=False))
        holder.start(name, "trap 'echo got; exit 9' USR1; echo one; while :; do sleep 0.02; done")
        holder.step()
        (monitor,) = processes.named(instance.pid, "berth-job")
        for number in (b"URG", b"URG", b"USR1"):  # the job ignores the first
            newer = stack.enter_context(instance.connect(offsets=holder.offsets))
            os.kill(monitor, signal.SIGSTOP)
            try:
                newer.send(jobwire.ATTACH, name.encode() + struct.pack(">QQ", *newer.offsets))
                time.sleep(0.1)  # the contents of a stopped monitor's sockets cannot be observed
                holder.ack()
                holder.send(jobwire.SIGNAL, number)
                time.sleep(0.1)
            finally:
                os.kill(monitor, signal.SIGCONT)
            with pytest.raises(Refused) as refused:
                holder.step()
            assert refused.value.args[0] == 4, refused.value
            assert newer.next()[0] == ATTACHED
            holder = newer
        assert holder.collect().exit == (9, ""), "the signal of the one that was replaced"
        holder.release()


def test_invalid_offsets_are_refused(resumable):
    instance = resumable()
    name = new_name()
    run_hello(instance, name)
    for offset in (0, 1 << 40):
        with instance.connect(offsets=(offset, 0)) as job, pytest.raises(Refused) as refused:
            job.attach(name)
            job.step()
        assert refused.value.args[0] == 3
    with instance.connect(offsets=(6, 0)) as job:
        job.attach(name)
        job.collect().release()


def test_a_job_without_a_client_is_stopped(resumable, until):
    instance = resumable("--detach-timeout", "300ms", "--spool-limit", "512KiB")
    for command in ("sleep 1000", "cat /dev/zero"):
        with instance.connect(acknowledge=False) as job:
            job.start(new_name(), command)
        until(lambda: not instance.jobs(), what=f"'{command}' was ended")
    assert "no client attached in time" in instance.log()


def test_attaching_cancels_the_detach_timeout(resumable, until):
    instance = resumable("--detach-timeout", "2s")
    name = new_name()
    with instance.connect() as job:  # connected before: only the attach must be in time
        with instance.connect() as first:
            first.start(
                name, "trap 'echo done; exit 6' USR1; echo up; while :; do sleep 0.05; done"
            )
            first.step()
            job.offsets = first.offsets
        until(lambda: "detached" in instance.log())
        assert job.attach(name) == ATTACHED
        time.sleep(3)  # time in which nothing must happen
        job.send(jobwire.SIGNAL, b"USR1")
        assert job.collect().exit == (6, "")
        job.release()
    assert "no client attached in time" not in instance.log()


def test_an_acknowledgement_beyond_what_was_sent_is_refused(resumable):
    with resumable().connect(acknowledge=False) as job:
        job.start(new_name(), "echo hello; sleep 1000")
        job.step()
        job.send(jobwire.ACK, struct.pack(">QQ", 6, 1))
        with pytest.raises(Refused) as refused:
            job.step()
        assert refused.value.args == (1, "acknowledgement of bytes that were not sent")


def test_input_beyond_its_limit_is_refused_and_never_started(resumable, ssh):
    """128 MiB are accepted, one more byte is not."""
    instance = resumable()
    piece = jobwire.encode(jobwire.INPUT, bytes(64 << 10))
    for extra, answer in ((b"", jobwire.STARTED), (b"x", jobwire.REFUSED)):
        process = ssh(instance).start("berth-job", options=["-s"])
        process.stdin.write(jobwire.encode(jobwire.START, new_name().encode() + LIMITED))
        with contextlib.suppress(BrokenPipeError):
            for _ in range((128 << 20) // (64 << 10)):
                process.stdin.write(piece)
            if extra:
                process.stdin.write(jobwire.encode(jobwire.INPUT, extra))
            total = (128 << 20) + len(extra)
            process.stdin.write(jobwire.encode(jobwire.INPUT_END, struct.pack(">Q", total)))
            process.stdin.flush()
        kind, length = struct.unpack(">BI", process.stdout.read(5))
        text = process.stdout.read(length)
        assert kind == answer, text
        assert answer == jobwire.STARTED or text == b"\0\0\0\x07the input is too long"
        process.kill()
    assert starts(instance) == 1


LIMITED = b'echo started >>"$MARK"; exit 3'


def test_sigterm_of_the_agent_is_reported_before_the_exit(resumable):
    instance = resumable()
    with instance.connect() as job:
        job.start(new_name(), "sleep 1000")
        instance.process.send_signal(signal.SIGTERM)
        job.collect()
        job.release()
    assert job.exit == (128 + signal.SIGTERM, "TERM")
    assert job.notices and job.notices[0][0] == 1
    assert instance.wait() == 0


def test_sigterm_stops_detached_jobs_with_a_full_spool(resumable, until):
    instance = resumable("--spool-limit", "512KiB", "--grace", "100s")
    with instance.connect(acknowledge=False) as job:
        job.start(new_name(), "cat /dev/zero")
    until(lambda: "detached" in instance.log())
    started = time.monotonic()
    assert instance.terminate() == 0
    assert time.monotonic() - started < 50, "not the grace period"


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\0\0\0\0",
        b"\xff" * 64,
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">BI", jobwire.START, 0x7FFFFFFF),
        jobwire.encode(jobwire.START, b"Z" * 32 + b"true"),
        jobwire.encode(jobwire.START, b"a" * 31),
        jobwire.encode(jobwire.START, b"a" * 32),
        jobwire.encode(jobwire.START, b"a" * 32 + b"x\0y"),
        jobwire.encode(jobwire.INPUT, b"x"),
        jobwire.encode(jobwire.ACK, bytes(16)),
        jobwire.encode(jobwire.RELEASE),
        jobwire.encode(jobwire.SIGNAL, b"TERM"),
        jobwire.encode(jobwire.EXIT, bytes(60)),
        jobwire.encode(jobwire.START, b"a" * 32 + b"true") * 2,
        jobwire.encode(jobwire.ATTACH, b"a" * 32 + b"\xff" * 16),
    ],
    ids=lambda raw: raw[:6].hex(),
)
def test_garbage_closes_only_its_channel(resumable, raw):
    with resumable().connect() as job:
        job.send_raw(raw)
        with pytest.raises(Refused):
            job.next()
        with pytest.raises(LinkLost):
            job.next()
        channel = job.transport.open_session(timeout=60)
        channel.exec_command("echo alive")
        assert channel.recv(100) == b"alive\n"


def test_many_jobs_do_not_mix(resumable):
    instance = resumable()
    problems = []

    def one(number):
        try:
            with instance.connect() as job:
                script = f"i=0; while [ $i -lt 2000 ]; do echo job{number}; i=$((i+1)); done"
                job.start(new_name(), "sh -s", script.encode())
                job.collect().release()
                assert bytes(job.outputs[0]) == b"job%d\n" % number * 2000
        except Exception as problem:  # noqa: BLE001 - reported by the main thread
            problems.append(problem)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
