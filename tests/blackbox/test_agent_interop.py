# SPDX-License-Identifier: MIT
"""Third-party clients: each sends and receives 1 MiB intact and gets the exit status."""

import getpass
import os
import shutil
import subprocess
import threading

import asyncssh
import asyncssh.kex
import pytest

from support import interop
from support.clients import read_all, start, transport

CONTENT = os.urandom(1 << 20)
COMMAND = "cat; exit 123"

CIPHERS = [
    "chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    "aes128-ctr", "aes256-ctr",
]  # fmt: skip
KEY_EXCHANGES = [
    "mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256", "curve25519-sha256@libssh.org",
]  # fmt: skip


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"needs the program '{program}'")


def moves(words, env=None):
    done = subprocess.run(
        list(map(str, words)), input=CONTENT, capture_output=True, timeout=200, check=False, env=env
    )
    assert (done.returncode, done.stdout == CONTENT) == (123, True), done.stderr.decode()


@pytest.mark.parametrize("cipher", CIPHERS)
def test_openssh_ciphers(agent, ssh, cipher):
    words = ["-o", f"Ciphers={cipher}", "-o", "MACs=hmac-sha2-256-etm@openssh.com"]
    moves(ssh(agent()).command_line(COMMAND, options=words))


def test_openssh_other_mac(agent, ssh):
    words = ["-o", "Ciphers=aes256-ctr", "-o", "MACs=hmac-sha2-512-etm@openssh.com"]
    moves(ssh(agent()).command_line(COMMAND, options=words))


@pytest.mark.parametrize("exchange", KEY_EXCHANGES)
def test_openssh_key_exchanges(agent, ssh, exchange):
    known = subprocess.run(
        ["ssh", "-Q", "kex"], capture_output=True, text=True, check=True
    ).stdout.split()
    if exchange not in known:
        pytest.skip(f"this ssh does not know '{exchange}'")
    moves(ssh(agent()).command_line(COMMAND, options=["-o", f"KexAlgorithms={exchange}"]))


@pytest.mark.parametrize(
    "options",
    [
        ["RekeyLimit=32K", "KexAlgorithms=curve25519-sha256"],
        ["RekeyLimit=64K", "Ciphers=aes128-ctr"],
    ],
)
def test_openssh_rekeys_under_load(agent, ssh, options):
    words = [word for option in options for word in ("-o", option)]
    moves(ssh(agent()).command_line(COMMAND, options=words))


@pytest.mark.parametrize("kind, words", [
    ("ed25519", []), ("ecdsa", ["-b", "256"]), ("ecdsa", ["-b", "384"]), ("ecdsa", ["-b", "521"]),
    ("rsa", ["-b", "2048"]), ("rsa", ["-b", "4096"]),
])  # fmt: skip
def test_openssh_key_types(agent, ssh, tmp_path, kind, words):
    path = tmp_path / "key"
    make = ["ssh-keygen", "-q", "-N", "", "-t", kind, *words, "-f", str(path)]
    subprocess.run(make, check=True)
    started = agent(env={"SSH_PUBLIC_KEY": path.with_suffix(".pub").read_text()})
    assert ssh(started).run("exit 9", key_path=path).returncode == 9


def test_openssh_multiplexed(agent, ssh, tmp_path):
    client = ssh(agent())
    control = ["-o", f"ControlPath={tmp_path}/c"]
    master = client.start(None, options=["-N", "-o", "ControlMaster=yes", *control])
    try:
        for code in (0, 7, 255):
            words = [*control, "-o", "ControlMaster=auto"]
            assert client.run(f"exit {code}", options=words).returncode == code
        moves(client.command_line(COMMAND, options=control))
    finally:
        master.terminate()


def test_dropbear(agent, client_key_path, tmp_path):
    """chacha20-poly1305 only: its AES needs MACs that are not encrypt-then-MAC."""
    need("dbclient")
    need("dropbearconvert")
    started = agent()
    key = tmp_path / "dropbear"
    convert = ["dropbearconvert", "openssh", "dropbear", str(client_key_path), str(key)]
    subprocess.run(convert, check=True, capture_output=True)
    (tmp_path / ".ssh").mkdir()
    host = f"127.0.0.1 {started.host_key.public}\n[127.0.0.1]:{started.port} "
    (tmp_path / ".ssh/known_hosts").write_text(host + started.host_key.public + "\n")
    words = ["dbclient", "-i", key, "-p", started.port]
    words += [f"{getpass.getuser()}@127.0.0.1", COMMAND]
    moves(words, dict(os.environ, HOME=str(tmp_path)))


def test_plink(agent, client_key_path, tmp_path):
    need("plink")
    need("puttygen")
    started = agent()
    key = tmp_path / "key.ppk"
    convert = ["puttygen", str(client_key_path), "-O", "private", "-o", str(key)]
    subprocess.run(
        convert, check=True, capture_output=True, env=dict(os.environ, HOME=str(tmp_path))
    )
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", "-"],
        input=started.host_key.public,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    words = ["plink", "-ssh", "-batch", "-P", started.port, "-hostkey", fingerprint, "-i", key]
    words += [f"{getpass.getuser()}@127.0.0.1", COMMAND]
    moves(words, dict(os.environ, HOME=str(tmp_path)))


@pytest.mark.parametrize("cipher", ["", "aes128-ctr", "aes256-ctr", "aes128-gcm@openssh.com"])
def test_paramiko(agent, cipher):
    started = agent()
    with transport(started) as probe:
        available = probe.get_security_options().ciphers
    if cipher and cipher not in available:
        pytest.skip(f"this paramiko does not know '{cipher}'")
    others = [name for name in available if cipher and name != cipher]
    with transport(started, disabled_algorithms={"ciphers": others}) as link:
        channel = start(link, COMMAND)

        def send():
            channel.sendall(CONTENT)
            channel.shutdown_write()

        sender = threading.Thread(target=send)
        sender.start()
        assert read_all(channel) == CONTENT
        sender.join(60)
        assert channel.recv_exit_status() == 123
        assert not cipher or link.remote_cipher == cipher


@pytest.mark.parametrize("cipher", CIPHERS)
def test_asyncssh(agent, event_loop_run, cipher):
    async def check(connection):
        done = await connection.run(COMMAND, input=CONTENT, encoding=None)
        return done.exit_status, done.stdout == CONTENT

    assert event_loop_run(agent(), check, encryption_algs=[cipher]) == (123, True)


@pytest.mark.parametrize("exchange", KEY_EXCHANGES)
def test_asyncssh_key_exchanges(agent, event_loop_run, exchange):
    """With mlkem768x25519-sha256, which older versions of OpenSSH do not have."""
    if exchange.encode() not in asyncssh.kex.get_kex_algs():
        pytest.skip(f"this asyncssh does not know '{exchange}'")

    async def check(connection):
        done = await connection.run(COMMAND, input=CONTENT, encoding=None)
        return done.exit_status, done.stdout == CONTENT

    assert event_loop_run(agent(), check, kex_algs=[exchange]) == (123, True)


def library_client(words, started, key, cipher, exchange):
    return [*words, started.port, getpass.getuser(), key, started.host_key.public, cipher,
            exchange, COMMAND]  # fmt: skip


@pytest.mark.parametrize("cipher, exchange", [
    ("", ""), ("chacha20-poly1305@openssh.com", "curve25519-sha256"),
    ("aes128-gcm@openssh.com", "curve25519-sha256@libssh.org"), ("aes128-ctr", ""),
    ("aes256-ctr", ""),
])  # fmt: skip
def test_go(agent, client_key_path, cipher, exchange):
    need("go")
    moves(library_client(interop.go_client(), agent(), client_key_path, cipher, exchange))


@pytest.mark.parametrize("cipher, exchange", [
    ("", ""), ("chacha20-poly1305@openssh.com", "curve25519-sha256"),
    ("aes128-gcm@openssh.com", "curve25519-sha256@libssh.org"), ("aes256-gcm@openssh.com", ""),
    ("aes256-ctr", ""),
])  # fmt: skip
def test_node_ssh2(agent, client_key_path, cipher, exchange):
    need("node")
    need("npm")
    moves(library_client(interop.node_client(), agent(), client_key_path, cipher, exchange))
