# SPDX-License-Identifier: MIT
"""The data plane of task definitions that come through the proxy (ecs.py): their containers.

Each container of a task is a process in namespaces of its own (tests/tools/ecs_container.c) with
the image's files, the definition's entryPoint, command, user, environment and overrides. The
containers of a task share an address, 127.0.0.1, /etc/hosts and volumes, and start in the order of
their dependsOn; one that is essential ends the task. Needs root. A thread serves each task and
waits for its containers without polling.

Tests use it by the fixture 'cloud' (ecs.py), whose attribute 'containers' is a Containers:

    cloud.containers.images.add_busybox("example/job:1")          see ecs_images.py
    arn = cloud.definitions.define(family="base", ...)            or RegisterTaskDefinition
    ... RunTask ...
    task = cloud.task()                                           a ContainerTask
    task.containers["ci-coordinator"].exit_code, .reason, .status, .pid, .log()
    task.kill("OutOfMemoryError: Container killed due to memory usage", "berth-helper")
    task.volume("builds")                                         a directory of this machine
    task.private                                                  its address

    cloud.containers.start_delays = {"berth-helper": 2.0}         a slow start, by container
    cloud.containers.secrets = {arn: "value"}                     for secrets and registries' logins
    cloud.containers.private_images = {"example/private:1"}       need repositoryCredentials
    cloud.containers.dependency_failure = "pending"               as CR#817 saw it, not "stop"
    cloud.containers.health_scale = 0.01                          of the intervals of health checks
    cloud.containers.pull_s = 8.0                                 how long pulls took, as ECS says
    cloud.containers.has_metadata = False                         no task metadata endpoint
    cloud.containers.host                                         this machine as tasks see it
"""

import contextlib
import os
import select
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support.ecs_container import STOP_TIMEOUT_S, Container
from support.ecs_images import Images
from support.ecs_metadata import Metadata
from support.ecs_network import Namespace, Network
from support.ecs_task import CONTAINER, Task

START_TIMEOUT_S = 180.0
HURRY_S = 1.0
DEPENDENCY_EXIT_CODE = 143  # as ECS's agent reports containers that never started


class Containers:
    """What tests set and look at; see above. tool: ecs-container."""

    def __init__(self, directory, agent_program):
        self.task_class = ContainerTask
        self.tool = Path(agent_program).parent.parent / "tests/tools/ecs-container"
        self.images = Images(directory / "images", agent_program)
        self.start_delays, self.secrets = {}, {}
        self.private_images = set()
        self.dependency_failure = "stop"
        self.health_scale = 0.02
        self.pull_s = 0.0
        self.has_metadata = True
        self._metadata, self._creating = None, threading.Lock()

    def check(self):
        """Skips the test that may not do this."""
        if os.geteuid() != 0:
            pytest.skip("needs root: containers of a task are processes in namespaces")
        if shutil.which("ip") is None:
            pytest.skip("not installed: ip (apt: iproute2)")
        assert os.access(self.tool, os.X_OK), f"no program '{self.tool}'; run './dev build'"

    def metadata(self, cloud):
        """The endpoint of all tasks."""
        with self._creating:
            if self._metadata is None:
                self._metadata = Metadata(cloud, self.host)
        return self._metadata

    def close(self):
        if self._metadata is not None:
            self._metadata.close()

    @property
    def network(self):
        return Network.of_this_process()

    @property
    def host(self):
        return self.network.host


class ContainerTask(Task):
    """A task whose containers run. private, public: its addresses."""

    def __init__(self, cloud, answer, request, definition):
        super().__init__(cloud, answer, request)
        cloud.containers.check()
        self.definition = definition
        self._choose_addresses()
        self.directory = cloud.directory / f"task-{self.id}"
        self.namespace = None
        self.hurry = False
        self.containers = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._wake_lock = threading.Lock()  # its number may be another file's once it is closed
        self._failed = None  # (stop code, reason)
        self.pull_started = self.pull_stopped = self.stopped_at = None

    def _choose_addresses(self):
        network = self.cloud.containers.network
        self._number = network.number()
        self.private, self._public = network.addresses(self._number)

    @property
    def host_name(self):
        return f"ip-{self.private.replace('.', '-')}.{self.arn.split(':')[3]}.internal"

    # --- for tests

    def volume(self, name):
        return self.directory / "volumes" / name

    @property
    def hosts_file(self):
        return self.directory / "hosts"

    @property
    def process(self):
        """The job container's; for tests that are written for one container."""
        found = self.containers.get(CONTAINER)
        return found.process if found else None

    @process.setter
    def process(self, value):
        assert value is None

    def change_delay(self, name, delay_s):
        self.cloud.containers.start_delays[name] = delay_s
        self._poke()

    def kill(self, container_reason, name=CONTAINER):
        self.ended_at = time.monotonic()
        self.containers[name].kill(container_reason)

    def public_of(self, _):
        return self._public

    # --- what the base class calls

    def stop(self, code, reason, container_reason=""):
        super().stop(code, reason, container_reason)
        self._poke()

    def join(self):
        """At the end of a test no container gets its whole timeout."""
        self.hurry = True
        self._stop.set()
        self._poke()
        self._thread.join(STOP_TIMEOUT_S + 20)

    def _poke(self):
        with self._wake_lock, contextlib.suppress(OSError, ValueError):  # the task has ended
            os.eventfd_write(self._wake, 1)

    @property
    def report_directory(self):
        """Where programs with sanitizers write; also those of other users."""
        text = os.environ.get("ASAN_OPTIONS", "")
        if not self.cloud.containers.images.libraries or "log_path=" not in text:
            return None
        path = Path(text.partition("log_path=")[2].split(":")[0]).parent
        path.chmod(0o1777)
        return path

    # --- life

    def _live(self):
        cloud = self.cloud
        default = (cloud.provisioning_s, cloud.pending_s, cloud.running_s)
        provisioning_s, pending_s, running_s = cloud.paces.get(self.job_id, default)
        try:
            if self._stop.wait(provisioning_s):
                return
            if cloud.start_failure:
                self.stop_code, self.reason, self.container_reason = cloud.start_failure
                return
            self.status = "PENDING"
            if not self._stop.wait(pending_s) and self._make():
                self._serve(running_s)
        except Exception as problem:
            cloud.problems.append(f"task {self.id}: {problem!r}")
            raise
        finally:
            self._end()

    def _fail(self, code, reason):
        if self._failed is None:
            self._failed = (code, reason)
            self.ended_at = self.ended_at or time.monotonic()
            if not self.stop_code:
                self.stop_code, self.reason = code, reason

    def _make(self):
        """Everything that comes before the first container; whether it was done."""
        request = self.definition.request
        rows = self.request.get("overrides", {}).get("containerOverrides", [])
        overrides = {row["name"]: row for row in rows}
        self.pull_started = time.time() - self.cloud.containers.pull_s
        for definition in request["containerDefinitions"]:
            image, problem = self._pull(definition)
            name = definition["name"]
            self.containers[name] = self._container(definition, overrides.get(name, {}), image)
            if problem:
                self.containers[name].reason = problem
                self._fail("TaskFailedToStart", problem)
                return False
        self.pull_stopped = time.time()
        (self.directory / "volumes").mkdir(parents=True)
        for volume in request.get("volumes", []):
            self._make_volume(volume["name"])
        self.hosts_file.write_text(
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
            f"{self.private} {self.host_name}\n"
        )
        self._open_network()
        return True

    def _open_network(self):
        containers = self.cloud.containers
        self.namespace = Namespace(containers.tool, containers.network, self._number)

    def _close_network(self):
        if self.namespace is not None:
            self.namespace.close()

    def metadata_environment(self):
        containers = self.cloud.containers
        if not containers.has_metadata:
            return {}
        url = containers.metadata(self.cloud).url
        return {"ECS_CONTAINER_METADATA_URI_V4": f"{url}/{self.id}"}

    def _container(self, *words):
        return Container(self, *words)

    def _pull(self, definition):
        """(Image, None) or (None, ECS's reason)."""
        containers, name = self.cloud.containers, definition["image"]
        arns = [secret["valueFrom"] for secret in definition.get("secrets", [])]
        login = definition.get("repositoryCredentials", {}).get("credentialsParameter")
        for arn in arns + ([login] if login else []):
            if arn not in containers.secrets:
                return None, (
                    "ResourceInitializationError: unable to pull secrets or registry auth: "
                    f"execution resource retrieval failed: unable to retrieve secret {arn}"
                )
        image = self._find_image(name)
        failed = f"CannotPullContainerError: pull image manifest has been retried 1 time(s): {name}"
        if name in containers.private_images and not login:
            return None, f"{failed}: pull access denied, repository does not exist or may require "
        if image is None:
            return None, f"{failed}: not found"
        wanted = self.definition.request.get("runtimePlatform", {}).get("cpuArchitecture", "X86_64")
        if {"X86_64": "amd64", "ARM64": "arm64"}[wanted] != image.architecture:
            return None, (
                "CannotPullContainerError: image Manifest does not contain descriptor matching "
                f"platform 'linux/{'arm64' if wanted == 'ARM64' else 'amd64'}'"
            )
        return image, None

    def _find_image(self, name):
        return self.cloud.containers.images.get(name)

    def _make_volume(self, name):
        """Empty, unless an image has this very path as a VOLUME."""
        target = self.volume(name)
        for container in self.containers.values():
            for mount in container.definition.get("mountPoints", []):
                path = mount["containerPath"]
                source = container.image.root / path.lstrip("/")
                if (
                    mount["sourceVolume"] == name
                    and path in container.image.volumes
                    and source.is_dir()
                    and not target.exists()
                ):
                    subprocess.run(["cp", "-a", source, target], check=True)
        if not target.exists():
            target.mkdir()
            target.chmod(0o755)

    def _serve(self, running_s):
        """Starts containers, waits for their ends; returns when the task has to end."""
        running_at = None
        while not self._stop.is_set():
            self._start_ready()
            if self._failed or self._essential_ended():
                return
            if self.running_at is None and running_at is None and self._all_started():
                running_at = time.monotonic() + running_s
            if running_at is not None and time.monotonic() >= running_at:
                self.status, self.running_at, running_at = "RUNNING", time.time(), None
            now = time.monotonic()
            times = [at for at in self._deadlines() if at > now]
            self._wait(min(times if running_at is None else [*times, running_at], default=None))

    def _all_started(self):
        return all(container.status != "PENDING" for container in self.containers.values())

    def _essential_ended(self):
        ended = [c for c in self.containers.values() if c.essential and c.status == "STOPPED"]
        for container in ended:
            self.ended_at = self.ended_at or time.monotonic()
            if not self.stop_code:
                self.stop_code = "EssentialContainerExited"
                self.reason = "Essential container in task exited"
            self.exit_code = container.exit_code
        return bool(ended)

    def _deadlines(self):
        """When a container that waits has to be looked at again."""
        for container in self.containers.values():
            if container.status == "PENDING":
                yield container.begun + self._delay(container)
                for row in container.definition.get("dependsOn", []):
                    yield self._start_deadline(self.containers[row["containerName"]])

    def _delay(self, container):
        return self.cloud.containers.start_delays.get(container.name, 0)

    @staticmethod
    def _start_deadline(container):
        return container.begun + container.definition.get("startTimeout", START_TIMEOUT_S)

    def _start_ready(self):
        again = True
        while again and not self._failed:
            again = False
            for container in self.containers.values():
                if container.status == "PENDING" and self._may_start(container):
                    self._start(container)
                    again = True

    def _may_start(self, container):
        now = time.monotonic()
        if now < container.begun + self._delay(container):
            return False
        for row in container.definition.get("dependsOn", []):
            other = self.containers[row["containerName"]]
            answer = other.satisfies(row["condition"])
            if answer is None and self.cloud.containers.dependency_failure == "stop":
                container.status, container.exit_code = "STOPPED", DEPENDENCY_EXIT_CODE
                return False
            if not answer:
                if now >= self._start_deadline(other):
                    self._fail(
                        "TaskFailedToStart",
                        f"Container {other.name} did not reach {row['condition']} in time",
                    )
                return False
        return True

    def _start(self, container):
        try:
            container.start()
        except LookupError as problem:
            self._cannot_start(container, problem.args[0])
            return
        self._poller.register(container.fd, select.POLLIN)
        if "healthCheck" in container.definition:
            threading.Thread(target=self._check_health, args=(container,), daemon=True).start()

    def _check_health(self, container):
        """As Docker: the first result comes after an interval, and a check that the end of the
        container overtakes has none."""
        check = container.definition["healthCheck"]
        kind, *words = check["command"]
        words = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
        pause_s = check.get("interval", 30) * self.cloud.containers.health_scale
        while not self._stop.wait(pause_s) and container.fd >= 0:
            pid = container.pid
            done = subprocess.run(
                ["nsenter", "-a", "-t", str(pid), *words], stdin=subprocess.DEVNULL,
                capture_output=True, check=False,
            )  # fmt: skip
            if not container.is_serving():
                continue
            container.health = "HEALTHY" if done.returncode == 0 else "UNHEALTHY"
            self._poke()

    def _cannot_start(self, container, text):
        container.status = "STOPPED"
        container.reason = (
            "CannotStartContainerError: ResourceInitializationError: failed to create new "
            f"container runtime task: OCI runtime create failed: {text}: unknown"
        )
        self._fail("TaskFailedToStart", container.reason)

    def begin(self):
        self._poller = select.poll()
        self._poller.register(self._wake, select.POLLIN)
        super().begin()

    def _wait(self, until):
        """For a stop, the end of a container, or a time; then reaps."""
        timeout_ms = None if until is None else max(0, (until - time.monotonic()) * 1000)
        ready = {fd for fd, _ in self._poller.poll(timeout_ms)}
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        for container in self.containers.values():
            if container.fd >= 0 and container.fd in ready:
                self._poller.unregister(container.fd)
                container.reap()
                text = container.start_error()
                if text:
                    self._cannot_start(container, text)

    def _end(self):
        self.ended_at = self.ended_at or time.monotonic()
        self.status = "DEACTIVATING" if self.running_at else "DEPROVISIONING"
        while running := [c for c in self.containers.values() if c.fd >= 0]:
            self._end_some(running)
            times = [c.stop_at for c in running if c.stop_at is not None and not c.killed]
            self._wait(min(times, default=None))
        for container in self.containers.values():
            container.status = "STOPPED"
        self._close_network()
        self.stopped_at = time.time()
        self.cloud.forget(self)
        self.status = "STOPPED"
        self.cloud.definitions.end_deletion(self.definition)
        with self._wake_lock:
            os.close(self._wake)
            self._wake = -1

    def _end_some(self, running):
        """Signals those on which no running container depends, and kills those that are late."""
        needed = {
            row["containerName"] for c in running for row in c.definition.get("dependsOn", [])
        }
        for container in running:
            if container.stop_at is None and container.name in needed:
                continue
            if container.stop_at is None:
                container.end()
            if self.hurry:
                container.stop_at = min(container.stop_at, time.monotonic() + HURRY_S)
            if not container.killed and time.monotonic() >= container.stop_at:
                container.end_now()

    # --- DescribeTasks

    def show(self, task):
        found = super().show(task)
        known = self.ended_at is None or time.monotonic() >= self.ended_at + self.cloud.lag_s
        request, overrides = self.definition.request, self.request.get("overrides", {})
        for name in ("cpu", "memory"):
            found[name] = overrides.get(name, request.get(name, ""))
        found |= {"taskDefinitionArn": self.definition.arn, "overrides": overrides}
        found["containers"] = self._shown_containers(known)
        for name, value in (
            ("pullStartedAt", self.pull_started),
            ("pullStoppedAt", self.pull_stopped),
            ("stoppedAt", self.stopped_at),
        ):
            if value is not None:
                found[name] = value
        return found

    def _shown_containers(self, known):
        """All of the definition; the last comes first, since the order means nothing."""
        if self.containers:
            return [c.show(known) for c in reversed(list(self.containers.values()))]
        return [
            {"name": c["name"], "image": c["image"], "taskArn": self.arn, "lastStatus": "PENDING"}
            for c in reversed(self.definition.request["containerDefinitions"])
        ]
