# SPDX-License-Identifier: MIT
"""The data plane that moto lacks (ecs.py): a task's process, its states, its end."""

import signal
import subprocess
import threading
import time

from support import processes
from support.ecs_requests import job_of

CONTAINER = "ci-coordinator"
STOP_S = 10.0


class Task:
    """The data plane's half of one task: its process and its state."""

    def __init__(self, cloud, answer, request):
        self.cloud = cloud
        self.arn = answer["taskArn"]
        self.request = request
        self.created = time.time()
        self.running_at = None
        self.capacity = None  # launch type and capacity provider's name, other than moto's
        self.process = None
        self.proxy = None
        self.status = "PROVISIONING"
        self.stop_code = self.reason = self.container_reason = ""
        self.exit_code = None
        self.ended_at = None  # monotonic: when its end began, whatever ECS knows of it
        self.private = self.public = self.interface = None
        for attachment in answer["attachments"]:
            for detail in attachment["details"]:
                if detail["name"] == "privateIPv4Address":
                    self.private = "127." + detail["value"].split(".", 1)[1]
                elif detail["name"] == "networkInterfaceId":
                    self.interface = detail["value"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    @property
    def id(self):
        return self.arn.rsplit("/", 1)[1]

    @property
    def job_id(self):
        return job_of(self.request)

    @property
    def environment(self):
        (override,) = self.request["overrides"]["containerOverrides"]
        return {row["name"]: row["value"] for row in override["environment"]}

    @staticmethod
    def public_of(address):
        """The address of loopback for a public one."""
        return "127." + address.split(".", 1)[1]

    def begin(self):
        self._thread.start()

    def _live(self):
        cloud = self.cloud
        default = (cloud.provisioning_s, cloud.pending_s, cloud.running_s)
        provisioning_s, pending_s, running_s = cloud.paces.get(self.job_id, default)
        if self._stop.wait(provisioning_s):
            return self._end()
        if cloud.start_failure:
            self.stop_code, self.reason, self.container_reason = cloud.start_failure
            return self._end()
        self.status = "PENDING"
        if self._stop.wait(pending_s):
            return self._end()
        self.process = cloud.start_container(self)
        if self._stop.wait(running_s):
            return self._end()
        self.status, self.running_at = "RUNNING", time.time()
        while not self._stop.wait(0.02):
            if self.process is not None and self.process.poll() is not None:
                self.ended_at = self.ended_at or time.monotonic()
                code = self.process.returncode
                self.exit_code = 128 - code if code < 0 else code
                self.stop_code = "EssentialContainerExited"
                self.reason = "Essential container in task exited"
                break
        return self._end()

    def _end(self):
        self.status = "DEACTIVATING" if self.running_at else "DEPROVISIONING"
        if self.process is not None:
            # The end of a container is the end of whatever is in it, however it was left there.
            inside = processes.descendants(self.process.pid)
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGCONT)
                self.process.terminate()
                try:
                    self.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            processes.end(inside)
            code = self.process.returncode
            self.exit_code = 128 - code if code < 0 else code
        if self.proxy is not None:
            self.proxy.close()
        self.cloud.forget(self)
        self.status = "STOPPED"

    def stop(self, code, reason, container_reason=""):
        """As ECS ends a task: SIGTERM, SIGKILL later; the states follow."""
        if not self._stop.is_set():
            self.ended_at = time.monotonic()
            self.stop_code, self.reason = code, reason
            self.container_reason = container_reason
            self._stop.set()

    def kill(self, container_reason):
        """As the kernel ends a container that takes too much memory: every process of it."""
        self.ended_at = time.monotonic()
        self.container_reason = container_reason
        processes.end_tree(self.process.pid)

    def join(self):
        self._stop.set()
        self._thread.join(STOP_S + 10)

    def show(self, task):
        """moto's idea of the task with what the data plane knows."""
        known = self.ended_at is None or time.monotonic() >= self.ended_at + self.cloud.lag_s
        stopping = known and (bool(self.stop_code) or self._stop.is_set())
        status = self.status if known else "RUNNING"
        task["lastStatus"] = status
        task["desiredStatus"] = "STOPPED" if stopping else "RUNNING"
        task["createdAt"] = self.created
        task["cpu"], task["memory"] = "1024", "2048"
        task["launchType"] = task.get("launchType") or "FARGATE"
        if self.capacity:
            task["launchType"], task["capacityProviderName"] = self.capacity
        for name, value in (
            ("startedAt", self.running_at),
            ("stopCode", self.stop_code),
            ("stoppedReason", self.reason),
        ):
            task.pop(name, None)
            if value and (known or name == "startedAt"):
                task[name] = value
        # A sidecar comes first: the first container must not be taken for the job's.
        container = {"name": CONTAINER, "lastStatus": status, "taskArn": self.arn}
        if self.exit_code is not None and known:
            container["exitCode"] = self.exit_code
        if self.container_reason and known:
            container["reason"] = self.container_reason
        task["containers"] = [{"name": "sidecar", "lastStatus": status}, container]
        details = [{"name": "subnetId", "value": self.subnet}]
        if status != "PROVISIONING" and self.private:
            details += [
                {"name": "networkInterfaceId", "value": self.interface},
                {"name": "privateIPv4Address", "value": self.private},
            ]
        eni = {"id": "1", "type": "ElasticNetworkInterface", "status": "ATTACHED"}
        other = {"id": "0", "type": "Service Connect", "status": "ATTACHED", "details": []}
        task["attachments"] = [other, {**eni, "details": details}]
        return task

    @property
    def subnet(self):
        return self.request["networkConfiguration"]["awsvpcConfiguration"]["subnets"][0]
