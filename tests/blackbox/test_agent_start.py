# SPDX-License-Identifier: MIT
"""Options and variables: the agent starts, or prints one line with the reason."""

import base64
import hashlib
import os
import socket
import subprocess

import pytest

from support.clients import run, transport
from support.keys import KeyPair

NO_KEY = "Need your SSH public key as the SSH_PUBLIC_KEY env variable.\n"
GOOD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUCZsNAnEVCEN6EVQPGbnLVzBs0/uzr4eqQf+7jdeRb"


def start(programs, *words, env=None):
    """Runs an agent that must fail to start: (exit status, stdout, stderr)."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("BERTH_")}
    full.update({k: v for k, v in (env or {}).items() if v is not None})
    done = subprocess.run(
        [programs.agent, *words], env=full, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_no_key(programs, value):
    code, out, message = start(programs, "--listen", ":0", env={"SSH_PUBLIC_KEY": value})
    assert (code, out, message) == (1, "", NO_KEY)


@pytest.mark.parametrize("value", [
    "nonsense",
    "\n\n \n",
    "# only a comment",
    "ssh-ed25519",
    "ssh-ed25519 AAAA",
    "ssh-dss AAAAB3NzaC1kc3MAAACBAA==",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7",
    f"command=\"ls\" {GOOD}",
    "x" * 65536,
], ids=["word", "blank", "comment", "type", "short", "dss", "rsa", "options", "64KiB"])  # fmt: skip
def test_no_usable_key(programs, value):
    code, out, message = start(programs, "--listen", ":0", env={"SSH_PUBLIC_KEY": value})
    assert (code, out) == (2, "")
    assert "no usable public key in SSH_PUBLIC_KEY; " in message.splitlines()[-1]
    assert len(message) < 500, "the variable's content is not repeated"


@pytest.mark.parametrize("seed", [
    "!", "AAAA", base64.b64encode(b"x" * 31).decode(), base64.b64encode(b"x" * 33).decode(),
    base64.b64encode(b"x" * 32).decode().rstrip("="), base64.b64encode(b"x" * 32).decode() + "\n",
], ids=["word", "short", "31 bytes", "33 bytes", "no padding", "newline"])  # fmt: skip
def test_bad_seed(programs, seed):
    env = {"SSH_PUBLIC_KEY": GOOD, "BERTH_HOST_KEY_SEED": seed}
    code, out, message = start(programs, "--listen", ":0", env=env)
    assert (code, out) == (2, "")
    assert message.count("\n") == 1 and "BERTH_HOST_KEY_SEED" in message
    assert seed.strip() == "!" or seed.strip() not in message


@pytest.mark.parametrize("words, name", [
    (["--nonsense"], "--nonsense"),
    (["--grace", "soon"], "soon"),
    (["--grace", "-1"], "-1"),
    (["--grace"], "--grace"),
    (["--listen", "localhost:1"], "localhost"),
    (["--listen", "1.2.3.4:65536"], "65536"),
    (["--listen", "1.2.3:22"], "1.2.3"),
    (["--listen", ""], "--listen"),
    (["--log-level", "loud"], "loud"),
    (["--log-format", "xml"], "xml"),
    (["--ready-fd", "x"], "x"),
])  # fmt: skip
def test_wrong_option(programs, words, name):
    code, out, message = start(programs, *words, env={"SSH_PUBLIC_KEY": GOOD})
    assert (code, out, message.count("\n")) == (2, "", 1)
    assert name in message


@pytest.mark.parametrize("name, value", [
    ("BERTH_LISTEN", "nowhere"), ("BERTH_GRACE", "soon"), ("BERTH_LOG_LEVEL", "loud"),
])  # fmt: skip
def test_wrong_variable(programs, name, value):
    code, _, message = start(programs, env={"SSH_PUBLIC_KEY": GOOD, name: value})
    assert code == 2 and value in message


def test_help_and_version(programs):
    code, out, message = start(programs, "--help")
    assert (code, message) == (0, "")
    for name in ("--listen", "BERTH_LISTEN", "--grace", "SSH_PUBLIC_KEY", "BERTH_HOST_KEY_SEED"):
        assert name in out
    code, out, message = start(programs, "--version")
    assert (code, message) == (0, "") and out.startswith("berth-agent ")


def test_port_in_use(programs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, message = start(programs, "--listen", where, env={"SSH_PUBLIC_KEY": GOOD})
    assert (code, out) == (1, "")
    assert where in message and "choose another port with --listen" in message


def test_ready_fd_that_is_not_open(programs):
    words = ["--listen", "127.0.0.1:0", "--ready-fd", "77"]
    code, _, message = start(programs, *words, env={"SSH_PUBLIC_KEY": GOOD})
    assert code == 1 and "--ready-fd 77" in message


@pytest.mark.parametrize("where", ["127.0.0.1:0", ":0", "0", "[::1]:0"])
def test_listens(agent, where):
    started = agent(args=["--listen", where], listen=None)
    host = "::1" if "::1" in where else "127.0.0.1"
    with socket.create_connection((host, started.port), 60) as link:
        assert link.recv(8) == b"SSH-2.0-"


def test_listen_by_variable(agent):
    started = agent(env={"BERTH_LISTEN": "127.0.0.1:0"}, listen=None)
    with transport(started) as link:
        assert run(link, "exit 3") == (3, b"")


def fingerprint(pair):
    digest = hashlib.sha256(base64.b64decode(pair.public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def test_host_key_of_the_seed(agent):
    """RFC 8032, section 7.1, test 1: the seed is used as the private key."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    pair = KeyPair(seed)
    assert fingerprint(pair) in agent(host_key=pair).log()


def test_random_host_key(agent):
    pair = KeyPair()
    started = [agent(env={"BERTH_HOST_KEY_SEED": None}) for _ in range(2)]
    lines = [line for one in started for line in one.log().splitlines() if "SHA256:" in line]
    assert len(lines) == 2 and lines[0].split("SHA256:")[1] != lines[1].split("SHA256:")[1]
    assert all("(random)" in line and fingerprint(pair) not in line for line in lines)


KEY_LINES = {
    "broken": "ssh-ed25519 AAAABROKEN\n{}\n",
    "blank": "\n  \n\t\n{}",
    "CRLF": "# first\r\n{}\r\n",
    "64KiB": "x" * 65536 + "\n{}",
    "64KiB of a type": "ssh-rsa " + "A" * 65536 + "\n{}",
    "other keys": GOOD + "\n" + GOOD + " a comment\n{}",
    "comment": "{} somebody@somewhere with words",
    "indented": "  \t{}  ",
    "spaces": "{}",
    "no good after": "{}\nbroken",
}


@pytest.mark.parametrize("form", KEY_LINES.values(), ids=KEY_LINES.keys())
def test_a_good_key_among_others(agent, client_key, form):
    # Linux limits a variable to 128 KiB.
    started = agent(env={"SSH_PUBLIC_KEY": form.format(client_key.public)})
    with transport(started) as link:
        assert run(link, "exit 5") == (5, b"")


def test_several_keys_log_in(agent, client_key):
    others = [KeyPair() for _ in range(3)]
    text = "\n".join(pair.public for pair in [*others, client_key])
    started = agent(env={"SSH_PUBLIC_KEY": text})
    for pair in [*others, client_key]:
        with transport(started, pair) as link:
            assert run(link, "exit 6") == (6, b"")
    assert "4 authorized keys" in started.log()


def test_json_log(agent):
    import json

    started = agent(args=["--log-format", "json"])
    assert all(json.loads(line) for line in started.log().splitlines())
