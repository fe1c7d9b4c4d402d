# SPDX-License-Identifier: MIT
"""[TaskMetadata] Directory: its owner, which files are trusted, and how they are written."""

import json
import os
import re
import stat
import subprocess
import tempfile

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.processes import alive

OTHER_USER = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of another user")


def everything(job):
    """Each command that uses the directory, and its output."""
    script = job.script("echo ran")
    for words in (("custom", "prepare"), ("custom", "run", script, "x"), ("custom", "cleanup"),
                  ("gc",), ("ps",), ("ssh", "4711", "true")):  # fmt: skip
        done = job.driver.run(*words, env=job.env)
        yield words, done.returncode, done.stderr


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o711])
def test_modes_that_are_taken_as_they_are(job, mode):
    job.driver.metadata.mkdir(mode=0o700)
    job.driver.metadata.chmod(mode)
    job.prepare()
    assert job.run("echo ran").stdout == b"ran\n"
    assert stat.S_IMODE(job.driver.metadata.stat().st_mode) == mode


@pytest.mark.parametrize("mode, whom", [(0o775, "its group"), (0o777, "all users"),
                                        (0o1777, "all users"), (0o702, "all users")])  # fmt: skip
def test_a_directory_that_others_can_write(job, mode, whom):
    job.prepare()
    job.driver.metadata.chmod(mode)
    agent = job.agent_pid()
    for words, code, reported in everything(job):
        assert code != 0 and f"is writable by {whom} (mode {mode:04o})" in reported, words
        assert f"chmod go-w {job.driver.metadata}" in reported
    assert alive(agent) and stat.S_IMODE(job.driver.metadata.stat().st_mode) == mode
    doctor = job.driver.run("doctor").stdout.decode()
    assert f"FAIL  [TaskMetadata] Directory '{job.driver.metadata}' is writable" in doctor
    job.driver.metadata.chmod(0o700)


@pytest.mark.parametrize("mode, whom", [(0o775, "its group"), (0o777, "all users"),
                                        (0o1777, "all users")])  # fmt: skip
def test_a_directory_of_local_tasks_that_others_can_write(job, mode, whom):
    job.driver.local.mkdir()
    job.driver.local.chmod(mode)
    done = job.stage("prepare")
    assert done.returncode == BUILD_FAILURE, "a retry of the runner could not help"
    wanted = f"[Local] Directory '{job.driver.local}' is writable by {whom} (mode {mode:04o})"
    assert wanted in done.stderr and f"chmod go-w {job.driver.local}" in done.stderr
    job.driver.local.chmod(0o755)
    assert job.prepare().run("echo ran").stdout == b"ran\n"


@root_only
def test_a_directory_of_local_tasks_of_another_user(job):
    job.driver.local.mkdir()
    os.chown(job.driver.local, OTHER_USER, OTHER_USER)
    done = job.stage("prepare")
    assert done.returncode == BUILD_FAILURE and "run it as the user 'nobody'" in done.stderr
    assert f"[Local] Directory '{job.driver.local}' belongs to" in done.stderr
    os.chown(job.driver.local, 0, 0)


@root_only
def test_root_on_the_directory_of_another_user(job):
    job.prepare()
    os.chown(job.driver.metadata, OTHER_USER, OTHER_USER)
    for words, code, reported in everything(job):
        assert code != 0 and "run it as the user 'nobody'" in reported, words
    doctor = job.driver.run("doctor").stdout.decode()
    assert "belongs to the user 'nobody', and this process runs as the user 'root'" in doctor
    assert "-> run it as the user 'nobody'" in doctor
    # A command in a task of its own still runs, and names the commands that cannot see it.
    done = job.driver.run("exec", "echo ran")
    assert done.stdout == b"ran\n" and "'ssh' will not find this task" in done.stderr
    os.chown(job.driver.metadata, 0, 0)


@root_only
def test_another_user_on_the_directory_of_root(job):
    job.driver.metadata.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(prefix="berth-test-") as place:
        metadata = f"{place}/metadata"
        os.mkdir(metadata, 0o700)
        os.chmod(place, 0o755)
        settings = f'Backend = "local"\n[TaskMetadata]\nDirectory = "{metadata}"\n'
        (job.directory / "x").write_text("")
        with open(f"{place}/fargate.toml", "w") as file:
            file.write(settings)
        program = f"{place}/berth-driver"
        with open(job.driver.program, "rb") as source, open(program, "wb") as copy:
            copy.write(source.read())
        os.chmod(program, 0o755)
        done = subprocess.run(
            [program, "--config", f"{place}/fargate.toml", "ps"],
            env={"PATH": os.environ["PATH"]}, user=OTHER_USER, capture_output=True, cwd="/",
            check=False,
        )  # fmt: skip
    assert done.returncode != 0 and b"belongs to the user 'root'" in done.stderr, done.stderr


@root_only
@pytest.mark.parametrize("how", ["owner", "mode", "link"])
def test_forged_metadata_kills_no_foreign_process(job, how):
    job.prepare()
    (path,) = job.driver.metadata.iterdir()
    kept = path.read_text()
    victim = subprocess.Popen(["sleep", "60"], start_new_session=True)
    fields = open(f"/proc/{victim.pid}/stat").read().rpartition(")")[2].split()
    forged = json.loads(kept)
    forged["state"] |= {"pid": victim.pid, "start": int(fields[19])}
    if how == "link":
        other = job.directory / "other.json"
        other.write_text(json.dumps(forged))
        path.unlink()
        path.symlink_to(other)
    else:
        path.write_text(json.dumps(forged))
        os.chown(path, OTHER_USER, -1) if how == "owner" else path.chmod(0o622)
    for words in (("cleanup",), ("prepare",), ("run", job.script("true"), "x")):
        done = job.stage(*words)
        assert done.returncode == SYSTEM_FAILURE and str(path) in done.stderr, words
        assert "is not trusted" in done.stderr or "not a regular file" in done.stderr
    job.driver.run("gc", "--stop")
    assert victim.poll() is None
    victim.kill()
    victim.wait()
    path.unlink()
    path.write_text(kept)
    path.chmod(0o600)


@pytest.mark.parametrize("note", ["", ".run", ".end"])
@pytest.mark.parametrize("kind", ["FIFO", "directory", "link"])
def test_what_is_no_file_hangs_nothing(job, note, kind):
    job.prepare()
    (path,) = job.driver.metadata.iterdir()
    kept = path.read_bytes()
    odd = path.with_name(path.name + note)
    if note == "":
        path.unlink()
    if kind == "FIFO":
        os.mkfifo(odd, 0o600)
    elif kind == "directory":
        odd.mkdir(0o700)
    else:
        odd.symlink_to(job.directory / "elsewhere")
    done = job.run("echo ran")
    if note == ".end":
        assert done.stdout == b"ran\n"
        done = job.stage("cleanup")
        assert f"{odd}'" in done.stderr
        assert not (job.directory / "elsewhere").exists()
    else:
        assert done.returncode == SYSTEM_FAILURE and f"'{odd}'" in done.stderr, done.stderr
        assert done.stdout == b"" and not (job.directory / "elsewhere").exists()
    odd.rmdir() if kind == "directory" else odd.unlink(missing_ok=True)
    if note == "":
        path.write_bytes(kept)
        path.chmod(0o600)


def test_a_configuration_mistake_is_not_tried_again(job):
    job.driver.metadata.mkdir(mode=0o777)
    job.driver.metadata.chmod(0o777)
    assert job.stage("prepare").returncode == BUILD_FAILURE
    assert not job.driver.local.exists()
    job.driver.metadata.chmod(0o700)


def calls(path):
    """(name, arguments) of each system call that strace saw, of all processes."""
    for line in path.read_text().splitlines():
        match = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)", line)
        if match:
            yield match[1], match[2], int(match[3])


def test_metadata_is_on_the_disk_before_it_has_its_name(job, programs):
    """Traced: content, fsync of it, rename, fsync of the directory; each time."""
    trace = job.directory / "trace"
    if programs.sanitized:
        pytest.skip("the leak checker must trace its own process")
    words = [
        "strace",
        "-o",
        trace,
        "-e",
        "trace=openat,open,fsync,rename,renameat,renameat2,write",
    ]
    words += [job.driver.program, "--config", job.driver.config(), "custom", "prepare"]
    subprocess.run(words, env=job.env, check=True, stdout=subprocess.DEVNULL)
    renames, synced, names = 0, set(), {}
    for name, arguments, result in calls(trace):
        if name in ("open", "openat"):
            names[result] = arguments
            synced.discard(result)
        elif name == "write":
            synced.discard(int(arguments.split(",")[0]))
        elif name == "fsync" and result == 0:
            synced.add(int(arguments))
        elif name.startswith("rename") and ".json" in arguments:
            renames += 1
            old = re.search(r'"([^"]*\.json\.[^"]*)"', arguments)[1]
            assert any(old in names[fd] for fd in synced if fd in names), arguments
            synced.clear()
    assert renames >= 2
    # Last of all the directory, so that the name is there after a crash.
    (directory,) = {fd for fd in synced if str(job.driver.metadata) + '"' in names.get(fd, "")}
    assert directory >= 0
