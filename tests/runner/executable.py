# SPDX-License-Identifier: MIT
"""One call of a driver: its own process group, output as it comes, signals to stop it."""

import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

# How long output may go on after the process ended, held open by one of its children.
DRAIN_S = 2.0


@dataclass
class Ending:
    """exit_code: negative for a signal. stopped: None, 'canceled' or 'timeout'."""

    exit_code: int
    seconds: float
    stopped: str = None
    killed: bool = False


class Executable:
    """Runs programs one after another; cancel() ends the one that runs and may come from a signal
    handler or another thread."""

    def __init__(self, graceful_kill_timeout_s, force_kill_timeout_s):
        self.graceful_kill_timeout_s = graceful_kill_timeout_s
        self.force_kill_timeout_s = force_kill_timeout_s
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def close(self):
        os.close(self._wake_read)
        os.close(self._wake_write)

    def cancel(self):
        os.write(self._wake_write, b"x")

    def run(self, argv, env, directory, on_stdout, on_stderr, timeout_s, cancelable=True):
        """on_stdout and on_stderr take bytes. Returns an Ending."""
        started = time.monotonic()
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        watch = _Watch(self, process, started + timeout_s, cancelable)
        with process.stdout, process.stderr, selectors.DefaultSelector() as selector:
            watch.loop(selector, {process.stdout: on_stdout, process.stderr: on_stderr})
        return Ending(process.returncode, time.monotonic() - started, watch.stopped, watch.killed)


class _Watch:
    def __init__(self, owner, process, deadline, cancelable):
        self.owner, self.process, self.deadline = owner, process, deadline
        self.cancelable = cancelable
        self.stopped = None
        self.killed = False

    def loop(self, selector, sinks):
        pidfd = os.pidfd_open(self.process.pid)
        try:
            selector.register(pidfd, selectors.EVENT_READ)
            if self.cancelable:
                selector.register(self.owner._wake_read, selectors.EVENT_READ)
            for stream, sink in sinks.items():
                selector.register(stream, selectors.EVENT_READ, sink)
            streams = len(sinks)
            ended = False
            while not ended or streams:
                ready = selector.select(max(0.0, self.deadline - time.monotonic()))
                if not ready and ended:
                    return
                if not ready:
                    self._deadline_passed()
                for key, _ in ready:
                    if key.fileobj == pidfd:
                        selector.unregister(pidfd)
                        self.process.wait()
                        ended = True
                        self.deadline = time.monotonic() + DRAIN_S
                    elif key.fileobj == self.owner._wake_read:
                        selector.unregister(self.owner._wake_read)
                        if not ended:
                            self._stop("canceled")
                    else:
                        chunk = os.read(key.fd, 1 << 16)
                        if chunk:
                            key.data(chunk)
                        else:
                            selector.unregister(key.fileobj)
                            streams -= 1
        finally:
            os.close(pidfd)

    def _stop(self, why):
        if self.stopped is None:
            self.stopped = why
            self._signal(signal.SIGTERM)
            self.deadline = time.monotonic() + self.owner.graceful_kill_timeout_s

    def _deadline_passed(self):
        if self.stopped is None:
            self._stop("timeout")
        elif not self.killed:
            self.killed = True
            self._signal(signal.SIGKILL)
            self.deadline = time.monotonic() + self.owner.force_kill_timeout_s
        else:
            raise RuntimeError("process survived SIGKILL")

    def _signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass
