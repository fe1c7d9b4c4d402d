# SPDX-License-Identifier: MIT
"""What answers in the place of a task: SSH servers that lie, flood, or never come to an end.

Place        a task of the 'local' backend whose agent is a process that does nothing: the driver is
             led to a port of the test's
RudeServer   an SSH server (paramiko) that shows the host key the driver expects and lets everybody
             in; what it does with a job is the test's: a function for the subsystem "berth-job",
             and one for plain commands
Link         one subsystem channel of it: frames, and the job's command, which is really run
Flood        no SSH server at all: a function gets each connection as it is accepted
"""

import base64
import contextlib
import os
import socket
import struct
import subprocess
import tempfile
import threading

import paramiko

from support import jobwire
from support.clients import paramiko_key
from support.keys import KeyPair

RUN = 8
NOTICE_SHUTDOWN = 1
REFUSED_UNKNOWN_JOB = 2
UNKNOWN = (1 << 64) - 1
USAGE = (5, 0, 0, 0, 0)


class Place:
    """Leads the job's driver to 'port'; the seeds of the job's keys are known once it was prepared
    or is being prepared."""

    def __init__(self, job, port):
        self.seed_path = job.directory / "seed"
        wrapper = job.directory / "rude-agent"
        # The seed is there in full before the driver learns the port.
        wrapper.write_text(
            "#!/bin/sh\n"
            f'printf %s "$BERTH_HOST_KEY_SEED" >{self.seed_path}\n'
            f"echo {port} >&3\nexec 3>&-\nexec sleep 1000\n"
        )
        wrapper.chmod(0o755)
        job.env["BERTH_AGENT"] = str(wrapper)

    def host_key(self):
        return paramiko_key(KeyPair(base64.b64decode(self.seed_path.read_text())))


class Flood:
    """'answer' gets each connection's socket and its number, in a thread of its own; what it raises
    for a connection that is gone ends that thread."""

    def __init__(self, answer):
        self.answer = answer
        self.connections = 0
        self.sockets = []
        self.closed = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(connection)
            self.connections += 1
            thread = threading.Thread(
                target=self._answer, args=(connection, self.connections), daemon=True
            )
            self.threads.append(thread)
            thread.start()

    def _answer(self, connection, number):
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException, jobwire.LinkLost):
            self.answer(connection, number)
        with contextlib.suppress(OSError):
            connection.close()

    def close(self):
        self.closed = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RudeServer(Flood):
    """subsystem(link)                      what "berth-job" does; None: refused
    command(channel, words, link number)    what a plain command does; None: refused
    opened(channel)                         right after the answer to a channel's opening, if given
    authenticating(transport)               before the answer to the login, if given
    commands                                plain commands that were asked for
    links                                   a Link for each subsystem channel
    """

    def __init__(self, place_of, subsystem=None, command=None, opened=None):
        self.subsystem, self.command, self.opened = subsystem, command, opened
        self.place = None
        self.authenticating = None
        self.commands = []
        self.links = []
        super().__init__(self._serve)
        self.place = place_of(self.port)

    def _serve(self, connection, number):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = _Transport(connection)
        transport.opened = self.opened
        transport.add_server_key(self.place.host_key())
        transport.start_server(server=_Session(self, transport, number))
        try:
            while transport.is_active() and not self.closed:
                transport.join(0.1)
        finally:
            transport.close()


class _Transport(paramiko.Transport):
    opened = None
    accepted = None  # set once the answer to a request has gone out

    def _send_user_message(self, message):
        super()._send_user_message(message)
        if self.accepted is not None and message.asbytes()[:1] == b"\x63":
            self.accepted.set()

    def _queue_incoming_channel(self, channel):
        if self.opened is not None:
            self.opened(channel)
        super()._queue_incoming_channel(channel)


class _Session(paramiko.ServerInterface):
    def __init__(self, server, transport, number):
        self.server, self.transport, self.number = server, transport, number

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        if self.server.authenticating is not None:
            self.server.authenticating(self.transport)
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def _run(self, function, *words):
        """In a thread of its own, after the answer that the request gets."""
        accepted = self.transport.accepted = threading.Event()

        def guarded():
            accepted.wait(10)
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException, jobwire.LinkLost):
                function(*words)

        thread = threading.Thread(target=guarded, daemon=True)
        self.server.threads.append(thread)
        thread.start()

    def check_channel_subsystem_request(self, channel, name):
        if self.server.subsystem is None or name != "berth-job":
            return False
        link = Link(self.transport, channel, self.number)
        self.server.links.append(link)
        self._run(self.server.subsystem, link)
        return True

    def check_channel_exec_request(self, channel, command):
        self.server.commands.append(command.decode())
        if self.server.command is None:
            return False
        self._run(self.server.command, channel, command.decode(), self.number)
        return True


class Link:
    """Frames of one subsystem channel, from the agent's side."""

    def __init__(self, transport, channel, number):
        self.transport, self.channel, self.number = transport, channel, number
        self.signals = []  # names
        self.introduced = False  # what names the job has come in whole
        self.offsets = [0, 0]
        self._pending = b""

    def send(self, kind, payload=b""):
        self.channel.sendall(jobwire.encode(kind, payload))

    def next(self):
        """The next frame as (type, payload)."""
        kind, length = struct.unpack(">BI", self._receive(5))
        payload = self._receive(length)
        if kind == jobwire.SIGNAL:
            self.signals.append(payload.decode())
        return kind, payload

    def _receive(self, wanted):
        while len(self._pending) < wanted:
            chunk = self.channel.recv(65536)
            if not chunk:
                raise jobwire.LinkLost("end of the channel")
            self._pending += chunk
        data, self._pending = self._pending[:wanted], self._pending[wanted:]
        return data

    def listen(self):
        """Takes in what comes until the driver has gone."""
        while True:
            self.next()

    def introduction(self):
        """Up to what names the job: (START or ATTACH, command and input or the offsets)."""
        kind, payload = self.next()
        if kind == jobwire.ATTACH:
            self.introduced = True
            return kind, struct.unpack(">QQ", payload[32:])
        command, data = payload[32:], b""
        if kind == RUN:
            command = command.split(b"\0")[1:-1]  # behind the directory
        while True:
            kind, payload = self.next()
            if kind == jobwire.INPUT_END:
                assert struct.unpack(">Q", payload) == (len(data),)
                self.introduced = True
                return jobwire.START, (command, data)
            assert kind == jobwire.INPUT, kind
            data += payload

    def run(self):
        """Takes a START and runs what it says. Returns (stdout, stderr, status)."""
        kind, (command, data) = self.introduction()
        assert kind == jobwire.START, kind
        done = run_command(command, data)
        return done.stdout, done.stderr, done.returncode

    def started(self, out=0, err=0, kind=jobwire.STARTED):
        self.send(kind, struct.pack(">QQ", out, err))

    def output(self, data, stream=0, offset=None):
        offset = self.offsets[stream] if offset is None else offset  # no stream is a lie as well
        self.send(jobwire.OUTPUT, struct.pack(">BQ", stream, offset) + data)
        if stream < 2:
            self.offsets[stream] = offset + len(data)

    def exit(self, status, signal="", totals=None, usage=USAGE):
        totals = self.offsets if totals is None else totals
        self.send(jobwire.EXIT, struct.pack(">I7Q", status, *usage, *totals) + signal.encode())

    def notice(self, text="the task is reported to stop", code=NOTICE_SHUTDOWN):
        self.send(jobwire.NOTICE, bytes([code]) + text.encode())

    def refused(self, code=REFUSED_UNKNOWN_JOB):
        self.send(jobwire.REFUSED, struct.pack(">I", code) + b"no")

    def honest_start(self):
        """A job that has run and whose output is here, up to its exit. Returns its status."""
        out, err, status = self.run()
        self.started()
        if out:
            self.output(out)
        if err:
            self.output(err, 1)
        return status

    def wait(self):
        """Reads nothing until the connection has ended."""
        while self.transport.is_active():
            self.transport.join(0.1)

    def drop(self):
        self.transport.close()


def run_command(words, data):
    """As the agent runs RUN's words: their input at descriptor 3."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        fd = file.fileno()
        shell = ["bash", "-c", f'exec bash -c "$1" 3<&{fd}', "bash", words[0].decode()]
        return subprocess.run(
            shell, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, env=env,
            pass_fds=[fd], check=False,
        )  # fmt: skip


class Command:
    """Runs a plain command and passes on its input and output, but not its exit status."""

    def __init__(self, channel, command):
        self.channel = channel
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", command], env=env, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.threads = [
            threading.Thread(target=self._pump, args=words, daemon=True)
            for words in (
                (self.process.stdout, channel.sendall),
                (self.process.stderr, channel.sendall_stderr),
            )
        ]
        self.threads.append(threading.Thread(target=self._feed, daemon=True))
        for thread in self.threads:
            thread.start()

    def _pump(self, source, send):
        with contextlib.suppress(OSError, EOFError):
            while chunk := os.read(source.fileno(), 65536):
                send(chunk)

    def _feed(self):
        with contextlib.suppress(OSError, EOFError, ValueError):
            while chunk := self.channel.recv(65536):
                self.process.stdin.write(chunk)
                self.process.stdin.flush()
            self.process.stdin.close()

    def wait(self):
        """Its status, once all of its output is on its way."""
        status = self.process.wait(30)
        for thread in self.threads[:2]:
            thread.join(30)
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()
        return status


def channel_message(channel, kind, *fields):
    """One message of RFC 4254 about the channel, whatever paramiko thinks of it."""
    message = paramiko.Message()
    message.add_byte(bytes([kind]))
    message.add_int(channel.remote_chanid)
    for field in fields:
        if isinstance(field, bool):
            message.add_boolean(field)
        elif isinstance(field, int):
            message.add_int(field)
        else:
            message.add_string(field)
    channel.transport._send_user_message(message)


def exit_status(channel, status):
    channel_message(channel, 98, "exit-status", False, status)


def exit_signal(channel, name):
    channel_message(channel, 98, "exit-signal", False, name, False, "", "")


class Growth:
    """How far the resident memory of a process grows while the block runs, in MiB."""

    def __init__(self, pid):
        self.pid, self.first, self.most = pid, 0.0, 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _resident(self):
        try:
            with open(f"/proc/{self.pid}/status") as lines:
                for line in lines:
                    if line.startswith("VmRSS:"):
                        return int(line.split()[1]) / 1024
        except OSError:
            pass
        return 0.0

    def _watch(self):
        while not self.done.wait(0.02):
            self.most = max(self.most, self._resident())

    def __enter__(self):
        self.first = self._resident()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    @property
    def mib(self):
        return self.most - self.first
