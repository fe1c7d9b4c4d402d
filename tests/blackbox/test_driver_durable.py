# SPDX-License-Identifier: MIT
"""Jobs of the driver that outlive their links: faults on the way, deaths on either side."""

import hashlib
import json
import os
import random
import re
import signal
import time

import pytest

from support import sshd
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.keys import KeyPair
from support.processes import alive, descendants, end, named, with_marker
from support.proxy import Fault, Proxy

# Counts its starts, then writes known bytes on both streams in turns.
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


class Link:
    """A job whose driver reaches its task through a proxy. The driver logs into a file, so that
    its standard error is the script's alone."""

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
        """A run stage that said "up"; what it started carries a marker."""
        process = self.job.start(f"export MARK={self.home}\n{text}")
        assert process.stdout.readline() == b"up\n"
        until(self.marked, what="the script's processes")
        return process


@pytest.fixture
def link(job, tmp_path, request):
    """The parameter is its ReattachTimeout."""
    instance = Link(job, tmp_path, getattr(request, "param", "20s"))
    yield instance
    print(instance.log())
    print((instance.home.parent / "agent.log").read_text() if instance.home.exists() else "")
    instance.proxy.close()


class Payload:
    """What SCRIPT writes, and whether all of it came, once and in order."""

    def __init__(self, link, out_bytes, err_bytes, turns):
        dice = random.Random(out_bytes)
        self.link, self.turns = link, turns
        self.out, self.err = dice.randbytes(out_bytes), dice.randbytes(err_bytes)
        (link.home / "out").write_bytes(self.out)
        (link.home / "err").write_bytes(self.err)
        self.count = link.home / "count"

    def run(self, faults=()):
        self.count.unlink(missing_ok=True)
        self.link.proxy.faults = list(faults)
        path = self.link.job.script(SCRIPT.format(home=self.link.home, turns=self.turns))
        process = self.link.job.driver.start(
            "custom", "run", path, "build_script", env=self.link.job.env
        )
        out, err = process.communicate(timeout=60)
        self.link.proxy.faults = []
        assert process.returncode == BUILD_FAILURE, (faults, self.link.log()[-2000:])
        for got, piece in ((out, self.out), (err, self.err)):
            assert len(got) == len(piece) * self.turns, faults
            wanted = hashlib.sha256(piece * self.turns).digest()
            assert hashlib.sha256(got).digest() == wanted, faults
        assert self.link.job.exit_code() == "7\n"
        assert self.count.read_text() == "started\n", faults


def test_a_reset_at_any_byte_loses_and_repeats_nothing(link, programs):
    payload = Payload(link, 7001, 901, 6)
    payload.run()
    up, down = link.proxy.transferred[-1][1], link.proxy.transferred[-1][0]
    times = 12 if programs.sanitized else 40
    for upload, total in ((True, up), (False, down)):
        # Every part of a session is hit: key exchange, login, upload, output, report, release.
        for at in range(1, total, total // times):
            payload.run([Fault(at, upload)])
    assert "was resumed after" in link.log()


@pytest.mark.parametrize("seed", range(4))
def test_many_faults_of_all_kinds_in_one_job(link, seed):
    link.job.driver.settings["SSH"]["Keepalive"] = "1s"
    dice = random.Random(seed)
    faults = [
        Fault(dice.randrange(1, 2_000), True, dice.choice(["reset", "drop"]))
        if dice.random() < 0.3
        else Fault(dice.randrange(1, 900_000), False, dice.choice(["reset", "drop"]))
        for _ in range(8)
    ]
    faults.insert(dice.randrange(8), Fault(dice.randrange(5_000, 200_000), False, "stall"))
    Payload(link, 100_003, 10_007, 80).run(faults)
    assert link.proxy.connections > 4


# ReattachTimeout, and for how many seconds the link is away.
AWAY = [("20s", 2)]
if os.environ.get("BERTH_TEST_FULL") == "1":
    AWAY += [("60s", 30), pytest.param("330s", 300, marks=pytest.mark.timeout(420))]


@pytest.mark.parametrize(("link", "away_s"), AWAY, indirect=["link"])
def test_a_link_that_is_away(link, until, away_s):
    """The job's output goes on for a second after the link is back."""
    lines = (away_s + 1) * 10
    process = link.start(
        f"echo up; i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo $i; sleep 0.1; done", until
    )
    link.proxy.refusing = True
    link.proxy.cut()
    until(lambda: "is lost" in link.log(), what="the loss is told")
    time.sleep(away_s)  # the length of the outage is the case
    link.proxy.refusing = False
    output, _, _ = process.stdout.read().partition(b"berth: peak memory")  # of a long one
    assert output.split() == [str(i).encode() for i in range(1, lines + 1)]
    assert process.wait(30) == 0 and process.stderr.read() == b""
    assert re.search(r"is lost .*resuming it for up to \d+ s", link.log())
    assert len(re.findall("is lost", link.log())) == 1
    (took_s,) = re.findall(r"was resumed after ([\d.]+)", link.log())
    assert away_s <= float(took_s) < away_s + 8


def test_a_link_that_stays_away_is_a_system_failure(link, until):
    link.job.driver.settings["SSH"]["ReattachTimeout"] = "1s"
    process = link.start("echo up; exec sleep 1000", until)
    link.proxy.refusing = True
    link.proxy.cut()
    assert process.wait(30) == SYSTEM_FAILURE
    assert re.search(r"link to task local-\d+ was lost 1 s ago .*cleanup", link.log())
    assert link.marked(), "nobody can have told the job"
    link.proxy.refusing = False
    assert link.job.stage("cleanup").returncode == 0
    assert not link.marked()


def test_without_reattaching_a_lost_link_fails_at_once(link, until):
    link.job.driver.settings["SSH"]["ReattachTimeout"] = 0
    process = link.start("echo up; exec sleep 1000", until)
    link.proxy.cut()
    assert process.wait(10) == SYSTEM_FAILURE
    assert "resuming" not in link.log()


def test_a_killed_driver_leaves_a_job_that_cleanup_ends(link, until):
    process = link.start("echo up; exec sleep 1000", until)
    process.kill()
    process.wait()
    assert [path.suffix for path in sorted(link.job.driver.metadata.iterdir())] == [".json", ".run"]
    assert link.marked()
    assert link.job.stage("cleanup").returncode == 0
    assert not link.marked() and link.job.nothing_kept() == []


@pytest.mark.parametrize("trap", ["", "trap '' TERM INT HUP; "])
def test_a_killed_driver_leaves_a_job_that_the_next_stage_ends(link, until, trap):
    process = link.start(f"{trap}echo up; while :; do echo more; sleep 0.05; done", until)
    process.kill()
    process.wait()
    done = link.job.run("echo after\n", "after_script")
    assert (done.returncode, done.stdout) == (0, b"after\n")
    assert not link.marked()
    assert "the driver of an earlier stage did not come to its end" in link.log()
    assert len(list(link.job.driver.metadata.iterdir())) == 1


def test_a_killed_session_process_does_not_hurt_the_job(link, until):
    process = link.start("echo up; sleep 1; echo end", until)
    (session,) = named(link.job.agent_pid(), "berth-session")
    os.kill(session, signal.SIGKILL)
    assert process.stdout.read() == b"end\n"
    assert process.wait(20) == 0
    assert "was resumed after" in link.log()


def test_a_killed_monitor_is_a_system_failure(link, until):
    process = link.start("echo up; exec sleep 1000", until)
    (monitor,) = named(link.job.agent_pid(), "berth-job")
    os.kill(monitor, signal.SIGKILL)
    assert process.wait(20) == SYSTEM_FAILURE
    assert "the process in the task that watched over the job was killed" in link.log()
    assert link.job.exit_code() is None
    until(lambda: not link.marked(), what="the job was ended with it")


def test_a_killed_agent_is_a_system_failure(link, until):
    process = link.start("echo up; exec sleep 1000", until)
    os.kill(link.job.agent_pid(), signal.SIGKILL)
    assert process.wait(20) == SYSTEM_FAILURE
    assert "the agent's first process was killed" in link.log()
    assert "this is no failure of the script" in link.log()
    assert link.job.exit_code() is None


def test_a_killed_task_is_a_system_failure(link, until):
    process = link.start("echo up; exec sleep 1000", until)
    agent = link.job.agent_pid()
    task = [agent, *descendants(agent)]
    for pid in task:  # a task goes all at once: nobody in it sees another die
        os.kill(pid, signal.SIGSTOP)
    end(task)
    assert process.wait(20) == SYSTEM_FAILURE
    assert re.search(r"local-\d+ was lost while the job ran, .*has ended", link.log())
    assert link.job.exit_code() is None


@pytest.mark.parametrize("trap", ["", "trap 'exit 0' TERM; ", "trap 'exit 1' TERM; "])
def test_a_task_that_is_told_to_stop_is_a_system_failure(link, until, trap):
    process = link.start(f"{trap}echo up; sleep 1000 & wait", until)
    os.kill(link.job.agent_pid(), signal.SIGTERM)
    assert process.wait(20) == SYSTEM_FAILURE
    assert "the task was told to stop (SIGTERM: Spot interruption" in link.log()
    assert "this is no failure of the script" in link.log()
    assert link.job.exit_code() is None


@pytest.mark.parametrize("text", ["echo up; sleep 1000", "trap '' TERM; echo up; sleep 1000"])
def test_a_stop_request_during_a_broken_link(link, until, text):
    process = link.start(f"{text}\n", until)
    link.proxy.refusing = True
    link.proxy.cut()
    until(lambda: "is lost" in link.log())
    os.kill(process.pid, signal.SIGTERM)
    until(lambda: "asked to stop" in link.log())
    assert link.marked() and alive(process.pid)
    link.proxy.refusing = False
    code = process.wait(20)
    assert not link.marked(), "at the very moment of the driver's exit"
    assert code == BUILD_FAILURE and link.job.exit_code() is None
    assert "was stopped on request" in link.log()


def test_a_link_that_breaks_during_a_stop_request(link, until):
    process = link.start("trap '' TERM; echo up; while :; do sleep 0.1; done", until)
    os.kill(process.pid, signal.SIGTERM)
    until(lambda: not link.proxy.faults)
    link.proxy.cut()
    assert process.wait(20) == BUILD_FAILURE
    assert not link.marked()


def test_a_task_that_is_frozen_for_longer_than_the_keepalive(link, until):
    link.job.driver.settings["SSH"]["Keepalive"] = "1s"
    go = link.job.directory / "go"
    script = f"echo up; while [ ! -e {go} ]; do sleep 0.05; done; echo end"
    process = link.start(script, until)
    agent = link.job.agent_pid()
    frozen = [agent, *descendants(agent)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    until(lambda: "no sign of life for 3 s" in link.log(), 15)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    go.touch()
    assert process.stdout.read() == b"end\n"
    assert process.wait(30) == 0


def test_a_reader_that_stops_while_the_link_breaks(link, until):
    process = link.job.start("head -c 30000000 /dev/zero\n")
    process.stdout.read(1)
    link.proxy.cut()
    total = 1
    while chunk := process.stdout.read(1 << 20):
        total += len(chunk)
    assert (total, process.wait(20)) == (30_000_000, 0)


def test_what_a_job_cost_is_told(link):
    done = link.job.run("i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done\n")
    quiet = link.job.run("true\n")
    other = link.job.run("i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done\n", "get_sources")
    assert done.returncode == 0 and (quiet.stdout, other.stdout) == (b"", b"")
    assert re.fullmatch(
        rb"berth: peak memory [\d.]+ (of [\d.]+ )?[MG]iB( in one process)?, [\d.]+ CPU s\n",
        done.stdout,
    ), done.stdout


def test_nothing_of_a_finished_job_is_kept(job, until):
    """Its result is released with the driver's last words, though the driver hangs up at once."""
    log = job.prepare().home().parent / "agent.log"
    for code in range(8):
        assert job.run(f"echo some; exit {code}\n").returncode == (BUILD_FAILURE if code else 0)
    until(lambda: not named(job.agent_pid(), "berth-job"), 5, "the end of the jobs' monitors")
    assert "waiting" not in log.read_text()


def test_an_oom_kill_is_told_by_driver_and_agent(limited, job, programs):
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


def test_stock_sshd_gets_a_plain_command(link, tmp_path, free_port, until):
    if sshd.program() is None:
        pytest.skip("sshd is not installed")
    host, user = KeyPair(), KeyPair()
    server = sshd.Sshd(tmp_path / "sshd", host, user, free_port())
    whole = link.job.metadata()
    try:
        link.proxy.target = server.port
        link.edit(
            lambda values: values.update(
                user_key_seed=user.seed_base64, host_key_seed=host.seed_base64
            )
        )
        link.job.driver.settings["SSH"]["Username"] = server.user
        done = link.job.run("cat; echo out; echo err >&2; exit 5\n")
        assert (done.returncode, done.stdout, done.stderr) == (BUILD_FAILURE, b"out\n", "err\n")
        assert link.job.exit_code() == "5\n"
        assert "the task has no durable jobs" in link.log()
        assert len(list(link.job.driver.metadata.iterdir())) == 1
        process = link.start("echo up; exec sleep 1000", until)
        link.proxy.cut()
        assert process.wait(20) == SYSTEM_FAILURE
        assert "was lost while the job ran" in link.log()
    finally:
        end(link.marked())
        server.stop()
        link.edit(lambda values: values.update(whole))
