# SPDX-License-Identifier: MIT
"""The stock OpenSSH server, as an image without berth-agent has it."""

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

from support.waiting import until


def program():
    """Its path, None when it is not installed."""
    return shutil.which("sshd", path="/usr/sbin:" + os.environ["PATH"])


class Sshd:
    """One server in the foreground, which lets 'user_key' in and shows 'host_key'."""

    def __init__(self, directory, host_key, user_key, port, home=None):
        directory.mkdir()
        self.port = port
        self.user = getpass.getuser()
        self.log_path = directory / "log"
        keys = directory / "authorized_keys"
        keys.write_text(user_key.public + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = directory / "config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{port}\n"
            f"HostKey {host_key.write_private(directory / 'host_key')}\n"
            f"AuthorizedKeysFile {keys}\n"
            f"PidFile {directory}/pid\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
            # Else it is that of /etc/passwd, with the files of the user who runs the tests.
            f"PermitUserRC no\nSetEnv HOME={home or os.environ['HOME']}\n"
        )
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program(), "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log
            )
        until(self._listens, what="sshd listens")

    def _listens(self):
        assert self.process.poll() is None, self.log_path.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
