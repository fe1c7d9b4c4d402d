# SPDX-License-Identifier: MIT
"""The job's log on a terminal: sections as GitLab shows them, bulk output shortened and hashed."""

import hashlib
import re

HEAD_LINES, TAIL_LINES = 4, 4
_COLOUR = re.compile(rb"\x1b\[[0-9;]*[mK]")
_SHA = re.compile(rb"^bulk-sha256 ([0-9a-f]{64})$", re.MULTILINE)


class DemoLog:
    """write(bytes) takes the log as it arrives.

    bulk_bytes, bulk_sha256   of the bytes between the marks, as they arrived, marks included
    promised_sha256           what the job itself computed
    """

    def __init__(self, out, copy, mark, colour, full):
        self._out, self._copy, self._colour, self._full = out, copy, colour, full
        self._begin, self._end = f"bulk-begin {mark}\n".encode(), f"bulk-end {mark}\n".encode()
        self._rest = b""
        self._hash, self._tail, self._lines = None, [], 0
        self.bulk_bytes, self.bulk_sha256, self.promised_sha256 = 0, None, None
        self.text = bytearray()

    def section(self, _name, title):
        self.flush()
        self._show(f"\x1b[36;1m{title}\x1b[0;m\n".encode())

    def write(self, chunk):
        self._copy.write(chunk)
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._take(line + b"\n")
        self._out.flush()

    def flush(self):
        """Shows a last line that has no end."""
        rest, self._rest = self._rest, b""
        if rest:
            self._take(rest)
            self._show(b"\n")

    def note(self, text):
        self._show(f"{text}\n".encode())

    def _show(self, line):
        self._out.write(line if self._colour else _COLOUR.sub(b"", line).replace(b"\r", b""))
        self._out.flush()

    def _take(self, line):
        if self._hash is None and line == self._begin and self.bulk_sha256 is None:
            self._hash = hashlib.sha256()
        if self._hash is None:
            self.text += line
            found = _SHA.search(line)
            if found:
                self.promised_sha256 = found.group(1).decode()
            self._show(line)
            return
        self._take_bulk(line)

    def _take_bulk(self, line):
        self._hash.update(line)
        self.bulk_bytes += len(line)
        self._lines += 1
        if self._full or self._lines <= HEAD_LINES:
            self._show(line)
        else:
            self._tail = [*self._tail, line][-TAIL_LINES:]
        if line == self._end:
            self.bulk_sha256, self._hash = self._hash.hexdigest(), None
            hidden = self._lines - HEAD_LINES - len(self._tail)
            if not self._full and hidden > 0:
                self._show(
                    f"\x1b[0;33m   ... {hidden:,} lines not shown; {self.bulk_bytes:,} bytes "
                    "arrived, hash checked below (--full shows all) ...\x1b[0;m\n".encode()
                )
            for kept in [] if self._full else self._tail:
                self._show(kept)
