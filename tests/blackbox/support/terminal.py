# SPDX-License-Identifier: MIT
"""A program in a terminal, as a person would use it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time


class Terminal:
    """A program in a terminal of 'columns' x 'rows', with all it has shown so far."""

    def __init__(self, words, columns=91, rows=37, before=None, env=None):
        self.master, slave = pty.openpty()
        if before is not None:
            subprocess.run(before.split(), stdin=slave, check=True)
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            words,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
        )
        os.close(slave)
        self.shown = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self, deadline_s):
        """More output; False at the end or the deadline."""
        if not select.select([self.master], [], [], max(0, deadline_s))[0]:
            return False
        try:
            chunk = os.read(self.master, 65536)
        except OSError:
            return False
        self.shown += chunk
        return bool(chunk)

    def expect(self, pattern, deadline_s=60.0):
        """Waits until the output not yet expected matches; drops it. Returns the match."""
        end = time.monotonic() + deadline_s
        while True:
            found = re.search(pattern.encode(), self.shown)
            if found:
                self.shown = self.shown[found.end() :]
                return found
            if not self.read(end - time.monotonic()):
                raise AssertionError(f"no {pattern!r} in {self.shown!r}")

    def wait(self, deadline_s=60.0):
        """Reads to the end; the client's exit status."""
        end = time.monotonic() + deadline_s
        while self.read(end - time.monotonic()):
            pass
        try:
            return self.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there, after {self.shown!r}") from None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
