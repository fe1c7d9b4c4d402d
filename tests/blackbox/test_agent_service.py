# SPDX-License-Identifier: MIT
"""'berth-agent service': the first process of a service, whose variables come by a file."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from support import processes
from support.mounts import _in_namespace
from support.waiting import until


@pytest.fixture
def service(programs, tmp_path):
    """service(words, options): a running service; .file is that of its variables."""
    started = []

    def start(*words, options=(), before=(), env=None, **how):
        process = subprocess.Popen(
            [*before, programs.agent, "service", "--variables", start.file, *options, "--", *words],
            env=dict(os.environ, **(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **how,
        )
        started.append(process)
        return process

    start.file = tmp_path / "volume/variables"
    start.file.parent.mkdir()
    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def write(path, content, mode=0o600):
    """As the helper does: complete when it gets its name."""
    temporary = path.with_name("temporary")
    temporary.write_bytes(content)
    temporary.chmod(mode)
    temporary.rename(path)


def end(process, deadline_s=100):
    out, err = process.communicate(timeout=deadline_s)
    return process.returncode, out, err


def waits(process):
    """It has started, which a busy machine takes its time for, and does not end."""
    status = Path(f"/proc/{process.pid}/status")
    until(lambda: int(status.read_text().split("SigBlk:")[1].split()[0], 16), what="its signals")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)


def test_variables_that_come_later(service):
    """They replace those of the image, keep every byte, and are in no log."""
    text = (
        b"A=secret one\0IMAGE=new\0EMPTY=\0LINES=x\ny\0dotted.name-1=yes\0BERTH_X=mine\0A=secret 2"
    )
    image = {"IMAGE": "old", "KEPT": "yes", "BERTH_Y": "gone", "BERTH_LOG_LEVEL": "debug"}
    process = service("env", "-0", env=image)
    waits(process)
    write(service.file, text)
    status, out, err = end(process)
    found = dict(entry.split("=", 1) for entry in out.split("\0") if entry)
    wanted = {"A": "secret 2", "IMAGE": "new", "EMPTY": "", "LINES": "x\ny", "KEPT": "yes",
              "dotted.name-1": "yes", "BERTH_X": "mine"}  # fmt: skip
    assert status == 0
    assert {name: found.get(name) for name in wanted} == wanted
    assert "BERTH_Y" not in found and "secret" not in err


@pytest.mark.parametrize("content", [b"", b"A=1", b"A=1\0"])
def test_a_file_that_is_there(service, content):
    write(service.file, content)
    assert end(service("sh", "-c", 'echo "${A-none}"'))[:2] == (0, "1\n" if content else "none\n")


def test_a_path_of_the_variables_finds_the_command(service, tmp_path):
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    write(service.file, f"PATH={tmp_path}:/bin:/usr/bin\0".encode())
    assert end(service("only-here"))[:2] == (0, "found\n")
    assert end(service("nonexistent"))[0] == 127
    assert end(service("/etc/passwd"))[0] == 126


def test_as_process_1_it_reaps_and_forwards(service):
    before = _in_namespace('exec unshare -pf --mount-proc --kill-child=KILL "$@"')
    write(service.file, b"A=1\0")
    script = """
    trap 'echo got term; exit 5' TERM
    (sleep 0.1 & exec sleep 0.1) & (setsid sh -c 'exit 3' &)
    while grep -qs '^State:.Z' /proc/[0-9]*/status; do :; done
    echo "$A $(cat /proc/1/comm)"; while :; do sleep 0.05; done
    """
    process = service("sh", "-c", script, before=before)
    assert process.stdout.readline() == "1 berth-agent\n"
    (init,) = [p for p in processes.descendants(process.pid) if processes.name(p) == "berth-agent"]
    os.kill(init, signal.SIGTERM)
    assert end(process)[:2] == (5, "got term\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_while_it_waits(service, number):
    process = service("echo", "no")
    waits(process)
    process.send_signal(signal.SIGWINCH)
    process.send_signal(signal.SIGCHLD)
    waits(process)
    process.send_signal(number)
    status, out, err = end(process)
    assert (status, out) == (128 + number, "")
    assert f"signal {int(number)}, not starting 'echo'" in err


def test_the_deadline(service):
    began = time.monotonic()
    status, out, err = end(service("echo", "no", options=["--timeout", "400ms"]))
    assert 0.4 <= time.monotonic() - began < 20
    assert (status, out) == (1, "")
    assert f"the variables '{service.file}' did not come" in err


REFUSED = {
    "no name": (b"A=1\0=secret\0", "entry 2 of '{}' is not NAME=VALUE"),
    "no value": (b"secret\0", "entry 1 of '{}' is not NAME=VALUE"),
    "empty entry": (b"A=1\0\0B=2\0", "entry 2 of '{}' is not NAME=VALUE"),
    "control character": (b"A\nB=secret\0", "entry 1 of '{}' is not NAME=VALUE"),
    "long name": (b"A" * 257 + b"=secret\0", "entry 1 of '{}' is not NAME=VALUE"),
    "too many": (b"A=secret\0" * 4097, "'{}' has more than 4096 variables"),
    "too large": (b"A=" + b"s" * (1 << 20), "'{}' is larger than 1048576 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_valid(service, name):
    content, message = REFUSED[name]
    write(service.file, content)
    status, out, err = end(service("echo", "no"))
    assert (status, out) == (1, "")
    assert message.format(service.file) in err and "secret" not in err


def test_the_largest_file(service):
    """4096 entries of one byte less than the limit in all."""
    entry = (1 << 20) // 4096
    content = b"".join(
        b"V%d=" % n + b"x" * (entry - 2 - len(b"V%d" % n)) + b"\0" for n in range(4096)
    )
    assert len(content) == 1 << 20
    write(service.file, content)
    assert end(service("sh", "-c", "env | grep -c '^V[0-9]*=x'"))[:2] == (0, "4096\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    "kind", ["another user's", "group can write", "others can write", "link", "directory", "fifo"]
)
def test_a_file_of_another_kind(service, tmp_path, kind):
    file, target = service.file, tmp_path / "target"
    write(target, b"A=secret\0")
    if kind == "link":
        file.symlink_to(target)
    elif kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file, 0o600)
    else:
        mode = {"group can write": 0o620, "others can write": 0o602}.get(kind, 0o600)
        write(file, b"A=secret\0", mode)
        if kind == "another user's":
            os.chown(file, 12345, 12345)
    status, out, err = end(service("echo", "no"))
    assert (status, out) == (1, "")
    assert f"'{file}'" in err and "secret" not in err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_service_of_another_user(service):
    """The file of root, or its own; in an image without a passwd entry for it."""
    directory = tempfile.mkdtemp(dir="/tmp", prefix="berth-test-")
    os.chmod(directory, 0o755)
    try:
        service.file = Path(directory) / "variables"
        before = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
        write(service.file, b"A=1\0", 0o644)
        assert end(service("sh", "-c", "echo $A $(id -u)", before=before))[:2] == (0, "1 12345\n")
        write(service.file, b"A=2\0", 0o400)
        status, _, err = end(service("sh", "-c", "echo no", before=before))
        assert status == 1 and "cannot open the variables" in err and "Permission denied" in err
        os.chown(service.file, 12345, 12345)
        assert end(service("sh", "-c", "echo $A", before=before))[:2] == (0, "2\n")
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--variables"],
        ["--variables", "x"],
        ["--", "echo"],
        ["echo", "--variables", "x"],
        ["--variables", "x", "--"],
    ],
)
def test_wrong_words(programs, words):
    done = subprocess.run([programs.agent, "service", *words], capture_output=True, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
