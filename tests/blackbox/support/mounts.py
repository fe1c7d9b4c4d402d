# SPDX-License-Identifier: MIT
"""Programs in mount namespaces of their own: another disk, an image without a shell.

Each function returns words to put in front of a program, or skips the test that may not do this.
"""

import os
import subprocess

import pytest


def _in_namespace(script):
    words = ["unshare", "-m", "sh", "-c", script, "sh"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to make a mount namespace (unshare -m)")
    return words


def small_disk(directory, redirect=""):
    """'directory', which is made, has a MiB of room."""
    directory.mkdir()
    return _in_namespace(f'mount -t tmpfs -o size=1m none {directory} && exec "$@" {redirect}')


def without_shell():
    """No shell can be executed."""
    names = ("/bin/sh", "/bin/bash", "/bin/busybox")
    shells = sorted({os.path.realpath(shell) for shell in names if os.path.exists(shell)})
    hide = " && ".join(f"mount --bind /dev/null {shell}" for shell in shells)
    return _in_namespace(f'{hide} && exec "$@"')


def login_shell(directory, shell):
    """Root's login shell is 'shell', by a user database of the tests' own in 'directory'."""
    passwd = directory / "passwd"
    lines = ["root:x:0:0:root:/root:" + str(shell)]
    with open("/etc/passwd", encoding="utf-8") as file:
        lines += [line.rstrip("\n") for line in file if not line.startswith("root:")]
    passwd.write_text("\n".join(lines) + "\n")
    return _in_namespace(f'mount --bind {passwd} /etc/passwd && exec "$@"')


def user_databases(passwd, group):
    """/etc/passwd and /etc/group are these files."""
    return _in_namespace(
        f'mount --bind {passwd} /etc/passwd && mount --bind {group} /etc/group && exec "$@"'
    )


def without_proc():
    """No /proc, as in a bare chroot."""
    return _in_namespace('mount -t tmpfs none /proc && exec "$@"')


def read_only():
    """As 'docker run --read-only --cap-drop ALL': no file can be written, no capability is left."""
    script = """
    mount -o remount,bind,ro / && exec setpriv --bounding-set=-all --inh-caps=-all "$@"
    """
    return _in_namespace(script)


def hidden_processes(user):
    """PID 1 as a user without an entry in /etc/passwd, under a /proc with hidepid=2."""
    _in_namespace('exec "$@"')  # skips
    script = f"""
    mount -t proc -o hidepid=2 proc /proc &&
    exec setpriv --reuid={user} --regid={user} --clear-groups "$@"
    """
    return ["unshare", "-pfm", "--kill-child=TERM", "sh", "-c", script, "sh"]


def empty(directory):
    """Hides what 'directory' holds on this machine; what is written there is gone afterwards."""
    return _in_namespace(f'mount -t tmpfs none {directory} && exec "$@"')


DEFAULT_CONFIG = "/etc/gitlab-runner/fargate.toml"


def default_config(file=None, mode=0o644):
    """The driver's default configuration is a copy of 'file'; None: there is none, whatever this
    machine has. A temporary file that is gone before it is copied does not matter."""
    if file is None:
        directory = os.path.dirname(DEFAULT_CONFIG)
        hide = f"! test -d {directory} || mount -t tmpfs none {directory}"
        return _in_namespace(f'{hide}; exec "$@"') if os.path.exists(directory) else []
    put = f"""
    all=$(mktemp -d) && mount -t tmpfs none "$all" && {{ cp -a /etc/. "$all" 2>/dev/null || :; }} &&
    mkdir -p "$all/gitlab-runner" && install -m {mode:o} {file} "$all/gitlab-runner/fargate.toml" &&
    mount --move "$all" /etc && rmdir "$all" && exec "$@"
    """
    return _in_namespace(put)
