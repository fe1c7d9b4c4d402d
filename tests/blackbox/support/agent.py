# SPDX-License-Identifier: MIT
"""A real berth-agent, started as a container would start it, and ended by its pid."""

import os
import selectors
import signal
import subprocess
import time

from support import processes

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0


class Agent:
    """One agent process.

    port       where it listens on 127.0.0.1 (None when it ended instead of listening)
    pid        its process
    host_key   KeyPair that it was given as BERTH_HOST_KEY_SEED (None: it made its own)
    marker     bytes in the environment of the agent's jobs, for processes.with_marker()
    """

    def __init__(self, program, directory, client_key, host_key):
        self.program = program
        self.client_key = client_key
        self.process = None
        self.pid = None
        self._ready = -1
        self.directory = directory
        self.log_path = directory / "agent.log"
        self.host_key = host_key
        self.port = None
        self.marker = f"TEST_AGENT_MARKER={os.urandom(8).hex()}".encode()

    def start(self, env=None, args=(), listen="127.0.0.1:0", wait_ready=True, before=()):
        """Starts it; 'env' is added to this process's, a value of None takes a variable away.

        'before' are words in front of the command, such as "prlimit --nofile=40".
        """
        full = dict(os.environ, SSH_PUBLIC_KEY=self.client_key.public + "\n")
        name, value = self.marker.decode().split("=")
        full[name] = value
        if self.host_key is not None:
            full["BERTH_HOST_KEY_SEED"] = self.host_key.seed_base64
        for key, text in (env or {}).items():
            if text is None:
                full.pop(key, None)
            else:
                full[key] = text
        ready, ready_child = os.pipe()
        command = [*before, str(self.program), "--ready-fd", str(ready_child)]
        if listen is not None:
            command += ["--listen", listen]
        try:
            with open(self.log_path, "wb") as log:
                self.process = subprocess.Popen(
                    [*command, *args],
                    env=full,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(ready_child,),
                    start_new_session=True,
                    cwd=self.directory,
                )
        finally:
            os.close(ready_child)
        self.pid = self.process.pid
        self._ready = ready
        if wait_ready:
            self.wait_ready()

    def wait_ready(self, deadline_s=START_DEADLINE_S):
        """Reads the port that the agent writes once it listens."""
        try:
            text = _read_line(self._ready, deadline_s)
        finally:
            os.close(self._ready)
            self._ready = -1
        if not text.endswith(b"\n"):
            raise AssertionError(
                f"the agent did not get ready within {deadline_s:g} s; exit status "
                f"{self.process.poll()}; its log:\n{self.log()}"
            )
        self.port = int(text)

    def log(self):
        return self.log_path.read_text(errors="backslashreplace")

    def known_hosts_line(self):
        return f"[127.0.0.1]:{self.port} {self.host_key.public}\n"

    def wait(self, deadline_s=STOP_DEADLINE_S):
        """Exit status as subprocess gives it: negative for a signal."""
        return self.process.wait(deadline_s)

    def terminate(self, deadline_s=STOP_DEADLINE_S):
        """SIGTERM and wait; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def jobs(self):
        """Pids of running processes that the agent or its children started."""
        return processes.descendants(self.pid) | (processes.with_marker(self.marker) - {self.pid})

    def stop(self):
        """Ends the agent whatever its state, and all that it leaves. Never raises for the state."""
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        if self.process is None:
            return
        try:
            self.terminate()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            processes.end(self.jobs())
            raise AssertionError(
                f"the agent did not end within {STOP_DEADLINE_S:g} s of SIGTERM"
            ) from None


def _read_line(fd, deadline_s):
    """Bytes up to a newline, EOF or the deadline."""
    end = time.monotonic() + deadline_s
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            if not selector.select(max(0.0, end - time.monotonic())):
                return text
            chunk = os.read(fd, 64)
            if not chunk:
                return text
            text += chunk
    return text
