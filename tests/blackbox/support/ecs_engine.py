# SPDX-License-Identifier: MIT
"""The data plane of ecs_play.py with real containers of the tests' Docker Engine.

    cloud.containers = EngineContainers(engine, cloud)     engine: support/docker_engine.py

Then each task has a container that sleeps and has the network; the others join it by
"container:ID", as ECS's agent does on EC2, so that they share its addresses, 127.0.0.1, /etc/hosts
and /etc/hostname. Images are those of the engine, which applies their ENTRYPOINT, USER and so on.
Volumes are directories of this machine. All else is as with processes.
"""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from support.docker_engine import BUSYBOX
from support.ecs_container import STOP_TIMEOUT_S, Container
from support.ecs_images import Image
from support.ecs_play import Containers, ContainerTask

LABEL = "berth.tests.ecs"
WAIT_S = 3600


class EngineContainers(Containers):
    """See above."""

    def __init__(self, engine, cloud):
        super().__init__(cloud.directory, cloud.agent_program)
        self.engine = engine
        self.task_class = EngineTask

    def check(self):
        """The fixture 'engine' has skipped the test where there is none."""

    @property
    def host(self):
        return self.engine.address.partition("/")[0]

    def find_image(self, name):
        if not self.engine.has_image(name):
            return None
        found = self.engine.good("GET", f"/images/{name}/json")
        return Image(Path("/"), architecture=found["Architecture"])


class EngineContainer(Container):
    """A container of the engine; its end is reported by a thread that waits for it."""

    def __init__(self, *words):
        super().__init__(*words)
        self.id = None

    @property
    def engine(self):
        return self.task.cloud.containers.engine

    @property
    def pid(self):
        return self.engine.good("GET", f"/containers/{self.id}/json")["State"]["Pid"]

    def _request(self):
        own = self.override.get("command") or self.definition.get("command")
        asked = self.definition.get("linuxParameters", {}).get("capabilities", {})
        mounts = self.volume_mounts()
        mounts += [f"{source}:{path}:ro" for path, source in self.image.files.items()]
        request = {
            "Image": self.definition["image"],
            "Env": [f"{name}={value}" for name, value in self.environment().items()],
            "Labels": {LABEL: self.task.id},
            "HostConfig": {
                "NetworkMode": f"container:{self.task.network_id}",
                "Binds": mounts,
                "ReadonlyRootfs": self.definition.get("readonlyRootFilesystem", False),
                "CapAdd": asked.get("add", []),
                "CapDrop": asked.get("drop", []),
            },
        }
        for name, value in (
            ("Entrypoint", self.definition.get("entryPoint")),
            ("Cmd", own),
            ("User", self.definition.get("user")),
            ("WorkingDir", self.definition.get("workingDirectory")),
        ):
            if value:
                request[name] = value
        return request

    def environment(self, home=None):
        found = super().environment("")
        image = {"PATH", "HOME", "HOSTNAME"}  # the engine's matter, if the definition has none
        rows = [*self.definition.get("environment", []), *self.override.get("environment", [])]
        named = {row["name"] for row in rows}
        return {name: value for name, value in found.items() if name not in image - named}

    def start(self):
        status, answer = self.engine.call("POST", "/containers/create", self._request())
        if status >= 400:
            raise LookupError(answer["message"])
        self.id = answer["Id"]
        status, answer = self.engine.call("POST", f"/containers/{self.id}/start")
        if status >= 400:
            self._remove()
            raise LookupError(answer["message"])
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.status, self.begun = "RUNNING", time.monotonic()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        answer = self.engine.good("POST", f"/containers/{self.id}/wait", timeout=WAIT_S)
        self.exit_code = answer["StatusCode"]
        _, log = self.engine.call("GET", f"/containers/{self.id}/logs?stdout=1&stderr=1")
        self.log_path.write_bytes(_without_frames(log))
        os.eventfd_write(self.fd, 1)

    def reap(self):
        self._remove()
        self.status, self.ended = "STOPPED", time.monotonic()
        os.close(self.fd)
        self.fd = -1

    def _remove(self):
        self.engine.call("DELETE", f"/containers/{self.id}?force=1&v=1")

    def start_error(self):
        return ""

    def _signal(self, number):
        name = signal.Signals(number).name
        with contextlib.suppress(OSError):
            self.engine.call("POST", f"/containers/{self.id}/kill?signal={name}")


class EngineTask(ContainerTask):
    """network_id: of the container that has the network."""

    network_id = None

    def _choose_addresses(self):
        self._public = None  # known with the network

    def public_of(self, _):
        raise NotImplementedError("tasks of the engine have no public address")

    def _container(self, *words):
        return EngineContainer(self, *words)

    def _find_image(self, name):
        return self.cloud.containers.find_image(name)

    def _open_network(self):
        engine = self.cloud.containers.engine
        request = {"Image": BUSYBOX, "Cmd": ["sleep", str(WAIT_S)], "Labels": {LABEL: self.id}}
        self.network_id = engine.good("POST", "/containers/create", request)["Id"]
        engine.good("POST", f"/containers/{self.network_id}/start")
        found = engine.good("GET", f"/containers/{self.network_id}/json")
        self.private = found["NetworkSettings"]["IPAddress"]

    def _close_network(self):
        if self.network_id is not None:
            engine = self.cloud.containers.engine
            engine.call("DELETE", f"/containers/{self.network_id}?force=1&v=1")

    def join(self):
        super().join()
        assert not self._thread.is_alive(), f"{self.id}: not ended after {STOP_TIMEOUT_S} s"


def _without_frames(log):
    """The bytes of a log, without the headers of 8 bytes before each piece."""
    if not isinstance(log, bytes):
        return str(log).encode()
    found = b""
    while len(log) >= 8:
        length = int.from_bytes(log[4:8], "big")
        found += log[8 : 8 + length]
        log = log[8 + length :]
    return found
