# SPDX-License-Identifier: MIT
"""Resumable jobs of the driver: network faults, and processes killed on either side."""

import hashlib
import json
import os
import random
import re
import signal
import sys
import time

import pytest

from support import sshd
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.keys import KeyPair
from support.processes import MARKED, alive, end, end_tree, freeze, named, thaw, with_marker
from support.proxy import Fault, Proxy, random_faults

# Counts its starts, then writes known bytes on both streams in turns, which come as one.
SCRIPT = """
export MARK={home}
echo started >>~/count
i=0
while [ $i -lt {turns} ]; do
    i=$((i + 1))
    cat ~/out
    cat ~/err >&2
done
exit 7
"""


# The driver's own lines between the script's output, each in one piece.
OWN_LINE = re.compile(rb"berth: [^\n]*\n")


class ProxiedJob:
    """A job whose driver connects to its task through a proxy, and also logs to a file."""

    def __init__(self, job, tmp_path, reattach_timeout):
        self.job = job
        self.log_path = tmp_path / "driver.log"
        job.driver.settings |= {"LogFile": str(self.log_path), "LogLevel": "debug"}
        job.driver.settings["SSH"] = {"ReattachTimeout": reattach_timeout}
        job.prepare()
        self.home = job.home()
        self.proxy = Proxy(job.metadata()["port"])
        self.go_to(self.proxy.port)

    def edit(self, change):
        (path,) = self.job.driver.metadata.glob("*.json")
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    def go_to(self, port):
        self.edit(lambda values: values.update(port=port))

    def log(self):
        return self.log_path.read_text()

    def marked(self):
        return with_marker(f"MARK={self.home}".encode())

    def start(self, text, until):
        """A run stage that has printed "up"; its processes carry a marker."""
        process = self.job.start(f"export MARK={self.home}\n{MARKED}{text}")
        assert process.stdout.readline() == b"up\n"
        until(self.marked, what="the script's processes")
        return process


@pytest.fixture
def proxied(job, tmp_path, request):
    """The parameter is its ReattachTimeout."""
    instance = ProxiedJob(job, tmp_path, getattr(request, "param", "20s"))
    yield instance
    print(instance.log())
    print((instance.home.parent / "agent.log").read_text() if instance.home.exists() else "")
    instance.proxy.close()


class Payload:
    """What SCRIPT writes, and whether all of it came, once and in order."""

    def __init__(self, proxied, out_bytes, err_bytes, turns):
        dice = random.Random(out_bytes)
        self.proxied, self.turns = proxied, turns
        self.out, self.err = dice.randbytes(out_bytes), dice.randbytes(err_bytes)
        (proxied.home / "out").write_bytes(self.out)
        (proxied.home / "err").write_bytes(self.err)
        self.count = proxied.home / "count"

    def run(self, faults=()):
        self.count.unlink(missing_ok=True)
        self.proxied.proxy.faults = list(faults)
        path = self.proxied.job.script(SCRIPT.format(home=self.proxied.home, turns=self.turns))
        process = self.proxied.job.driver.start(
            "custom", "run", path, "build_script", env=self.proxied.job.env
        )
        out, err = process.communicate(timeout=120)
        self.proxied.proxy.faults = []
        assert process.returncode == BUILD_FAILURE, (faults, self.proxied.log()[-2000:])
        wanted = (self.out + self.err) * self.turns
        assert (len(out), OWN_LINE.sub(b"", err)) == (len(wanted), b""), faults
        assert hashlib.sha256(out).digest() == hashlib.sha256(wanted).digest(), faults
        assert self.proxied.job.exit_code() == "7\n"
        assert self.count.read_text() == "started\n", faults


def test_a_reset_at_any_byte_loses_and_repeats_nothing(proxied, programs):
    payload = Payload(proxied, 7001, 901, 6)
    payload.run()
    up, down = proxied.proxy.transferred[-1][1], proxied.proxy.transferred[-1][0]
    times = 12 if programs.sanitized else 40
    for upload, total in ((True, up), (False, down)):
        # Every part of a session is hit: key exchange, login, upload, output, report, release.
        for at in range(1, total, total // times):
            payload.run([Fault(at, upload)])
    assert "was resumed after" in proxied.log()


@pytest.mark.parametrize("seed", range(4))
def test_many_faults_of_all_kinds_in_one_job(proxied, seed):
    proxied.job.driver.settings["SSH"]["Keepalive"] = "1s"
    dice = random.Random(seed)
    faults = random_faults(dice, 8, 0.3, 2_000, 900_000)
    faults.insert(dice.randrange(8), Fault(dice.randrange(5_000, 200_000), False, "stall"))
    Payload(proxied, 100_003, 10_007, 80).run(faults)
    assert proxied.proxy.connections > 4


# ReattachTimeout, and for how many seconds the connection is down.
AWAY = [("20s", 2)]
if os.environ.get("BERTH_TEST_FULL") == "1":
    AWAY += [("60s", 30), pytest.param("330s", 300, marks=pytest.mark.timeout(420))]


@pytest.mark.parametrize(("proxied", "away_s"), AWAY, indirect=["proxied"])
def test_a_connection_that_is_down(proxied, until, away_s):
    """The job's output continues for a second after the connection is back."""
    lines = (away_s + 1) * 10
    process = proxied.start(
        f"echo up; i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo $i; sleep 0.1; done", until
    )
    proxied.proxy.refusing = True
    proxied.proxy.cut()
    until(lambda: "is lost" in proxied.log(), what="the warning")
    time.sleep(away_s)  # the length of the outage is the case
    proxied.proxy.refusing = False
    output, _, _ = process.stdout.read().partition(b"berth: peak memory")  # of a long one
    assert output.split() == [str(i).encode() for i in range(1, lines + 1)]
    assert process.wait(60) == 0 and OWN_LINE.sub(b"", process.stderr.read()) == b""
    assert re.search(r"is lost .*reconnecting for up to \d+ s", proxied.log())
    assert len(re.findall("is lost", proxied.log())) == 1
    (took_s,) = re.findall(r"was resumed after ([\d.]+)", proxied.log())
    assert away_s <= float(took_s) < away_s + 15


def test_a_connection_that_stays_down_is_a_system_failure(proxied, until):
    proxied.job.driver.settings["SSH"]["ReattachTimeout"] = "1s"
    process = proxied.start("echo up; exec sleep 1000", until)
    proxied.proxy.refusing = True
    proxied.proxy.cut()
    assert process.wait(60) == SYSTEM_FAILURE
    assert re.search(r"connection to task local-\d+ was lost 1 s ago .*cleanup", proxied.log())
    assert proxied.marked(), "no connection to signal the job"
    proxied.proxy.refusing = False
    assert proxied.job.stage("cleanup").returncode == 0
    assert not proxied.marked()


def test_without_reattaching_a_lost_connection_fails_at_once(proxied, until):
    proxied.job.driver.settings["SSH"]["ReattachTimeout"] = 0
    process = proxied.start("echo up; exec sleep 1000", until)
    proxied.proxy.cut()
    assert process.wait(60) == SYSTEM_FAILURE
    assert "reconnecting" not in proxied.log()


def test_a_killed_driver_leaves_a_job_that_cleanup_ends(proxied, until):
    process = proxied.start("echo up; exec sleep 1000", until)
    process.kill()
    process.wait()
    assert [path.suffix for path in sorted(proxied.job.driver.metadata.iterdir())] == [
        ".json",
        ".run",
    ]
    assert proxied.marked()
    assert proxied.job.stage("cleanup").returncode == 0
    assert not proxied.marked() and proxied.job.nothing_kept() == []


@pytest.mark.parametrize("trap", ["", "trap '' TERM INT HUP; "])
def test_a_killed_driver_leaves_a_job_that_the_next_stage_ends(proxied, until, trap):
    process = proxied.start(f"{trap}echo up; while :; do echo more; sleep 0.05; done", until)
    process.kill()
    process.wait()
    done = proxied.job.run("echo after\n", "after_script")
    assert (done.returncode, done.stdout) == (0, b"after\n")
    assert not proxied.marked()
    assert "the driver of an earlier stage was interrupted" in proxied.log()
    assert len(list(proxied.job.driver.metadata.iterdir())) == 1


def test_a_killed_session_process_does_not_hurt_the_job(proxied, until):
    script = "echo up; until [ -e ~/go ]; do sleep 0.05; done; echo end"
    process = proxied.start(script, until)
    sessions = lambda: named(proxied.job.agent_pid(), "berth-session")  # noqa: E731
    (session,) = until(
        lambda: len(sessions()) == 1 and sessions(), what="the one of 'prepare' ended"
    )
    os.kill(session, signal.SIGKILL)
    (proxied.home / "go").touch()
    assert process.stdout.read() == b"end\n"
    assert process.wait(60) == 0
    assert "was resumed after" in proxied.log()


def test_a_killed_monitor_is_a_system_failure(proxied, until):
    process = proxied.start("echo up; exec sleep 1000", until)
    (monitor,) = named(proxied.job.agent_pid(), "berth-job")
    os.kill(monitor, signal.SIGKILL)
    assert process.wait(60) == SYSTEM_FAILURE
    assert "the job's monitor process in the task was killed" in proxied.log()
    assert proxied.job.exit_code() is None
    until(lambda: not proxied.marked(), what="the job was ended with it")


def test_a_killed_agent_is_a_system_failure(proxied, until):
    process = proxied.start("echo up; exec sleep 1000", until)
    os.kill(proxied.job.agent_pid(), signal.SIGKILL)
    assert process.wait(60) == SYSTEM_FAILURE
    assert "the agent's first process was killed" in proxied.log()
    assert "not a failure of the script" in proxied.log()
    assert proxied.job.exit_code() is None


def test_a_killed_task_is_a_system_failure(proxied, until):
    process = proxied.start("echo up; exec sleep 1000", until)
    end_tree(proxied.job.agent_pid())
    assert process.wait(60) == SYSTEM_FAILURE
    assert re.search(r"local-\d+ was lost while the job ran, .*has exited", proxied.log())
    assert proxied.job.exit_code() is None


@pytest.mark.parametrize("trap", ["", "trap 'exit 0' TERM; ", "trap 'exit 1' TERM; "])
def test_a_task_that_gets_sigterm_is_a_system_failure(proxied, until, trap):
    process = proxied.start(f"{trap}sleep 1000 & echo up; wait", until)
    os.kill(proxied.job.agent_pid(), signal.SIGTERM)
    assert process.wait(60) == SYSTEM_FAILURE
    assert "the task received SIGTERM (Spot interruption" in proxied.log()
    assert "not a failure of the script" in proxied.log()
    assert proxied.job.exit_code() is None


@pytest.mark.parametrize("text", ["echo up; sleep 1000", "trap '' TERM; echo up; sleep 1000"])
def test_a_stop_request_during_a_lost_connection(proxied, until, text):
    process = proxied.start(f"{text}\n", until)
    proxied.proxy.refusing = True
    proxied.proxy.cut()
    until(lambda: "is lost" in proxied.log())
    os.kill(process.pid, signal.SIGTERM)
    until(lambda: "stop requested" in proxied.log())
    time.sleep(3)  # a longer outage: the driver does not give up
    assert proxied.marked() and alive(process.pid)
    assert "was stopped on request" not in proxied.log()
    proxied.proxy.refusing = False
    code = process.wait(60)
    assert not proxied.marked(), "at the very moment of the driver's exit"
    assert code == BUILD_FAILURE and proxied.job.exit_code() is None
    assert "was stopped on request" in proxied.log()


@pytest.mark.waits
@pytest.mark.parametrize("proxied", ["60s"], indirect=True)
def test_a_stop_request_while_the_connection_stays_down(proxied, until):
    process = proxied.start("echo up; exec sleep 1000", until)
    proxied.proxy.refusing = True
    proxied.proxy.cut()
    until(lambda: "is lost" in proxied.log())
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == SYSTEM_FAILURE, "no confirmation that the job has ended"
    assert 8 < time.monotonic() - began < 45, "not the whole ReattachTimeout"
    assert "stop requested, but the connection" in proxied.log() and proxied.job.exit_code() is None
    proxied.proxy.refusing = False


def test_a_connection_that_breaks_during_a_stop_request(proxied, until):
    process = proxied.start("trap '' TERM; echo up; while :; do sleep 0.1; done", until)
    os.kill(process.pid, signal.SIGTERM)
    until(lambda: not proxied.proxy.faults)
    proxied.proxy.cut()
    assert process.wait(60) == BUILD_FAILURE
    assert not proxied.marked()


def test_a_task_that_is_frozen_for_longer_than_the_keepalive(proxied, until):
    proxied.job.driver.settings["SSH"]["Keepalive"] = "1s"
    go = proxied.job.directory / "go"
    script = f"echo up; while [ ! -e {go} ]; do sleep 0.05; done; echo end"
    process = proxied.start(script, until)
    frozen = freeze(proxied.job.agent_pid())
    until(lambda: "no response to keepalives for 3 s" in proxied.log(), 60)
    thaw(frozen)
    go.touch()
    assert process.stdout.read() == b"end\n"
    assert process.wait(60) == 0


def test_a_reader_that_stops_while_the_connection_breaks(proxied, until):
    process = proxied.job.start("head -c 30000000 /dev/zero\n")
    process.stdout.read(1)
    proxied.proxy.cut()
    total = 1
    while chunk := process.stdout.read(1 << 20):
        total += len(chunk)
    assert (total, process.wait(60)) == (30_000_000, 0)


def test_the_resource_usage_is_logged(proxied):
    busy = f"{sys.executable} -c 'import time\nwhile time.process_time() < 1.2: pass'\n"
    done = proxied.job.run(busy)
    quiet = proxied.job.run("true\n")
    other = proxied.job.run(busy, "get_sources")
    assert done.returncode == 0 and (quiet.stdout, other.stdout) == (b"", b"")
    assert re.fullmatch(
        rb"berth: peak memory [\d.]+ (of [\d.]+ )?[MG]iB( in one process)?, [\d.]+ CPU s\n",
        done.stdout,
    ), done.stdout


def test_nothing_of_a_finished_job_is_kept(job, until):
    """The agent gets RELEASE, though the driver closes the connection at once."""
    log = job.prepare().home().parent / "agent.log"
    for code in range(8):
        assert job.run(f"echo some; exit {code}\n").returncode == (BUILD_FAILURE if code else 0)
    until(lambda: not named(job.agent_pid(), "berth-job"), 60, "the end of the jobs' monitors")
    assert "waiting" not in log.read_text()


def test_an_oom_kill_is_logged_by_driver_and_agent(limited, job, programs):
    """Under the local backend, whose agent is put into a memory cgroup as a container would be."""
    if programs.sanitized:
        pytest.skip("the sanitizer needs more than the limit")
    job.put_before_agent(limited, programs.agent)
    log = job.prepare().home().parent / "agent.log"
    done = job.run("python3 -c 'x = bytearray(200 << 20)'; exit $?\n")
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "137\n")
    line = rb"berth: out of memory: .*peak memory 6\d\.\d of 64\.0 MiB, [\d.]+ CPU s"
    assert re.search(line, done.stdout + done.stderr.encode()), (done.stdout, done.stderr)
    assert "out of memory: OOM kill of 1 processes" in log.read_text()


@pytest.mark.waits
def test_stock_sshd_gets_a_plain_command(proxied, tmp_path, free_port, until):
    if sshd.program() is None:
        pytest.skip("sshd is not installed")
    host, user = KeyPair(), KeyPair()
    server = sshd.Sshd(tmp_path / "sshd", host, user, free_port())
    whole = proxied.job.metadata()
    try:
        proxied.proxy.target = server.port
        proxied.edit(
            lambda values: values.update(
                user_key_seed=user.seed_base64, host_key_seed=host.seed_base64
            )
        )
        proxied.job.driver.settings["SSH"]["Username"] = server.user
        done = proxied.job.run("cat; echo out; echo err >&2; exit 5\n")
        assert (done.returncode, done.stdout, done.stderr) == (BUILD_FAILURE, b"out\nerr\n", "")
        assert proxied.job.exit_code() == "5\n"
        assert "the task has no resumable jobs" in proxied.log()
        assert len(list(proxied.job.driver.metadata.iterdir())) == 1
        process = proxied.start("echo up; exec sleep 1000", until)
        proxied.proxy.cut()
        assert process.wait(60) == SYSTEM_FAILURE
        assert "was lost while the job ran" in proxied.log()
    finally:
        end(proxied.marked())
        server.stop()
        proxied.edit(lambda values: values.update(whole))
