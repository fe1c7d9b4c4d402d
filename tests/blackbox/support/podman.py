# SPDX-License-Identifier: MIT
"""A real podman serving Docker's interface on a private socket, with storage of its own.

Its directory for state is its own, too: podman's usual one is the machine's, and the 'system reset'
of one podman would remove the state of another's containers from it.
"""

import json
import os
import shutil
import subprocess

from support.docker_engine import Engine
from support.waiting import until

START_DEADLINE_S = 60.0


def missing():
    """Why podman cannot be started here, or an empty text."""
    if os.geteuid() != 0:
        return "needs root: the tests start a podman of their own"
    absent = [name for name in ("podman", "runc") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)} (apt: podman runc)" if absent else ""


class Podman(Engine):
    """As Engine, as far as its calls go; 'directory' is short, for the socket's sake."""

    def __init__(self, directory):
        self.directory = directory
        self.socket = str(directory / "sock")
        self.url = f"unix://{self.socket}"
        (directory / "containers.conf").write_text(
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
            'lock_type = "file"\n'  # the usual ones lie in one shared memory for all of the machine
            # A machine with fewer does not allow raising them.
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        )
        self.words = ["podman", "--root", directory / "root", "--runroot", directory / "run"]
        self.words += ["--tmpdir", directory / "state"]
        self.words += ["--storage-driver", "vfs", "--network-config-dir", directory / "net"]
        self.env = {
            **os.environ,
            "HOME": str(directory),
            "CONTAINERS_CONF": str(directory / "containers.conf"),
        }
        self.process = None

    def start(self):
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                [*self.words, "system", "service", "--time=0", self.url],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(self.answers, START_DEADLINE_S, "podman")
        return self

    def stop(self):
        try:
            for one in self.good("GET", "/containers/json?all=1"):
                self.call("DELETE", f"/containers/{one['Id']}?force=1&v=1")
        finally:
            self.process.terminate()
            self.process.wait(60)
            self._reset()

    def _reset(self):
        subprocess.run(
            [*self.words, "system", "reset", "--force"],
            env=self.env, capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    def import_image(self, name, tar, changes=()):
        path = self.directory / "import.tar"
        path.write_bytes(tar)
        words = [word for change in changes for word in ("--change", change)]
        subprocess.run(
            [*self.words, "import", *words, path, f"docker.io/{name}"],
            env=self.env, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        assert json.dumps(self.good("GET", f"/images/docker.io/{name}/json"))
