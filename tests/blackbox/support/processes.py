# SPDX-License-Identifier: MIT
"""Real processes, read from /proc: who descends from whom, and who is still there.

The test process is made a child subreaper, so that whatever a program under test leaves behind
becomes a child of ours when its parent dies and cannot slip out of sight.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from support.waiting import until

PR_SET_CHILD_SUBREAPER = 36

# Functions that return the pid of a process that is shared by tests: nothing below it is theirs.
ignored_roots = set()


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a child subreaper")


def _stat(pid):
    """(state, parent) of a process, or None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, so the fields start after the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[1])


def alive(pid):
    """Whether the process runs; a zombie does not."""
    found = _stat(pid)
    return found is not None and found[0] not in "ZX"


def zombie(pid):
    found = _stat(pid)
    return found is not None and found[0] == "Z"


def command_line(pid):
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "?"
    return b" ".join(words).decode(errors="replace").strip() or "?"


def environment(pid):
    """The environment block of a process as bytes; empty when it cannot be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(root, include_zombies=False):
    """Pids below 'root' in the process tree."""
    children = {}
    for pid in all_pids():
        found = _stat(pid)
        if found is not None:
            children.setdefault(found[1], []).append((pid, found[0]))
    result, todo = set(), [root]
    while todo:
        for pid, state in children.get(todo.pop(), []):
            todo.append(pid)
            if include_zombies or state not in "ZX":
                result.add(pid)
    return result


def name(pid):
    """The process's own name; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def named(root, *wanted):
    """Pids below 'root' of processes with one of these names of their own."""
    return [pid for pid in sorted(descendants(root)) if name(pid) in wanted]


# In a script: a process that with_marker() finds. The shell's own environment is that of its start,
# and a 'sleep 0.1' has exited before a look at hundreds of processes has come to it.
MARKED = "sleep 1000 </dev/null >/dev/null 2>&1 &\n"


def with_marker(marker):
    """Pids of running processes whose environment holds the bytes 'marker'."""
    return {pid for pid in all_pids() if marker in environment(pid) and alive(pid)}


def written(pids):
    """Bytes that these processes handed to write(2) so far; one that is gone counts nothing."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/io").read_text()
            total += int(text.split("wchar: ")[1].split()[0])
        except (OSError, IndexError):
            pass
    return total


def stand_still(pids):
    """Whether these processes have written something, and then nothing for half a second. One that
    waits for a processor does not stand still."""
    before = written(pids)
    time.sleep(0.5)  # what is looked for is that nothing happens
    waiting = any((_stat(pid) or "Z")[0] in "RD" for pid in pids)
    return written(pids) == before > 0 and not waiting


def resident(pid):
    """Private resident bytes of a process, without shared pages; 0 when it has exited. The counters
    in its 'status' are late by some pages for each processor."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return int(file.read().split("Anonymous:")[1].split()[0]) * 1024
    except PermissionError:  # not dumpable, and this is not root
        with open(f"/proc/{pid}/status") as file:
            return int(file.read().split("RssAnon:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


def _send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def freeze(root, wanted=lambda pid: True):
    """Stops 'root' and all below it that 'wanted' takes, until a look finds none that runs on: on a
    busy machine the list is old before its last pid was stopped. Returns their pids."""
    stopped = set()
    while new := {pid for pid in ({root} | descendants(root)) - stopped if wanted(pid)}:
        stopped |= new
        for pid in sorted(new):
            _send(pid, signal.SIGSTOP)
    return stopped


def thaw(pids):
    for pid in pids:
        _send(pid, signal.SIGCONT)


def end_tree(root):
    """As a task ends: all at once, so that no process in it sees another exit."""
    for pid in freeze(root):
        _send(pid, signal.SIGKILL)


def end(pids):
    """Kills exactly these processes, and none of them before the last stands still: as with a
    container, no process can act on another's exit."""
    doomed = list(pids)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in doomed:
            _send(pid, number)


class LeftoverDetector:
    """What this process had below itself before, against what is left after."""

    def __init__(self):
        self._before = descendants(os.getpid())

    def leftovers(self):
        found = descendants(os.getpid()) - self._before
        # Looked at last: what starts there meanwhile is not in 'found'.
        return found - set().union(*({root(), *descendants(root())} for root in ignored_roots))

    def check(self, deadline_s=100.0):
        """Fails, after ending them, when processes started since are still running."""
        try:
            until(lambda: not self.leftovers(), deadline_s)
        except AssertionError:
            left = sorted(self.leftovers())
            lines = [f"  {pid}: {command_line(pid)}" for pid in left]
            end(left)
            if left:
                raise AssertionError("processes left running:\n" + "\n".join(lines)) from None
