# SPDX-License-Identifier: MIT
"""Variables that a client may set for its job, and the user that a job runs as."""

import os
import pwd
import shutil
import subprocess

import pytest

from support.jobwire import Job

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


@pytest.fixture
def other_user():
    """A user in two groups, created for the test and removed after it."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip(
            "needs root, and useradd that is not installed" if os.geteuid() == 0 else "needs root"
        )
    name, group = f"berth{os.getpid()}", f"berthg{os.getpid()}"
    subprocess.run(["groupadd", group], check=True)
    try:
        subprocess.run(
            ["useradd", "-m", "-s", "/bin/bash", "-G", group, name], check=True, capture_output=True
        )
        yield pwd.getpwnam(name), group
    finally:
        subprocess.run(["userdel", "-r", name], check=False, capture_output=True)
        subprocess.run(["groupdel", group], check=False)


def test_login_as_another_user(agent, ssh, other_user):
    user, group = other_user
    target = agent(env={"IMAGE": "kept"})
    command = "id -u; id -gn; id -Gn; echo $HOME $SHELL $USER $LOGNAME $IMAGE; pwd; echo $0"
    got = ssh(target, user=user.pw_name).run(command)
    lines = got.stdout.decode().splitlines()
    assert lines[0] == str(user.pw_uid)
    assert lines[1] == user.pw_name
    assert set(lines[2].split()) == {user.pw_name, group}
    assert lines[3] == f"{user.pw_dir} /bin/bash {user.pw_name} {user.pw_name} kept"
    assert lines[4] == user.pw_dir
    assert lines[5] == "bash"


def test_terminal_belongs_to_the_other_user(agent, ssh, other_user):
    user, _ = other_user
    got = ssh(agent(), user=user.pw_name).run("stat -c %U $(tty); echo x >$(tty)", options=["-tt"])
    assert got.stdout.decode().split() == [user.pw_name, "x"]


STREAMS = "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin; echo x >/proc/self/fd/1"


def test_another_user_can_open_its_streams_by_name(agent, ssh, other_user):
    """Programs log to /dev/stdout, which opens the pipe again: it belongs to the user."""
    user, _ = other_user
    got = ssh(agent(), user=user.pw_name).run(STREAMS, input=b"in\n")
    assert (got.returncode, got.stdout) == (0, b"out\nin\nx\n"), got.stderr
    assert got.stderr.endswith(b"err\n")


def test_another_users_resumable_job_can_open_its_streams_by_name(agent, private_key, other_user):
    user, _ = other_user
    with Job(agent().port, private_key, user=user.pw_name) as job:
        job.start(os.urandom(16).hex(), STREAMS, b"in\n")
        assert job.collect().exit == (0, "")
        job.release()
    assert (bytes(job.outputs[0]), bytes(job.outputs[1])) == (b"out\nin\nx\n", b"err\n")


def test_another_user_without_cap_chown(agent, ssh, other_user):
    user, _ = other_user
    before = ("setpriv", "--bounding-set=-chown", "--inh-caps=-chown")
    got = ssh(agent(before=before), user=user.pw_name).run("id -u; exit 3")
    assert (got.returncode, got.stdout) == (3, f"{user.pw_uid}\n".encode())


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
