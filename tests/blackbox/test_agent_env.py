# SPDX-License-Identifier: MIT
"""Variables that a client may set for its job, and the user that a job runs as."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.jobwire import Job
from support.mounts import user_databases

HOSTILE = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "BASH_ENV",
    "BASH_FUNC_ls%%",
    "ENV",
    "PATH",
    "IFS",
    "SHELLOPTS",
    "PYTHONPATH",
    "HOME",
    "SSH_CONNECTION",
    "BERTH_LISTEN",
    "GLIBC_TUNABLES",
]


def settings(variables):
    return ["-o", "SetEnv=" + " ".join(f"{name}={value}" for name, value in variables.items())]


def job_environment(ssh, target, variables):
    got = ssh(target).run("env", options=settings(variables))
    assert got.returncode == 0
    return dict(line.split("=", 1) for line in got.stdout.decode().splitlines() if "=" in line)


def test_permitted_by_default(agent, ssh):
    wanted = {"LANG": "de_DE.UTF-8", "LC_TIME": "C", "TZ": "UTC", "NO_COLOR": "1"}
    found = job_environment(ssh, agent(), wanted)
    assert {name: found.get(name) for name in wanted} == wanted


def test_everything_else_is_refused(agent, ssh):
    found = job_environment(ssh, agent(), {"FOO": "1", "LANGUAGES": "1", "LC_X": "2"})
    assert "FOO" not in found and "LANGUAGES" not in found
    assert found["LC_X"] == "2"  # connection and other variables work


def test_accept_env_option(agent, ssh):
    target = agent(env={"BERTH_ACCEPT_ENV": "FOO_*, BAR"})
    found = job_environment(ssh, target, {"FOO_A": "1", "BAR": "2", "BARS": "3", "LC_X": "4"})
    assert (found.get("FOO_A"), found.get("BAR")) == ("1", "2")
    assert "BARS" not in found and "LC_X" not in found


def test_hostile_names_are_refused_whatever_the_list(agent, ssh):
    found = job_environment(
        ssh, agent(args=["--accept-env", "*"]), {**dict.fromkeys(HOSTILE, "/evil"), "FINE": "1"}
    )
    assert [name for name in HOSTILE if found.get(name) == "/evil"] == []
    assert found["FINE"] == "1"


def test_too_much_is_refused(agent, ssh):
    target = agent(args=["--accept-env", "V*"])
    found = job_environment(ssh, target, {f"V{n}": "x" * 6000 for n in range(8)})
    assert 0 < len([name for name in found if name.startswith("V")]) < 8


class OtherUser:
    """name, uid, home; group: a second one; before: words that show them to an agent."""

    def __init__(self, directory, home):
        self.name, self.uid, self.group, self.home = "berth-other", 54_325, "berth-second", home
        os.chown(home, self.uid, self.uid)
        passwd, group = directory / "passwd", directory / "group"
        entry = f"{self.name}:x:{self.uid}:{self.uid}::{home}:/bin/bash\n"
        passwd.write_text(Path("/etc/passwd").read_text() + entry)
        groups = f"{self.name}:x:{self.uid}:\n{self.group}:x:{self.uid + 1}:{self.name}\n"
        group.write_text(Path("/etc/group").read_text() + groups)
        self.before = user_databases(passwd, group)


@pytest.fixture
def other_user(tmp_path):
    """A user in two groups, of the test's agents alone: the machine's users stay as they are."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    home = tempfile.mkdtemp(dir="/tmp", prefix="berth-test-")  # others cannot enter tmp_path
    try:
        yield OtherUser(tmp_path, home)
    finally:
        shutil.rmtree(home)


def test_login_as_another_user(agent, ssh, other_user):
    user = other_user
    target = agent(env={"IMAGE": "kept"}, before=user.before)
    command = "id -u; id -gn; id -Gn; echo $HOME $SHELL $USER $LOGNAME $IMAGE; pwd; echo $0"
    got = ssh(target, user=user.name).run(command)
    lines = got.stdout.decode().splitlines()
    assert lines[0] == str(user.uid)
    assert lines[1] == user.name
    assert set(lines[2].split()) == {user.name, user.group}
    assert lines[3] == f"{user.home} /bin/bash {user.name} {user.name} kept"
    assert lines[4] == user.home
    assert lines[5] == "bash"


def test_terminal_belongs_to_the_other_user(agent, ssh, other_user):
    started = agent(before=other_user.before)
    client = ssh(started, user=other_user.name)
    got = client.run("stat -c %U $(tty); echo x >$(tty)", options=["-tt"])
    assert got.stdout.decode().split() == [other_user.name, "x"]


STREAMS = "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin; echo x >/proc/self/fd/1"


def test_another_user_can_open_its_streams_by_name(agent, ssh, other_user):
    """Programs log to /dev/stdout, which opens the pipe again: it belongs to the user."""
    started = agent(before=other_user.before)
    got = ssh(started, user=other_user.name).run(STREAMS, input=b"in\n")
    assert (got.returncode, got.stdout) == (0, b"out\nin\nx\n"), got.stderr
    assert got.stderr.endswith(b"err\n")


def test_another_users_resumable_job_can_open_its_streams_by_name(agent, private_key, other_user):
    started = agent(before=other_user.before)
    with Job(started.port, private_key, user=other_user.name) as job:
        job.start(os.urandom(16).hex(), STREAMS, b"in\n")
        assert job.collect().exit == (0, "")
        job.release()
    assert (bytes(job.outputs[0]), bytes(job.outputs[1])) == (b"out\nin\nx\n", b"err\n")


def test_another_user_without_cap_chown(agent, ssh, other_user):
    before = [*other_user.before, "setpriv", "--bounding-set=-chown", "--inh-caps=-chown"]
    got = ssh(agent(before=before), user=other_user.name).run("id -u; exit 3")
    assert (got.returncode, got.stdout) == (3, f"{other_user.uid}\n".encode())


def test_no_such_user(agent, ssh):
    got = ssh(agent(), user="no-such-user").run("true")
    assert got.returncode == 255
    assert b"Permission denied" in got.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user, so root")
@pytest.mark.parametrize(("uid", "identity"), [
    (65534, "65534 nobody nobody /nonexistent /bin/sh"), (54_324, "54324 54324 54324 / /bin/sh"),
], ids=["in passwd", "not in passwd"])  # fmt: skip
def test_a_job_runs_as_the_agents_user(agent, ssh, uid, identity):
    """The name of the login does not matter: the driver always logs in as root."""
    unset = dict.fromkeys(("USER", "LOGNAME", "HOME", "SHELL"))
    drop = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    client = ssh(agent(before=drop, env=unset), user="root")
    got = client.run("echo $(id -u) $USER $LOGNAME $HOME $SHELL")
    assert got.stdout.decode() == identity + "\n", got.stderr


def test_image_without_passwd(agent, ssh, programs, tmp_path):
    """Only root exists, with a valid HOME and SHELL."""
    busybox = shutil.which("busybox")
    static = (
        busybox is not None
        and subprocess.run(["ldd", busybox], capture_output=True, check=False).returncode
    )
    if os.geteuid() != 0 or not static or programs.sanitized:
        pytest.skip("needs root, a static busybox and the static agent")
    root = tmp_path / "root"
    for directory in ("bin", "root", "dev", str(programs.directory).lstrip("/")):
        (root / directory).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, root / "bin/busybox")
    for tool in ("sh", "id", "pwd", "env"):
        (root / "bin" / tool).symlink_to("busybox")
    shutil.copy(programs.agent, root / str(programs.agent).lstrip("/"))
    target = agent(
        before=[shutil.which("chroot"), str(root)], env={"HOME": None, "SHELL": None, "PATH": None}
    )
    client = ssh(target, user="root")
    got = client.run("id -u; pwd; echo $HOME $SHELL $USER")
    assert got.stdout == b"0\n/root\n/root /bin/sh root\n", got.stderr
    assert ssh(target, user="nobody").run("true").returncode == 255
    assert client.run("exit 3").returncode == 3
    process = client.start("sleep 300 & echo x; wait")
    assert process.stdout.readline() == b"x\n"
