# SPDX-License-Identifier: MIT
"""Connections by other people's SSH libraries, with the agent's host key pinned.

Each returns something to use in a 'with' statement, so that nothing is left open.
"""

import base64
import contextlib
import getpass
import io
import socket

import paramiko

DEADLINE_S = 60.0


def paramiko_key(pair):
    """A KeyPair as paramiko takes it."""
    path = io.StringIO(pair.private_text)
    return paramiko.Ed25519Key.from_private_key(path)


@contextlib.contextmanager
def transport(agent, pair=None, user=None, login=True, **how):
    """A paramiko transport, logged in unless login=False."""
    link = socket.create_connection(("127.0.0.1", agent.port), DEADLINE_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    result = paramiko.Transport(link, **how)
    result.banner_timeout = result.handshake_timeout = result.auth_timeout = DEADLINE_S
    try:
        result.start_client(timeout=DEADLINE_S)
        if agent.host_key is not None:
            shown = result.get_remote_server_key().asbytes()
            assert shown == base64.b64decode(agent.host_key.public.split()[1])
        if login:
            result.auth_publickey(user or getpass.getuser(), paramiko_key(pair or agent.client_key))
        yield result
    finally:
        result.close()


def start(link, command):
    """A session channel that runs a command; reads and writes time out."""
    channel = link.open_session(timeout=DEADLINE_S)
    channel.settimeout(DEADLINE_S)
    channel.exec_command(command)
    return channel


def read_all(channel):
    """Standard output to its end."""
    text = b""
    while chunk := channel.recv(1 << 16):
        text += chunk
    return text


def run(link, command):
    """(exit status, standard output) of a command."""
    channel = start(link, command)
    text = read_all(channel)
    return channel.recv_exit_status(), text
