# SPDX-License-Identifier: MIT
"""Who gets in, who does not, and how many at a time; what a client may ask for once it is in."""

import base64
import json
import socket
import subprocess
import sys
import time

import paramiko
import pytest

from support import processes
from support.clients import paramiko_key, run, start, transport
from support.keys import KeyPair
from support.proxy import PAUSE_S, Fault, Proxy

UNKNOWN_USER = "nobody-of-this-name"


def settle(started, until):
    until(lambda: not processes.descendants(started.pid, True), 8, "the sessions' end")


def test_only_public_keys_are_offered(agent):
    with transport(agent(), login=False) as link:
        with pytest.raises(paramiko.BadAuthenticationType) as refusal:
            link.auth_none("root")
        assert refusal.value.allowed_types == ["publickey"]
        with pytest.raises(paramiko.BadAuthenticationType):
            link.auth_password("root", "secret", fallback=False)


def test_wrong_key_is_refused_quickly(agent):
    with transport(agent(), login=False) as link:
        key = paramiko_key(KeyPair())
        link.auth_timeout = 5
        took = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(paramiko.AuthenticationException):
                link.auth_publickey("root", key)
            took.append(time.monotonic() - began)
        assert min(took) < 0.1


def test_the_sixth_try_ends_the_connection(agent):
    started = agent()
    with transport(started, login=False) as link:
        for _ in range(5):
            with pytest.raises(paramiko.AuthenticationException):
                link.auth_publickey("root", paramiko_key(KeyPair()))
        assert link.is_active()
        with pytest.raises(paramiko.SSHException):
            link.auth_publickey("root", paramiko_key(KeyPair()))
        link.join(5)
        assert not link.is_active()
    assert "failed logins, disconnecting" in started.log()


def test_a_good_key_after_wrong_ones(agent, client_key):
    with transport(agent(), login=False) as link:
        for _ in range(4):
            with pytest.raises(paramiko.AuthenticationException):
                link.auth_publickey("root", paramiko_key(KeyPair()))
        link.auth_publickey("root", paramiko_key(client_key))
        assert run(link, "exit 4")[0] == 4


# In OpenSSH's banner, after it, in and after its KEXINIT, and before its login.
@pytest.mark.parametrize("at", [10, 41, 500, 1600, 2800, 3000])
def test_a_slow_client_logs_in(agent, ssh, at):
    """It has the login grace, however long it takes from one message to the next: a machine under
    load needs seconds for a post-quantum key exchange."""
    started = agent()
    client = ssh(started)
    with Proxy(started.port, [Fault(at, upload=True, kind="pause")]) as proxy:
        client.port = proxy.port
        client.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {started.host_key.public}\n")
        began = time.monotonic()
        assert client.run("exit 4").returncode == 4, started.log()
        assert time.monotonic() - began >= PAUSE_S, "the pause was in the conversation"


def login_request(key_type, blob, signature=None):
    """SSH_MSG_USERAUTH_REQUEST of RFC 4252, section 7, whatever the parts are."""
    message = paramiko.Message()
    message.add_byte(bytes([50]))
    for text in ("root", "ssh-connection", "publickey"):
        message.add_string(text)
    message.add_boolean(signature is not None)
    message.add_string(key_type)
    message.add_string(blob)
    if signature is not None:
        message.add_string(signature)
    return message


def unanswerable(client_key):
    blob = base64.b64decode(client_key.public.split()[1])
    wrong = paramiko.Message()
    wrong.add_string("ssh-ed25519")
    wrong.add_string(b"x" * 64)
    return {
        "unknown type": login_request("ssh-nonsense", blob, wrong.asbytes()),
        "a type that is not accepted": login_request("ssh-dss", blob, wrong.asbytes()),
        "SHA-1": login_request("ssh-rsa", blob, wrong.asbytes()),
        "no key": login_request("ssh-ed25519", b"nonsense"),
        "a wrong signature": login_request("ssh-ed25519", blob, wrong.asbytes()),
        "no signature": login_request("ssh-ed25519", blob, b""),
    }


@pytest.mark.parametrize("case", [
    "unknown type", "a type that is not accepted", "SHA-1", "no key", "a wrong signature",
    "no signature",
])  # fmt: skip
def test_a_login_that_the_library_leaves_unanswered(agent, client_key, case):
    """It is over in two seconds, not at the end of the login grace."""
    started = agent()
    with transport(started, login=False) as link:
        service = paramiko.Message()
        service.add_byte(bytes([5]))
        service.add_string("ssh-userauth")
        link._send_message(service)
        began = time.monotonic()
        link._send_message(unanswerable(client_key)[case])
        link.join(10)
        assert not link.is_active()
        assert time.monotonic() - began < 6
    assert "a login that cannot be answered, disconnecting" in started.log()


def test_unknown_user(agent, client_key):
    with transport(agent(), login=False) as link, pytest.raises(paramiko.AuthenticationException):
        link.auth_publickey(UNKNOWN_USER, paramiko_key(client_key))


@pytest.mark.parametrize("name", ["a\nfake: line", "\x1b[31mred", "tab\there", "x" * 300, ""])
def test_control_bytes_of_a_name_stay_out_of_the_log(agent, client_key, name):
    started = agent()
    with transport(started, login=False) as link, pytest.raises(paramiko.SSHException):
        link.auth_publickey(name, paramiko_key(client_key))
    log = started.log()
    assert "\x1b" not in log and "\t" not in log
    assert all(line.startswith("berth-agent[") for line in log.splitlines())


def test_unauthenticated_connections_of_one_address(agent, until):
    """Five from one address; the next is refused at once, and a place that is free again counts."""
    started = agent()
    opened = []
    try:
        for _ in range(5):
            link = socket.create_connection(("127.0.0.1", started.port), 5)
            opened.append(link)
            assert link.recv(4) == b"SSH-"
        with socket.create_connection(("127.0.0.1", started.port), 5) as refused:
            assert refused.recv(4) == b""
        # Another address is not kept out by them.
        other = socket.create_connection(("127.0.0.1", started.port), 5, ("127.0.0.2", 0))
        opened.append(other)
        assert other.recv(4) == b"SSH-"
    finally:
        for link in opened:
            link.close()
    settle(started, until)
    with transport(started) as link:
        assert run(link, "exit 2")[0] == 2


def test_unauthenticated_connections_in_all(agent):
    """Ten, whatever the addresses; those logged in are not counted."""
    started = agent()
    opened = []
    with transport(started) as logged_in:
        try:
            for i in range(10):
                source = (f"127.0.0.{2 + i}", 0)
                opened.append(socket.create_connection(("127.0.0.1", started.port), 5, source))
                assert opened[-1].recv(4) == b"SSH-"
            with socket.create_connection(
                ("127.0.0.1", started.port), 5, ("127.0.0.99", 0)
            ) as refused:
                assert refused.recv(4) == b""
            assert run(logged_in, "exit 8")[0] == 8
        finally:
            for link in opened:
                link.close()


def test_ten_sessions_on_one_connection(agent):
    with transport(agent()) as link:
        channels = [start(link, "cat") for _ in range(10)]
        with pytest.raises(paramiko.ChannelException):
            link.open_session(timeout=5)
        channels.pop().close()
        for _ in range(100):  # the place is free once the agent saw the close
            try:
                extra = link.open_session(timeout=5)
                break
            except paramiko.ChannelException:
                pass
        extra.exec_command("exit 6")
        assert extra.recv_exit_status() == 6


@pytest.mark.parametrize("kind, arguments", [
    ("direct-tcpip", (("127.0.0.1", 22), ("127.0.0.1", 1))),
    ("forwarded-tcpip", (("127.0.0.1", 22), ("127.0.0.1", 1))),
    ("x11", (None, ("127.0.0.1", 1))),
    ("auth-agent@openssh.com", (None, None)),
    ("nonsense@example.com", (None, None)),
    ("", (None, None)),
])  # fmt: skip
def test_other_channels_are_refused(agent, kind, arguments):
    with transport(agent()) as link:
        with pytest.raises(paramiko.ChannelException):
            link.open_channel(kind, *arguments, timeout=5)
        assert run(link, "exit 3")[0] == 3


def test_port_forwarding_is_refused(agent):
    with transport(agent()) as link:
        with pytest.raises(paramiko.SSHException):
            link.request_port_forward("127.0.0.1", 0)
        assert link.global_request("nonsense@example.com", wait=True) is None
        assert run(link, "exit 3")[0] == 3


def request(link, channel, name, *fields):
    """Whether a channel request with these string fields was granted."""
    message = paramiko.Message()
    message.add_byte(bytes([98]))
    message.add_int(channel.remote_chanid)
    message.add_string(name)
    message.add_boolean(True)
    for field in fields:
        message.add_string(field)
    channel._event_pending()
    link._send_user_message(message)
    try:
        channel._wait_for_event()
    except paramiko.SSHException:
        return False
    return True


@pytest.mark.parametrize("name, fields", [
    ("auth-agent-req@openssh.com", ()), ("nonsense@example.com", ()), ("", ()),
    ("subsystem", ("nonsense",)), ("break", ()), ("env", ("LD_PRELOAD", "/tmp/x.so")),
    ("env", ("BASH_ENV", "/tmp/x")), ("env", ("PATH", "/tmp")),
    ("env", ("BERTH_HOST_KEY_SEED", "x")),
])  # fmt: skip
def test_other_requests_are_refused(agent, name, fields):
    with transport(agent()) as link:
        assert not request(link, link.open_session(timeout=5), name, *fields)
        channel = link.open_session(timeout=5)
        channel.exec_command("exit 9")
        assert channel.recv_exit_status() == 9


def test_a_second_command_on_one_channel_is_refused(agent):
    with transport(agent()) as link:
        channel = start(link, "read x; exit $x")
        assert not request(link, channel, "exec", "exit 1")
        # paramiko closes a channel that was refused something; the connection lives.
        assert run(link, "exit 9")[0] == 9


def audit(started):
    words = [sys.executable, "-m", "ssh_audit.ssh_audit", "--json", "--skip-rate-test"]
    done = subprocess.run(
        [*words, "-p", str(started.port), "127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return json.loads(done.stdout)


def test_ssh_audit(agent):
    found = audit(agent())
    problems = [
        f"{kind} {entry['algorithm']}: {entry['notes']['fail']}"
        for kind in ("kex", "key", "enc", "mac")
        for entry in found[kind]
        if entry.get("notes", {}).get("fail")
    ]
    assert problems == [] and len(found["enc"]) >= 5 and not found.get("cves")
    names = [entry["algorithm"] for entry in found["kex"]]
    assert "kex-strict-s-v00@openssh.com" in names, "without it: Terrapin, CVE-2023-48795"
    assert [entry["algorithm"] for entry in found["key"]] == ["ssh-ed25519"]
