# SPDX-License-Identifier: MIT
"""A program: the stock OpenSSH server, started as the backend 'local' starts berth-agent.

So whole jobs run under a plain sshd, with keys and HOME of their own, and without an engine.
"""

import base64
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.keys import KeyPair  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.sshd import Sshd  # noqa: E402


class Public:
    """The user's key: only its public half is known here."""

    def __init__(self, text):
        self.public = text.strip()


def main():
    ready = int(sys.argv[sys.argv.index("--ready-fd") + 1])
    host = KeyPair(base64.b64decode(os.environ.pop("BERTH_HOST_KEY_SEED")))
    user = Public(os.environ.pop("SSH_PUBLIC_KEY"))
    home = Path(os.environ["HOME"])
    server = Sshd(home.parent / "sshd", host, user, free_port(), home)
    # Only now, since the server would inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
    os.write(ready, f"{server.port}\n".encode())
    os.close(ready)
    signal.sigwait({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
    server.stop()


main()
