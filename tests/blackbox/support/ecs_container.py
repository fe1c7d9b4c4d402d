# SPDX-License-Identifier: MIT
"""One container of a task of ecs_play.py: a process in namespaces of its own."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from support.ecs_images import PATH

DOCKER_CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "MKNOD": 27,
    "AUDIT_WRITE": 29, "SETFCAP": 31,
}  # fmt: skip
SYS_PTRACE = 19
STOP_TIMEOUT_S = 30.0
TOOL_FAILED = 125  # of ecs-container


class Container:
    """One container of a task. status: PENDING, RUNNING, STOPPED."""

    def __init__(self, task, definition, override, image):
        self.task, self.definition, self.image = task, definition, image
        self.name = definition["name"]
        self.override = override
        self.essential = definition.get("essential", True)
        self.status = "PENDING"
        self.exit_code, self.reason, self.health = None, "", "UNKNOWN"
        self.process = None
        self.ended = None  # monotonic: when it was reaped
        self.stop_at = None  # monotonic: when SIGKILL follows SIGTERM
        self.killed = False
        self.fd = -1
        self.begun = time.monotonic()

    @property
    def pid(self):
        """Of the container's first process, in this machine's numbers."""
        if self.process is None:
            return None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError, IndexError):
            return int(path.read_text().split()[0])
        return None

    @property
    def log_path(self):
        return self.task.directory / f"{self.name}.log"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def words(self):
        """What runs: Docker's rules of ENTRYPOINT and CMD."""
        own = self.override.get("command") or self.definition.get("command")
        if self.definition.get("entryPoint"):
            return [*self.definition["entryPoint"], *(own or [])]
        return [*self.image.entrypoint, *(own or self.image.command)]

    def environment(self, home):
        rows = [*self.definition.get("environment", []), *self.override.get("environment", [])]
        secrets = self.task.cloud.containers.secrets
        found = {"PATH": PATH, "HOSTNAME": self.task.host_name, "HOME": home, **self.image.env}
        found["AWS_EXECUTION_ENV"] = "AWS_ECS_FARGATE"
        found |= self.task.metadata_environment()
        found |= {n: os.environ[n] for n in os.environ if n.endswith("SAN_OPTIONS")}
        found |= {s["name"]: secrets[s["valueFrom"]] for s in self.definition.get("secrets", [])}
        return found | {row["name"]: row["value"] for row in rows}

    def mounts(self):
        """SOURCE:TARGET[:ro] of each mount."""
        found = [f"{self.task.hosts_file}:/etc/hosts"]
        libraries = self.task.cloud.containers.images.libraries
        files = [*self.image.files.items(), *((path, path) for path in libraries)]
        found += [f"{os.path.realpath(source)}:{path}:ro" for path, source in files]
        if self.task.report_directory:
            found.append(f"{self.task.report_directory}:{self.task.report_directory}")
        return found + self.volume_mounts()

    def volume_mounts(self):
        found = []
        for row in self.definition.get("volumesFrom", []):
            found += self.task.containers[row["sourceContainer"]].volume_mounts()
        for mount in self.definition.get("mountPoints", []):
            end = ":ro" if mount.get("readOnly") else ""
            found.append(f"{self.task.volume(mount['sourceVolume'])}:{mount['containerPath']}{end}")
        return found

    def capabilities(self):
        if self.definition.get("privileged"):
            text = Path("/proc/self/status").read_text()
            return int(text.partition("CapPrm:")[2].split()[0], 16)  # all that can be had here
        asked = self.definition.get("linuxParameters", {}).get("capabilities", {})
        dropped = asked.get("drop", [])
        mask = sum(
            1 << bit
            for name, bit in DOCKER_CAPABILITIES.items()
            if name not in dropped and "ALL" not in dropped
        )
        return mask | (1 << SYS_PTRACE if "SYS_PTRACE" in asked.get("add", []) else 0)

    def start(self):
        """Raises LookupError or OSError with ECS's reason."""
        words = self.words()
        if not words:
            raise LookupError("no command specified")
        user = self.definition.get("user") or self.image.user
        uid, gid, groups, home = self.image.user_ids(user)
        work = self.task.directory / f"{self.name}.root"
        work.mkdir()
        options = ["-n", self.task.namespace.path, "-r", self.image.root, "-w", work]
        options += ["-t", self.task.host_name, "-u", uid, "-g", gid]
        options += ["-d", self.definition.get("workingDirectory") or self.image.directory or "/"]
        options += ["-c", f"{self.capabilities():x}", "-e", self._error_path]
        for name, values in (("-G", groups), ("-m", self.mounts())):
            options += [word for value in values for word in (name, value)]
        if self.definition.get("readonlyRootFilesystem"):
            options.append("-o")
        tool = self.task.cloud.containers.tool
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [tool, "run", *map(str, options), "--", *words],
                env=self.environment(home),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.fd = os.pidfd_open(self.process.pid)
        self.status, self.begun = "RUNNING", time.monotonic()

    @property
    def _error_path(self):
        return self.task.directory / f"{self.name}.error"

    def start_error(self):
        """Why the program could not be executed; empty: it was."""
        with contextlib.suppress(OSError):
            return self._error_path.read_text()
        return ""

    def reap(self):
        """Once its process has ended."""
        self.exit_code = self.process.wait()
        if self.exit_code < 0:
            self.exit_code = 128 - self.exit_code
        self.status, self.ended = "STOPPED", time.monotonic()
        os.close(self.fd)
        self.fd = -1
        if self.exit_code == TOOL_FAILED and "ecs-container: " in self.log():
            self.task.cloud.problems.append(self.log())

    def end(self):
        """SIGTERM; SIGKILL follows."""
        self.stop_at = time.monotonic() + self.definition.get("stopTimeout", STOP_TIMEOUT_S)
        self._signal(signal.SIGTERM)

    def end_now(self):
        self.killed = True
        self._signal(signal.SIGKILL)

    def is_serving(self):
        """Its first process runs, and no signal to end was sent."""
        pid = self.pid
        if pid is None or self.stop_at is not None or self.killed:
            return False
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        return False

    def kill(self, reason=""):
        """As the kernel kills it: it ends at once with 137, and its task learns of it."""
        self.reason = reason
        self.killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number):
        """Past ecs-container, which a test may have frozen."""
        pid = self.pid
        for target in filter(None, [pid, None if pid else self.process.pid]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, number)

    def satisfies(self, condition):
        """Whether a container that depends on this one may start: True, False (not yet), None
        (never)."""
        if condition == "START":
            return self.status != "PENDING"
        if condition == "HEALTHY":
            return None if self.status == "STOPPED" else self.health == "HEALTHY"
        if self.status != "STOPPED":
            return False
        return True if condition == "COMPLETE" or self.exit_code == 0 else None

    def show(self, known):
        """As DescribeTasks has it."""
        found = {
            "containerArn": self.task.arn.replace(":task/", ":container/") + f"/{self.name}",
            "taskArn": self.task.arn,
            "name": self.name,
            "image": self.definition["image"],
            "runtimeId": f"{self.task.id}-{abs(hash(self.name)) % 10**10}",
            "lastStatus": self.status if known else "RUNNING",
            "networkInterfaces": [{"attachmentId": "1", "privateIpv4Address": self.task.private}],
            "healthStatus": self.health,
            "cpu": str(self.definition.get("cpu", 0)),
        }
        if known and self.exit_code is not None:
            found["exitCode"] = self.exit_code
        if known and self.reason:
            found["reason"] = self.reason
        return found
