# SPDX-License-Identifier: MIT
"""config, prepare, run and cleanup against the real agent, as GitLab Runner calls them."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import threading
import time

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.mounts import without_shell
from support.processes import (
    alive,
    command_line,
    descendants,
    end_tree,
    environment,
    freeze,
    thaw,
    with_marker,
)


def test_config_prints_only_json(job):
    done = job.stage("config")
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert answer["driver"]["name"] == "Berth" and answer["builds_dir_is_shared"] is False
    assert answer["builds_dir"].startswith(str(job.driver.local))
    assert answer["cache_dir"] == f"{job.driver.local}/cache"
    assert job.nothing_kept() == [], "config makes nothing"


def test_a_job_from_prepare_to_cleanup(job):
    builds = json.loads(job.stage("config").stdout)["builds_dir"]
    assert b"running after" in job.stage("prepare").stdout
    assert job.run(f"cd {builds}\necho made > file\n", "prepare_script").returncode == 0
    done = job.run(f"cat {builds}/file\necho err >&2\n", "an unknown stage")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"made\nerr\n", "")
    pid = job.agent_pid()
    assert alive(pid)
    assert job.stage("cleanup").returncode == 0
    assert not alive(pid) and job.nothing_kept() == []


def test_metadata_is_private_and_complete(job):
    job.driver.settings["TaskMetadata"]["Directory"] = str(job.driver.metadata)
    job.prepare()
    (path,) = job.driver.metadata.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(job.driver.metadata.stat().st_mode) == 0o700
    assert path.name.startswith("job-4711-") and job.token not in path.name
    assert job.metadata()["version"] == 2 and job.metadata()["port"] > 0


def test_an_interrupted_write_is_cleaned_up(job):
    job.prepare()
    (path,) = job.driver.metadata.iterdir()
    path.with_name(path.name + ".AbCdEf").write_text("a seed")
    other = path.with_name("job-1-0000.json")
    other.write_text("{}")
    assert job.stage("cleanup").returncode == 0
    assert list(job.driver.metadata.iterdir()) == [other]
    other.unlink()


def test_metadata_directory_that_cannot_be_made(job, tmp_path):
    (tmp_path / "file").write_text("")
    job.driver.settings["TaskMetadata"]["Directory"] = str(tmp_path / "file/metadata")
    done = job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE and "file/metadata" in done.stderr
    assert not job.driver.local.exists()
    job.driver.settings["TaskMetadata"]["Directory"] = str(job.driver.metadata)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42, 126, 127, 128, 137, 254, 255])
def test_exit_codes(job, code):
    done = job.prepare().run(f"echo before\nexit {code}\n")
    assert done.stdout == b"before\n"
    assert done.returncode == (BUILD_FAILURE if code else 0)
    assert job.exit_code() == (f"{code}\n" if code else None)


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "ABRT"])
def test_death_by_signal_is_a_build_failure(job, name):
    done = job.prepare().run(f"kill -{name} $$\nsleep 60\n")
    assert done.returncode == BUILD_FAILURE and f"signal {name}" in done.stderr
    assert job.exit_code() == f"{128 + getattr(signal, 'SIG' + name)}\n"


def test_a_gitlab_like_script(job):
    text = (
        "#!/usr/bin/env bash\n\ntrap exit 1 TERM\n\nif set -o | grep pipefail > /dev/null; then "
        "set -o pipefail; fi; set -o errexit\nset +o noclobber\n"
        ': | (eval $\'export A="it\\\'s"\\necho "$A"\\ncat\\nexit 42\\n\')\necho not here\n'
    ).replace("trap exit 1 TERM", "trap 'exit 1' TERM")
    done = job.prepare().run(text)
    assert (done.returncode, done.stdout) == (BUILD_FAILURE, b"it's\n")
    assert job.exit_code() == "42\n"


def test_standard_input_cannot_swallow_the_script(job):
    done = job.prepare().run("cat\nread x || echo none\nwc -c\necho end\n")
    assert done.stdout.split() == [b"none", b"0", b"end"]


def test_a_script_of_five_megabytes(job):
    text = ": 'padding padding padding padding padding padding'\n" * 100_000 + "echo end\nexit 9\n"
    assert len(text) > 5_000_000
    done = job.prepare().run(text)
    assert (done.returncode, done.stdout, job.exit_code()) == (BUILD_FAILURE, b"end\n", "9\n")


def test_argv_and_environment_show_nothing(job, until):
    job.prepare()
    secret = "s3cret" + os.urandom(8).hex()
    process = job.start(f"x={secret}\n/bin/sleep 73.25\ntrue\n")
    below = until(
        lambda: [p for p in descendants(job.agent_pid()) if command_line(p) == "/bin/sleep 73.25"]
    )
    seeds = [job.metadata()[name] for name in ("user_key_seed", "host_key_seed")]
    for pid in [process.pid, *descendants(job.agent_pid()), job.agent_pid()]:
        shown = command_line(pid).encode() + environment(pid)
        for word in [secret, *seeds]:
            assert word.encode() not in shown, command_line(pid)
    shown = environment(below[0])
    for word in (b"CUSTOM_ENV_", b"BERTH_", b"SSH_PUBLIC_KEY", b"JOB_RESPONSE", job.token.encode()):
        assert word not in shown
    os.kill(process.pid, signal.SIGTERM)
    process.wait(60)


def test_the_tasks_environment(job):
    job.driver.settings["Local"]["PassEnvironment"] = ["WANTED", "HOME", "CUSTOM_ENV_X"]
    job.env |= {
        "WANTED": "yes",
        "UNWANTED": "no",
        "CUSTOM_ENV_X": "y",
        "LC_TIME": "C",
        "https_proxy": "http://proxy",
    }
    job.prepare()
    done = job.run("env; pwd; ls -A ~; echo $TMPDIR; [ -d $TMPDIR ] && echo there\n")
    lines = done.stdout.decode().split("\n")
    assert {"WANTED=yes", "LC_TIME=C", "https_proxy=http://proxy", "there"} <= set(lines)
    assert f"HOME={job.home()}" in lines and f"TMPDIR={job.home().parent}/tmp" in lines
    assert not [line for line in lines if "UNWANTED" in line or "CUSTOM_ENV" in line]


@pytest.mark.parametrize("size", [1, 2, 65536, 1_000_003, 20_000_000])
def test_output_byte_for_byte(job, size):
    payload = os.urandom(size)
    job.prepare()
    (job.home() / "payload").write_bytes(payload)
    done = job.run("cat ~/payload\nexit 3\n")
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(payload).digest()
    assert job.exit_code() == "3\n"


def test_stdout_and_stderr_come_in_order(job):
    text = "for i in $(seq 2000); do echo out; echo err >&2; done\n"
    done = job.prepare().run(text)
    assert done.stdout == b"out\nerr\n" * 2000 and done.stderr == ""


def test_an_image_without_a_shell_is_a_build_failure(job, programs):
    """However often it is tried: so not the system's, which would be."""
    job.put_before_agent(without_shell(), programs.agent)
    done = job.prepare().run("echo never\n")
    assert done.returncode == BUILD_FAILURE and job.exit_code() is None
    assert "cannot run in its image" in done.stderr and "cannot execute the shell" in done.stderr
    again = job.run("echo never\n", "after_script")
    assert "interrupted" not in again.stderr, "it has ended; nothing was interrupted"


def test_output_comes_as_it_is_made(job):
    process = job.prepare().start(
        "echo first\ncat ~/gate\necho second\n".replace(
            "cat ~/gate", "until [ -e ~/gate ]; do sleep 0.01; done"
        )
    )
    assert process.stdout.readline() == b"first\n", "while the script still runs"
    (job.home() / "gate").touch()
    assert process.stdout.read() == b"second\n"
    assert process.wait(60) == 0


def memory_kib(pid):
    for line in open(f"/proc/{pid}/status", encoding="ascii"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def test_a_reader_that_stops_makes_the_job_stop(job, programs, until):
    process = job.prepare().start("head -c 200000000 /dev/zero\ntouch ~/done\n")
    process.stdout.read(1)
    reached = []

    def stalled():
        reached.append(memory_kib(process.pid))
        return len(reached) > 100 and reached[-1] == reached[-100]

    until(stalled, 60, "memory to stay level")
    assert not (job.home() / "done").exists()
    assert max(reached) - reached[0] < (64 if programs.sanitized else 16) * 1024
    total = 1
    while chunk := process.stdout.read(1 << 20):
        total += len(chunk)
    assert (total, process.wait(60)) == (200000000, 0)


def test_a_reader_that_goes_away_ends_the_job(job, until):
    process = job.prepare().start("yes\n")
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(60) == SYSTEM_FAILURE
    assert b"cannot write the job's output" in process.stderr.read()
    until(lambda: not [p for p in descendants(job.agent_pid()) if command_line(p) == "yes"])


def test_missing_script_file(job):
    done = job.prepare().stage("run", "/nonexistent/script", "step")
    assert done.returncode == SYSTEM_FAILURE and "'/nonexistent/script'" in done.stderr
    assert job.exit_code() is None


def test_run_without_prepare(job):
    done = job.run("echo no\n")
    assert done.returncode == SYSTEM_FAILURE and done.stdout == b""
    assert "no task for 'job-4711-" in done.stderr


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "x" * 100_000], ids=["empty", "cut", "array", "big"]
)
def test_damaged_metadata(job, text):
    job.prepare()
    (path,) = job.driver.metadata.iterdir()
    whole = path.read_text()
    path.write_text(text)
    for words in (("run", job.script("true"), "x"), ("cleanup",), ("prepare",)):
        done = job.stage(*words)
        assert done.returncode == SYSTEM_FAILURE and str(path) in done.stderr
    path.write_text(whole)


def test_a_hostile_job_id_does_not_matter(berth_driver, tmp_path):
    env = berth_driver.environment(
        CUSTOM_ENV_CI_JOB_ID="../../../../tmp/x",
        BUILD_FAILURE_EXIT_CODE="1",
        SYSTEM_FAILURE_EXIT_CODE="2",
    )
    assert berth_driver.run("custom", "prepare", env=env).returncode == 0
    (path,) = berth_driver.metadata.iterdir()
    assert path.name.startswith("job-0-")
    assert berth_driver.run("custom", "cleanup", env=env).returncode == 0


def test_cleanup_may_run_any_number_of_times(job):
    assert job.stage("cleanup").returncode == 0, "before anything"
    job.prepare()
    for _ in range(3):
        done = job.stage("cleanup")
        assert (done.returncode, done.stderr) == (0, "")


def test_prepare_twice_ends_the_first_task(job):
    first = job.prepare().agent_pid()
    second = job.prepare().agent_pid()
    assert first != second and not alive(first) and alive(second)


def test_cleanup_ends_everything(job, until):
    job.prepare()
    text = "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' >/dev/null 2>&1 &\n"
    assert job.run(text * 5).returncode == 0
    marker = f"HOME={job.home()}".encode()
    until(lambda: len(with_marker(marker)) >= 5)
    assert job.stage("cleanup").returncode == 0
    assert with_marker(marker) == set()


def test_cleanup_after_the_agent_was_killed(job, until):
    job.prepare()
    text = "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' >/dev/null 2>&1 &\n"
    assert job.run(text).returncode == 0
    marker = f"HOME={job.home()}".encode()
    os.kill(job.agent_pid(), signal.SIGKILL)
    assert job.stage("cleanup").returncode == 0
    assert with_marker(marker) == set()


def test_cleanup_of_an_agent_that_hangs(job):
    job.prepare()
    pid = job.agent_pid()
    os.kill(pid, signal.SIGSTOP)
    assert job.stage("cleanup").returncode == 0
    assert not alive(pid)


def test_cleanup_spares_a_recycled_pid(job, until):
    job.prepare()
    (path,) = job.driver.metadata.iterdir()
    agent = job.agent_pid()
    # A process is identified by its start time, in hundredths of a second.
    born = int(open(f"/proc/{agent}/stat").read().rpartition(")")[2].split()[19])
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") > born + 1)
    bystander = subprocess.Popen(["sleep", "60"])
    values = json.loads(path.read_text())
    values["state"]["pid"] = bystander.pid
    path.write_text(json.dumps(values))
    assert job.stage("cleanup").returncode == 0
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    until(lambda: not alive(agent), what="the agent, found by its HOME")


def test_a_lost_task_is_a_system_failure(job, until):
    process = job.prepare().start("echo up\nsleep 60\n")
    assert process.stdout.readline() == b"up\n"
    end_tree(job.agent_pid())
    assert process.wait(60) == SYSTEM_FAILURE
    message = process.stderr.read().decode()
    assert "was lost while the job ran" in message and "has exited" in message
    assert job.exit_code() is None


def test_a_silent_link_is_a_system_failure(job, until):
    job.driver.settings["SSH"] = {"Keepalive": "1s", "ReattachTimeout": "0s"}
    process = job.prepare().start("echo up\nsleep 60\n")
    assert process.stdout.readline() == b"up\n"
    agent = job.agent_pid()
    frozen = freeze(agent, lambda pid: pid != agent)
    assert process.wait(60) == SYSTEM_FAILURE
    assert b"no response to keepalives for 3 s" in process.stderr.read()
    thaw(frozen)


def test_keepalives_do_not_disturb_a_quiet_job(job):
    job.driver.settings["SSH"] = {"Keepalive": "1s"}
    done = job.prepare().run("sleep 4.5; echo end\n")
    assert (done.returncode, done.stdout) == (0, b"end\n")


@pytest.mark.waits
@pytest.mark.parametrize("way", ["run", "ssh"])
def test_a_slow_reader_does_not_lose_the_connection(job, programs, way):
    """The connection is paused only for moments: the agent's keepalives are still answered. The
    driver has none of its own here, since it receives whenever it sends."""
    job.driver.settings["SSH"] = {"Keepalive": "0"}
    settings = ["BERTH_KEEPALIVE=1500ms", "BERTH_KEEPALIVE_COUNT=3"]
    job.put_before_agent(["env", *settings], programs.agent)
    total = 20_000_000
    command = f"head -c {total} /dev/zero"
    if way == "run":
        process = job.prepare().start(command)
    else:
        number = job.prepare().env["CUSTOM_ENV_CI_JOB_ID"]
        process = job.driver.start("ssh", number, "--", command, env=job.env)
    read = 0
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        read += len(os.read(process.stdout.fileno(), 1024))
        time.sleep(0.08)  # which is what makes it slow
    out, err = process.communicate(timeout=60)
    assert (process.returncode, read + len(out)) == (0, total), err


@pytest.mark.waits
def test_a_stop_request_while_the_output_is_blocked(job, until):
    process = job.prepare().start("head -c 1000000 /dev/zero; touch ~/done\n")
    until((job.home() / "done").exists)
    process.terminate()
    assert process.wait(60) == SYSTEM_FAILURE
    assert b"its output was not read" in process.stderr.read()


def test_prepare_killed_half_way_leaves_nothing(job):
    """SIGKILL at many moments; cleanup finds whatever there is by then."""
    for delay_ms in range(0, 30, 1):
        process = job.driver.start("custom", "prepare", env=job.env)
        killer = threading.Timer(delay_ms / 1000, process.kill)
        killer.start()
        process.wait(60)
        killer.join()
        assert job.stage("cleanup").returncode == 0
        assert job.nothing_kept() == []


@pytest.mark.parametrize(
    "agent,message",
    [
        ("#!/bin/sh\necho 'cannot listen: it hurts' >&2\nexit 3\n", "cannot listen: it hurts"),
        ("#!/bin/sh\nexit 0\n", "the agent exited during startup without output"),
        ("#!/bin/sh\necho nonsense >&3\nexec sleep 60\n", "the agent did not report its port"),
        ("#!/bin/sh\nexec sleep 60\n", "did not start listening in time"),
        ("#!/bin/sh\necho 1 >&3\nexec 3>&-\n", "has exited"),
    ],
)
def test_an_agent_that_dies_at_start(job, tmp_path, agent, message):
    program = tmp_path / "agent"
    program.write_text(agent)
    program.chmod(0o755)
    job.driver.settings["Local"]["Agent"] = str(program)
    job.driver.settings["SSH"] = {"ConnectTimeout": "5s"}  # in which a busy machine starts a shell
    done = job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE and message in done.stderr
    assert done.stderr.count("\n") == 1 and job.nothing_kept() == []


@pytest.mark.parametrize(
    "seed, message",
    [("host_key_seed", "host key mismatch"), ("user_key_seed", "rejected this job's key")],
)
def test_another_key_is_refused(job, seed, message):
    job.prepare()
    (path,) = job.driver.metadata.iterdir()
    whole = path.read_text()
    values = json.loads(whole)
    values[seed] = "A" * 43 + "="
    path.write_text(json.dumps(values))
    done = job.run("echo no\n")
    assert done.returncode == SYSTEM_FAILURE and done.stdout == b""
    assert message in done.stderr
    path.write_text(whole)


def test_exit_code_file_that_cannot_be_written(job, tmp_path):
    job.env["BUILD_EXIT_CODE_FILE"] = str(tmp_path / "missing/directory/code")
    done = job.prepare().run("exit 5\n")
    assert done.returncode == BUILD_FAILURE and "BUILD_EXIT_CODE_FILE" in done.stderr
