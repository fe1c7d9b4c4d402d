# SPDX-License-Identifier: MIT
"""Unusual containers: no /proc or a restricted one, a read-only file system, no capabilities, no
passwd entry for the user."""

import os
import signal
import time

import pytest

from support import processes
from support.clients import read_all, run, start, transport
from support.jobwire import Job, Refused
from support.mounts import hidden_processes, read_only, without_proc
from support.seccomp import refusing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

USER = 54_323  # a user ID without an entry
CLEANS_UP = "trap 'echo cleaned; exit 3' TERM; echo up; while :; do sleep 0.05; done"


def init_of(started):
    """The PID of the agent, below its wrapper programs."""
    found = {started.pid} | processes.descendants(started.pid)
    (init,) = [pid for pid in found if processes.name(pid) == "berth-agent"]
    return init


@pytest.fixture
def agent_in(agent):
    """agent_in(place): an agent there. A change of user clears unshare's parent-death signal."""
    started = []

    def start_in(place, **how):
        before = {
            "no /proc": without_proc,
            "read-only, no capability": read_only,
            "hidden processes": lambda: hidden_processes(USER),
        }[place]()
        env = {"ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":detect_leaks=0", **how.pop("env", {})}
        started.append(agent(before=before, env=env, **how))  # the leak checker needs /proc
        return started[-1]

    yield start_in
    for one in started:
        if one.process.poll() is None:
            os.kill(init_of(one), signal.SIGTERM)
            one.wait(60)


PLACES = ["no /proc", "read-only, no capability", "hidden processes"]


@pytest.mark.parametrize("place", PLACES)
def test_jobs_run(agent_in, ssh, place):
    started = agent_in(place)
    with transport(started) as link:
        assert run(link, "echo there; exit 9") == (9, b"there\n")
    tty = ssh(started).run("tty; exit 4", options=["-tt"])
    assert (tty.returncode, tty.stdout.startswith(b"/dev/pts/")) == (4, True)
    content = os.urandom(1 << 20)
    assert ssh(started).run("cat", input=content).stdout == content


@pytest.mark.parametrize("place", PLACES)
def test_a_vanished_client_stops_its_job_at_once(agent_in, ssh, until, place):
    """By SIGTERM, long before the grace period ends."""
    started = agent_in(place, args=["--grace", "100s"])
    process = ssh(started).start(CLEANS_UP)
    assert process.stdout.read(3) == b"up\n"
    process.kill()
    until(lambda: not processes.named(started.pid, "berth-job"), 60, "the job's end")


@pytest.mark.parametrize("place", PLACES)
def test_a_stop_sends_sigterm_to_the_job(agent_in, place):
    started = agent_in(place, args=["--grace", "100s"])
    with transport(started) as link:
        channel = start(link, CLEANS_UP)
        assert channel.recv(3) == b"up\n"
        began = time.monotonic()
        os.kill(init_of(started), signal.SIGTERM)
        assert read_all(channel) == b"cleaned\n"
        assert channel.recv_exit_status() == 3
    assert started.wait(60) == 0
    assert time.monotonic() - began < 50, "not the grace period"


def test_a_missing_proc_is_logged(agent, agent_in):
    assert "no /proc" in agent_in("no /proc").log()
    assert "no /proc" not in agent().log()


def test_a_user_that_the_agent_cannot_change_to(agent_in, ssh):
    """Root without capabilities cannot change users; jobs of other users are refused."""
    started = agent_in("read-only, no capability")
    done = ssh(started, user="nobody").run("id")
    assert (done.returncode, done.stdout) == (126, b"")
    assert b"Operation not permitted" in done.stderr
    assert "cannot become 'nobody': Operation not permitted" in started.log()


def test_user_of_a_job_without_a_passwd_entry(agent_in):
    started = agent_in("hidden processes", env={"HOME": None, "USER": None})
    with transport(started) as link:
        text = run(link, 'echo "$(id -u) $(id -g) $HOME $USER $PWD"')[1]
    assert text.decode().split() == [str(USER), str(USER), "/", str(USER), "/"]


@pytest.mark.parametrize("reason", ["ENOSYS", "EPERM"])
def test_an_old_filter_that_refuses_close_range(agent, ssh, reason):
    """With the highest descriptor limit: descriptors are not closed one by one."""
    before = ("bash", "-c", 'ulimit -n "$(ulimit -Hn)"; exec 7</dev/null; exec "$@"', "bash")
    started = agent(before=[*before, *refusing("close_range", reason)])
    done = ssh(started).run("exec ls /proc/self/fd")
    assert (done.returncode, done.stdout) == (0, b"0\n1\n2\n3\n"), "3 is ls's own"


def test_a_refused_memory_file_is_logged(agent, ssh, private_key):
    started = agent(before=refusing("memfd_create", "EPERM"))
    named = "memfd_create is refused; allow it in the container's seccomp profile"
    assert ssh(started).run("true").returncode == 255
    assert f"cannot request a job: cannot create a memory file: {named}" in started.log()
    with Job(started.port, private_key) as job, pytest.raises(Refused, match=named):
        job.start("a" * 32, "true")
