# SPDX-License-Identifier: MIT
"""File transfer by sftp and scp, in all their modes."""

import os
import subprocess

import pytest

SIZES = [0, 1, 32768, 3_000_001]


@pytest.fixture
def copy(ssh, client_key_path):
    """copy(agent, program, words): runs scp or sftp; 'HOST' stands for the agent's address."""

    def run(target, program, words, input=b""):
        client = ssh(target)
        line = client.command_line(program=program)
        line = [*line[: line.index("-p")], "-P", str(target.port), *words]
        host = f"{client.user}@127.0.0.1"
        return subprocess.run(
            [word.replace("HOST", host) for word in line],
            input=input,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", [[], ["-O"]], ids=["sftp-protocol", "scp-protocol"])
def test_scp_both_ways(agent, copy, tmp_path, mode, size):
    target = agent()
    there, back = tmp_path / "there", tmp_path / "back"
    source = tmp_path / "source file"
    source.write_bytes(os.urandom(size))
    got = copy(target, "scp", [*mode, str(source), f"HOST:{there}"])
    assert got.returncode == 0, got.stderr
    got = copy(target, "scp", [*mode, f"HOST:{there}", str(back)])
    assert got.returncode == 0, got.stderr
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("mode", [[], ["-O"]], ids=["sftp-protocol", "scp-protocol"])
def test_scp_of_a_tree(agent, copy, tmp_path, mode):
    source = tmp_path / "tree"
    (source / "a/b").mkdir(parents=True)
    for number in range(50):
        (source / f"a/b/{number}").write_bytes(bytes([number]) * number)
    got = copy(agent(), "scp", [*mode, "-r", str(source), f"HOST:{tmp_path}/copied"])
    assert got.returncode == 0, got.stderr
    names = sorted(int(path.name) for path in (tmp_path / "copied/a/b").iterdir())
    assert names == list(range(50))


def test_scp_reports_a_missing_file(agent, copy, tmp_path):
    got = copy(agent(), "scp", ["HOST:/no/such/file", str(tmp_path / "x")])
    assert got.returncode != 0
    assert b"No such file" in got.stderr


def test_sftp_batch(agent, copy, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(200_000))
    commands = f"""
        mkdir {tmp_path}/made
        put {source} {tmp_path}/made/one
        rename {tmp_path}/made/one {tmp_path}/made/two
        get {tmp_path}/made/two {tmp_path}/got
        ls -l {tmp_path}/made
    """
    got = copy(agent(), "sftp", ["-b", "-", "HOST"], input=commands.encode())
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "got").read_bytes() == source.read_bytes()
    assert b"two" in got.stdout


def test_sftp_server_option(agent, copy, tmp_path):
    program = tmp_path / "my-server"
    program.write_text("#!/bin/sh\necho served >&2\nexec /usr/lib/openssh/sftp-server\n")
    program.chmod(0o755)
    target = agent(env={"BERTH_SFTP_SERVER": str(program)})
    got = copy(target, "sftp", ["-b", "-", "HOST"], input=b"pwd\n")
    assert got.returncode == 0, got.stderr
    assert b"served" in got.stderr


def test_image_without_a_server(agent, copy, ssh, tmp_path):
    target = agent(args=["--sftp-server", "/no/such/program"])
    got = copy(target, "sftp", ["-b", "-", "HOST"], input=b"pwd\n")
    assert got.returncode != 0
    assert b"subsystem request failed" in got.stderr
    assert "no sftp-server in this image, refusing" in target.log()
    (tmp_path / "source").write_text("old protocol")
    got = copy(target, "scp", ["-O", str(tmp_path / "source"), f"HOST:{tmp_path}/copied"])
    assert got.returncode == 0, got.stderr


def test_a_server_installed_later(agent, copy, tmp_path):
    program = tmp_path / "my-server"
    target = agent(args=["--sftp-server", str(program)])
    assert copy(target, "sftp", ["-b", "-", "HOST"], input=b"pwd\n").returncode != 0
    program.symlink_to("/usr/lib/openssh/sftp-server")
    assert copy(target, "sftp", ["-b", "-", "HOST"], input=b"pwd\n").returncode == 0


def test_other_subsystems_are_refused(agent, ssh):
    target = agent()
    got = ssh(target).run("nonsense", options=["-s"])
    assert got.returncode == 255
    assert b"subsystem request failed" in got.stderr
    assert "no subsystem 'nonsense', refusing" in target.log()


def test_no_leftovers_of_sftp(agent, copy, until):
    target = agent()
    assert copy(target, "sftp", ["-b", "-", "HOST"], input=b"pwd\n").returncode == 0
    until(lambda: not target.jobs(), 60)
