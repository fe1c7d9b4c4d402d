# SPDX-License-Identifier: MIT
"""Authentication, limits of concurrent connections, and requests after the login."""

import base64
import contextlib
import getpass
import json
import socket
import subprocess
import sys
import time

import paramiko
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from support import processes
from support.clients import paramiko_key, run, start, transport
from support.keys import KeyPair
from support.proxy import PAUSE_S, Fault, Proxy

UNKNOWN_USER = "nobody-of-this-name"


def settle(started, until):
    until(lambda: not processes.descendants(started.pid, True), 60, "the sessions' end")


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


def test_the_sixth_attempt_disconnects(agent):
    started = agent()
    with transport(started, login=False) as link:
        for _ in range(5):
            with pytest.raises(paramiko.AuthenticationException):
                link.auth_publickey("root", paramiko_key(KeyPair()))
        assert link.is_active()
        with pytest.raises(paramiko.SSHException):
            link.auth_publickey("root", paramiko_key(KeyPair()))
        link.join(60)
        assert not link.is_active()
    assert "failed logins, disconnecting" in started.log()


def by_none(link):
    link.auth_none("root")


def by_password(link):
    link.auth_password("root", "secret", fallback=False)


def by_questions(link):
    link.auth_interactive("root", lambda *_: [])


def by_another_service(link):
    """An authentication request of an unknown method, which paramiko has no function for."""
    request = paramiko.Message()
    request.add_byte(bytes([50]))
    for text in ("root", "ssh-nonsense", "none"):
        request.add_string(text)
    link.auth_handler = None
    link._send_message(request)


@pytest.mark.parametrize("ask", [by_none, by_password, by_questions])
def test_every_method_counts_as_an_attempt(agent, ask):
    """ "none" too, by which clients learn the accepted methods."""
    started = agent(args=["--login-tries", "4"])
    with transport(started, login=False) as link:
        for _ in range(3):
            with pytest.raises(paramiko.SSHException):
                ask(link)
        assert link.is_active()
        with pytest.raises(paramiko.SSHException):
            ask(link)
        link.join(60)
        assert not link.is_active()
    assert "4 failed logins, disconnecting" in started.log()


def test_attempts_sent_at_once_count_separately(agent):
    """Requests in one packet of TCP count separately."""
    started = agent(args=["--login-tries", "4"])
    with transport(started, login=False) as link:
        service = paramiko.Message()
        service.add_byte(bytes([5]))
        service.add_string("ssh-userauth")
        link._send_message(service)
        for _ in range(40):
            try:
                by_another_service(link)
            except (OSError, EOFError, paramiko.SSHException):
                break
        link.join(60)
        assert not link.is_active()
    assert "4 failed logins, disconnecting" in started.log()


def test_a_good_key_after_wrong_ones(agent, client_key):
    with transport(agent(), login=False) as link:
        for _ in range(4):
            with pytest.raises(paramiko.AuthenticationException):
                link.auth_publickey("root", paramiko_key(KeyPair()))
        link.auth_publickey("root", paramiko_key(client_key))
        assert run(link, "exit 4")[0] == 4


# In OpenSSH's version line, after it, in and after KEXINIT, and before the login.
@pytest.mark.parametrize("at", [10, 41, 500, 1600, 2800, 3000])
def test_a_slow_client_logs_in(agent, ssh, at):
    """It has the whole login grace, whatever the pauses between messages: a busy machine needs
    seconds for a post-quantum key exchange."""
    started = agent()
    client = ssh(started)
    with Proxy(started.port, [Fault(at, upload=True, kind="pause")]) as proxy:
        client.port = proxy.port
        client.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {started.host_key.public}\n")
        began = time.monotonic()
        assert client.run("exit 4").returncode == 4, started.log()
        assert time.monotonic() - began >= PAUSE_S, "the pause was in the conversation"


def login_request(key_type, blob, signature=None):
    """SSH_MSG_USERAUTH_REQUEST of RFC 4252, section 7, with these fields."""
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

    def signature(name):
        text = paramiko.Message()
        text.add_string(name)
        text.add_string(b"x" * 64)
        return text.asbytes()

    wrong = paramiko.Message(signature("ssh-ed25519"))
    red = "\x1b[31m"
    return {
        "unknown type": login_request("ssh-nonsense", blob, signature("ssh-nonsense")),
        "a type that is not accepted": login_request("ssh-dss", blob, signature("ssh-dss")),
        "SHA-1": login_request("ssh-rsa", blob, signature("ssh-rsa")),
        "SHA-1 under another name": login_request("rsa-sha2-512", blob, signature("ssh-rsa")),
        "control bytes": login_request(red, blob, signature(red)),
        "no key": login_request("ssh-ed25519", b"nonsense"),
        "a wrong signature": login_request("ssh-ed25519", blob, wrong.asbytes()),
        "no signature": login_request("ssh-ed25519", blob, b""),
    }


# The refused algorithm in the log; the other logins are refused for other reasons.
NAMED = {
    "unknown type": "ssh-nonsense'",
    "a type that is not accepted": "ssh-dss'",
    "SHA-1": "ssh-rsa' (RSA with SHA-1)",
    "SHA-1 under another name": "ssh-rsa' (RSA with SHA-1)",
    "control bytes": "\\x1b[31m",
}


@pytest.mark.parametrize("case", [
    "SHA-1 under another name", "control bytes",
    "unknown type", "a type that is not accepted", "SHA-1", "no key", "a wrong signature",
    "no signature",
])  # fmt: skip
def test_a_login_without_a_reply_from_libssh(agent, client_key, case):
    """The agent disconnects after two seconds, not at the end of the login grace."""
    started = agent()
    with transport(started, login=False) as link:
        service = paramiko.Message()
        service.add_byte(bytes([5]))
        service.add_string("ssh-userauth")
        link._send_message(service)
        began = time.monotonic()
        link._send_message(unanswerable(client_key)[case])
        link.join(60)
        assert not link.is_active()
        assert time.monotonic() - began < 25, "the login grace is 30 s"
    log = started.log()
    assert "no reply to a login request, disconnecting" in log
    named = NAMED.get(case)
    assert log.count("signs its login with") == (named is not None)
    assert named is None or f"signs its login with '{named}" in log


class OldRsaKey(paramiko.RSAKey):
    """Signs with SHA-1, as clients did before RFC 8332; paramiko no longer does."""

    def sign_ssh_data(self, data, algorithm=None):
        text = paramiko.Message()
        text.add_string("ssh-rsa")
        text.add_string(self.key.sign(data, padding.PKCS1v15(), hashes.SHA1()))
        return text


@pytest.mark.parametrize("kind", [paramiko.RSAKey, OldRsaKey], ids=["SHA-2", "SHA-1"])
def test_rsa_with_sha_1_is_logged(agent, kind):
    """GitLab's driver 0.1.0 signs with SHA-1; the same key with SHA-2 logs in."""
    key = kind(key=paramiko.RSAKey.generate(2048).key)

    class Pair:
        public = f"ssh-rsa {key.get_base64()}"

    old = kind is OldRsaKey
    started = agent(client_key=Pair)
    with transport(started, login=False) as link:
        link.auth_timeout = 8
        if old:
            with pytest.raises(paramiko.SSHException):
                link.auth_publickey(getpass.getuser(), key)
        else:
            link.auth_publickey(getpass.getuser(), key)
            assert run(link, "exit 3")[0] == 3
    said = "signs its login with 'ssh-rsa' (RSA with SHA-1), which is not accepted"
    assert (said in started.log()) is old


def test_unknown_user(agent, client_key):
    with transport(agent(), login=False) as link, pytest.raises(paramiko.AuthenticationException):
        link.auth_publickey(UNKNOWN_USER, paramiko_key(client_key))


@pytest.mark.parametrize("name", ["a\nfake: line", "\x1b[31mred", "tab\there", "x" * 300, ""])
def test_control_characters_of_a_name_are_masked_in_the_log(agent, client_key, name):
    started = agent()
    with transport(started, login=False) as link, pytest.raises(paramiko.SSHException):
        link.auth_publickey(name, paramiko_key(client_key))
    log = started.log()
    assert "\x1b" not in log and "\t" not in log
    assert all(line.startswith("berth-agent[") for line in log.splitlines())


def connect(started, source):
    return socket.create_connection(("127.0.0.1", started.port), 60, (source, 0))


def full(agent, sources, last):
    """An agent with connections from 'sources' which have not logged in, and what the connection
    after them receives. All are repeated on a machine so busy that they took two seconds: then the
    first makes room for another."""
    while True:
        started, links = agent(), []
        began = time.monotonic()
        for source in sources:
            links.append(connect(started, source))
            assert links[-1].recv(4) == b"SSH-"
        with connect(started, last) as another:
            received = another.recv(4)
        if time.monotonic() - began < 1.9:
            return started, links, received
        for link in links:
            link.close()


def test_unauthenticated_connections_of_one_address(agent, until):
    """Five from one address; the next is refused at once, until one of them is closed."""
    started, opened, received = full(agent, ["127.0.0.1"] * 5, "127.0.0.1")
    try:
        assert received == b""
        # Another address can connect.
        opened.append(connect(started, "127.0.0.2"))
        assert opened[-1].recv(4) == b"SSH-"
    finally:
        for link in opened:
            link.close()
    settle(started, until)
    with transport(started) as link:
        assert run(link, "exit 2")[0] == 2


def test_unauthenticated_connections_in_all(agent):
    """Ten from all addresses; logged-in connections do not count."""
    with contextlib.ExitStack() as stack:

        def logged_in():
            """An agent with a connection that has logged in."""
            started = agent()
            started.logged_in = stack.enter_context(transport(started))
            return started

        sources = [f"127.0.0.{number}" for number in range(2, 12)]
        started, opened, received = full(logged_in, sources, "127.0.0.99")
        try:
            assert received == b""
            assert run(started.logged_in, "exit 8")[0] == 8
        finally:
            for link in opened:
                link.close()


def test_ten_sessions_on_one_connection(agent):
    with transport(agent()) as link:
        channels = [start(link, "cat") for _ in range(10)]
        with pytest.raises(paramiko.ChannelException):
            link.open_session(timeout=60)
        channels.pop().close()
        for _ in range(100):  # the place is free once the agent has seen the close
            try:
                extra = link.open_session(timeout=60)
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
            link.open_channel(kind, *arguments, timeout=60)
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
        assert not request(link, link.open_session(timeout=60), name, *fields)
        channel = link.open_session(timeout=60)
        channel.exec_command("exit 9")
        assert channel.recv_exit_status() == 9


def test_a_second_command_on_one_channel_is_refused(agent):
    with transport(agent()) as link:
        channel = start(link, "read x; exit $x")
        assert not request(link, channel, "exec", "exit 1")
        # paramiko closes a channel after a refusal; the connection stays open.
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
