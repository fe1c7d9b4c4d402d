# SPDX-License-Identifier: MIT
"""'berth-agent await' and 'berth-agent identity'."""

import contextlib
import os
import socket
import subprocess
import time

import pytest

from support.mounts import _in_namespace


@contextlib.contextmanager
def listening(address="127.0.0.1", port=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as problem:
            pytest.skip(f"{address}: {problem}")
        listener.listen(8)
        yield listener.getsockname()[1]


@pytest.fixture
def words(programs):
    def make(*ports, timeout="60s", before=()):
        return [*before, programs.agent, "await", "--timeout", timeout, *ports]

    return make


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize(
    "address, host",
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("127.0.0.1", "localhost"),
        ("127.1.2.3", "127.1.2.3"),
    ],
)
def test_a_port_that_accepts(words, free_port, address, host):
    with listening(address) as port:
        done = run(words(f"{host}:{port}"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert run(words(f"127.0.0.1:{free_port()}", f"{host}:{port}")).returncode == 0


def test_a_port_that_comes_later(words, free_port):
    port = free_port()
    with subprocess.Popen(words(f"127.0.0.1:{port}")) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.4)
        with listening(port=port):
            assert process.wait(60) == 0


def test_names_of_the_hosts_file(words, tmp_path, until):
    """Also one that is added while the agent waits; DNS is not asked."""
    hosts = tmp_path / "hosts"
    hosts.write_text("10.255.255.1 far\n127.0.0.1 other DB # x\n")
    before = _in_namespace(f'mount --bind {hosts} /etc/hosts && exec "$@"')
    with listening() as port:
        assert run(words(f"db:{port}", before=before)).returncode == 0
        done = run(words(f"x:{port}", before=before, timeout="200ms"))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"x:{port}: no such name in /etc/hosts" in done.stderr
        with subprocess.Popen(words(f"later:{port}", before=before)) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3)
            with hosts.open("a") as file:
                file.write("127.0.0.1 later\n")
            assert process.wait(60) == 0


def test_the_deadline(words, free_port):
    began = time.monotonic()
    done = run(words(f"127.0.0.1:{free_port()}", "[::1]:1", timeout="300ms"))
    assert 0.3 <= time.monotonic() - began < 50
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "or another port within 0.3 s: Connection refused" in done.stderr


def test_a_server_that_does_not_answer(words):
    """Its queue is full: the kernel drops further connections, which must not last for ever."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        done = run(words(f"127.0.0.1:{listener.getsockname()[1]}", timeout="500ms"))
    assert done.returncode == 1 and "within 0.5 s: " in done.stderr


def test_a_connection_to_itself_is_no_server(words):
    """The kernel may give a client the port that it connects to: here soon, of a few ports."""
    script = "echo 40000 40007 >/proc/sys/net/ipv4/ip_local_port_range && ip link set lo up"
    before = ["unshare", "--net", "sh", "-c", f'{script} && exec "$@"', "sh"]
    if subprocess.run([*before, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to make a network namespace (unshare --net)")
    ports = [f"127.0.0.1:{port}" for port in range(40000, 40008)]
    done = run(words(*ports, timeout="2s", before=before))
    assert done.returncode == 1 and "no connection to 127.0.0.1:40000" in done.stderr


@pytest.mark.parametrize(
    "port",
    [
        "",
        "80",
        ":80",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "::1:80",
        "[]:80",
        "a" * 254 + ":80",
    ],
)
def test_wrong_words(words, port):
    done = run(words("127.0.0.1:80", port))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not HOST:PORT; for example 127.0.0.1:5432" in done.stderr


def test_too_many_or_no_ports(words):
    assert run(words()).returncode == 2
    assert run(words(*["127.0.0.1:1"] * 65)).returncode == 2
    assert run(words("127.0.0.1:1", timeout="soon")).returncode == 2


def test_identity(programs):
    done = run([programs.agent, "identity"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{os.geteuid()} {os.getegid()}\n"
    assert run([programs.agent, "identity", "x"]).returncode == 2
    if os.geteuid() == 0:
        other = ["setpriv", "--reuid=4000000000", "--regid=4000000001", "--clear-groups"]
        assert run([*other, programs.agent, "identity"]).stdout == "4000000000 4000000001\n"


@pytest.mark.parametrize("command", ["place", "identity", "own", "await", "service"])
def test_help_of_a_command(programs, command):
    done = run([programs.agent, command, "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: berth-agent {command}")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert f"\n  {command} " in run([programs.agent, "--help"]).stdout
