# SPDX-License-Identifier: MIT
"""ECS and EC2 of one test: moto's server, a proxy before it, and the data plane that moto lacks.

The driver under test talks to the proxy (AWS_ENDPOINT_URL). Each request is checked against
botocore's model of the service and goes on to moto, which does what it does; its answer is checked
again on its way back. What moto does not have is added here: the states that a task runs through,
client tokens, pages, and containers: for an accepted RunTask the real agent, or a stock sshd, is
started as a process with the environment of the overrides, at the private address that moto gave
the task, moved from network 10 to 127 so that it is one of loopback's.

A fault is a row of Cloud.faults: the first whose operation fits the request is used up by it.
"""

import collections
import copy
import getpass
import http.client
import http.server
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from support import aws_model, processes
from support.driver import Job
from support.proxy import Proxy
from support.waiting import until

REGION = "ap-northeast-1"
FAMILY = "ruby330-node16181-runner"
CONTAINER = "ci-coordinator"
TARGET = "AmazonEC2ContainerServiceV20141113"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "test/secret/key"}
STOP_S = 10.0
HOLD_S = 60.0
RESET = struct.pack("ii", 1, 0)

MODEL = aws_model.model("ecs")
SERVER = Path(__file__).with_name("moto_server.py")


class Moto:
    """moto's server on a free port of loopback, for all tests of one process."""

    def __init__(self, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log_path = directory / "moto.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, SERVER, "-H", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "MOTO_ECS_NEW_ARN": "true"},
            )
        until(self._answers, 60, "moto's server")
        self.url = f"http://127.0.0.1:{self.port}"
        self.ecs = self.client("ecs")
        self.ec2 = self.client("ec2")

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(max_pool_connections=20),
        )

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"moto's server ended:\n{self.log_path.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@dataclass
class Fault:
    """What happens to one request instead of, or before, the usual.

    operation  its name; "": any
    status, body, headers   an answer of this kind instead of moto's
    failures   for RunTask: an answer of success with these failures and no task
    reset      the connection is reset: "before" moto sees the request, or "after" it did its part
    raw        an answer of success with these bytes, after moto did its part
    missing    for DescribeTasks: the task is not known yet
    delay_s    the answer takes so long
    times      how many requests it serves
    """

    operation: str = ""
    status: int = 0
    body: dict = None
    headers: dict = field(default_factory=dict)
    failures: list = None
    reset: str = ""
    raw: bytes = None
    missing: bool = False
    delay_s: float = 0.0
    times: int = 1


def throttled(operation, times=1):
    return Fault(
        operation,
        status=400,
        body={"__type": "ThrottlingException", "message": "Rate exceeded"},
        times=times,
    )


class Gate:
    """Holds one request of one job: "before" moto sees it, or "after" moto did its part.

    reached is set when the request is there; it goes on when open is, or when the test ends.
    """

    def __init__(self, job_id, operation, when):
        self.job_id, self.operation, self.when = str(job_id), operation, when
        self.taken = False
        self.reached, self.open, self.passed = (threading.Event() for _ in range(3))

    def hold(self):
        self.reached.set()
        self.open.wait(HOLD_S)


class Task:
    """The data plane's half of one task: its process and its state."""

    def __init__(self, cloud, answer, request):
        self.cloud = cloud
        self.arn = answer["taskArn"]
        self.request = request
        self.created = time.time()
        self.running_at = None
        self.process = None
        self.proxy = None
        self.status = "PROVISIONING"
        self.stop_code = self.reason = self.container_reason = ""
        self.exit_code = None
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
                self.exit_code = self.process.returncode & 0xFF
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
            self.stop_code, self.reason = code, reason
            self.container_reason = container_reason
            self._stop.set()

    def kill(self, container_reason):
        """As the kernel ends a container that takes too much memory."""
        self.container_reason = container_reason
        self.process.kill()

    def join(self):
        self._stop.set()
        self._thread.join(STOP_S + 10)

    def show(self, task):
        """moto's idea of the task with what the data plane knows."""
        stopping = bool(self.stop_code) or self._stop.is_set()
        task["lastStatus"] = self.status
        task["desiredStatus"] = "STOPPED" if stopping else "RUNNING"
        task["createdAt"] = self.created
        task["cpu"], task["memory"] = "1024", "2048"
        for name, value in (
            ("startedAt", self.running_at),
            ("stopCode", self.stop_code),
            ("stoppedReason", self.reason),
        ):
            task.pop(name, None)
            if value:
                task[name] = value
        # A sidecar stands first: nobody may take the first container for the job's.
        container = {"name": CONTAINER, "lastStatus": self.status, "taskArn": self.arn}
        if self.exit_code is not None:
            container["exitCode"] = self.exit_code
        if self.container_reason:
            container["reason"] = self.container_reason
        task["containers"] = [{"name": "sidecar", "lastStatus": self.status}, container]
        details = [{"name": "subnetId", "value": self.subnet}]
        if self.status != "PROVISIONING":
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


class Cloud:
    """A cluster of its own with two subnets, and a proxy that a driver talks to.

    url            for AWS_ENDPOINT_URL
    image          "agent", "sshd", or "" for a container that listens to nothing
    *_s            how long a task stays PROVISIONING, PENDING without and with its container
    calls          (operation, request) in their order
    tasks          by ARN
    start_failure  (stop code, reason, container's reason): tasks stop before they start
    """

    def __init__(self, moto, directory, agent_program):
        self.moto = moto
        self.directory = directory
        self.agent_program = agent_program
        self.image = "agent"
        self.images = {}  # of some jobs, by id
        self.agent_arguments = []
        self.container_env = {"CONTAINER_SAYS": "hello"}
        self.provisioning_s, self.pending_s, self.running_s = 0.05, 0.05, 0.3
        self.paces = {}  # the three, by a job's id
        self.link_faults = {}  # of a proxy before the SSH server, by a job's id
        self.start_failure = None
        self.page = 100
        self.listing = True  # whether ListTasks knows the tasks
        self.clock_skew_s = 0
        self.faults = []
        self.gates = []
        self.calls = []
        self.sts_answers = []
        self.times = []  # (monotonic, operation)
        self.problems = []
        self.tasks = {}
        self.listen_public = False
        self._tokens = {}
        self._lock = threading.Lock()
        with socket.socket() as probe, socket.socket() as other:
            probe.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.ssh_port, self.inner_port = probe.getsockname()[1], other.getsockname()[1]
        self._make_cluster()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.cloud = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _make_cluster(self):
        ecs, ec2 = self.moto.ecs, self.moto.ec2
        self.cluster = f"gitlab-runner-{secrets.token_hex(4)}"
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        # Without host names in the VPC moto cannot give a task its interface.
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        self.subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"]
            for n in (1, 2)
        ]
        group = ec2.create_security_group(VpcId=vpc, GroupName="runner", Description="runner")
        self.group = group["GroupId"]
        ecs.create_cluster(clusterName=self.cluster)
        ecs.register_task_definition(
            family=FAMILY,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="1024",
            memory="2048",
            containerDefinitions=[
                {
                    "name": CONTAINER,
                    "image": "ruby3.3.0-node16.18.1-runner",
                    "memory": 2048,
                    "portMappings": [{"containerPort": 22, "protocol": "tcp"}],
                }
            ],
        )

    def settings(self):
        """Of fargate.toml."""
        return {
            "Fargate": {
                "Cluster": self.cluster,
                "Region": REGION,
                "Subnet": self.subnets[0],
                "SecurityGroup": self.group,
                "TaskDefinition": FAMILY,
            },
            "SSH": {"Username": getpass.getuser(), "Port": self.ssh_port},
        }

    def environment(self):
        return {
            **KEYS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def running(self):
        """ARNs of tasks that moto has not been told to stop."""
        answer = self.moto.ecs.list_tasks(cluster=self.cluster, desiredStatus="RUNNING")
        return answer["taskArns"]

    def task(self):
        (task,) = self.tasks.values()
        return task

    def count(self, operation):
        return collections.Counter(name for name, _ in self.calls)[operation]

    def requests(self, operation):
        return [request for name, request in self.calls if name == operation]

    # --- containers

    def start_container(self, task):
        image = self.images.get(task.job_id, self.image)
        if not image:
            return None
        directory = self.directory / f"task-{task.id}"
        directory.mkdir()
        address = task.public if self.listen_public else task.private
        port = self.ssh_port
        if task.job_id in self.link_faults:
            port = self.inner_port
            faults = self.link_faults[task.job_id]
            task.proxy = Proxy(port, faults, address=address, own_port=self.ssh_port)
        env = {"PATH": os.environ["PATH"], "HOME": str(directory), **self.container_env}
        env |= {name: os.environ[name] for name in os.environ if name.endswith("SAN_OPTIONS")}
        env |= task.environment
        start = self._start_agent if image == "agent" else self._start_sshd
        with open(directory / "container.log", "wb") as log:
            return start(directory, address, port, env, log)

    def _start_agent(self, directory, address, port, env, log):
        return subprocess.Popen(
            [self.agent_program, "--listen", f"{address}:{port}", *self.agent_arguments],
            env=env,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _start_sshd(self, directory, address, port, env, log):
        """What the entrypoint script of the old image does, without touching this machine."""
        key = env.pop("SSH_PUBLIC_KEY", "")
        env.pop("BERTH_HOST_KEY_SEED", None)
        if not key:
            log.write(b"Need your SSH public key as the SSH_PUBLIC_KEY env variable.\n")
            return subprocess.Popen(["sh", "-c", "exit 1"])
        authorized = directory / "authorized_keys"
        authorized.write_text(key + "\n")
        authorized.chmod(0o600)
        host_key = directory / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True)
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        options = {
            "Port": port,
            "ListenAddress": address,
            "HostKey": host_key,
            "AuthorizedKeysFile": authorized,
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *words],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def forget(self, task):
        """Tells moto that a task has ended by itself."""
        self.moto.ecs.stop_task(cluster=self.cluster, task=task.arn, reason=task.reason)

    def logs(self):
        for path in sorted(self.directory.glob("task-*/container.log")):
            yield f"--- {path.parent.name}:\n{path.read_text(errors='replace')}"

    def stop(self):
        """Ends everything; returns what was against the model of the services."""
        for gate in self.gates:
            gate.open.set()
        for task in list(self.tasks.values()):
            task.join()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        return self.problems

    # --- requests

    def hold(self, job_id, operation, when):
        gate = Gate(job_id, operation, when)
        self.gates.append(gate)
        return gate

    def gate_of(self, operation, request):
        """The gate that this request is the first to come to."""
        with self._lock:
            for gate in self.gates:
                if (
                    gate.operation == operation
                    and not gate.taken
                    and gate.job_id == self._job_of(operation, request)
                ):
                    gate.taken = True
                    return gate
        return None

    def _job_of(self, operation, request):
        if "startedBy" in request:
            return job_of(request)
        if operation == "DescribeNetworkInterfaces":
            wanted = request["NetworkInterfaceId.1"]
            found = [task for task in self.tasks.values() if task.interface == wanted]
        else:
            named = request.get("tasks", [request.get("task")])
            found = [self.tasks[arn] for arn in named if arn in self.tasks]
        return found[0].job_id if found else None

    def task_of(self, job_id):
        """The last task of a job; None: there was none."""
        found = [task for task in self.tasks.values() if task.job_id == str(job_id)]
        return found[-1] if found else None

    def take_fault(self, operation):
        with self._lock:
            for fault in self.faults:
                if fault.operation in ("", operation):
                    fault.times -= 1
                    if fault.times == 0:
                        self.faults.remove(fault)
                    return fault
        return None

    def check(self, operation, what, parameters):
        self.problems += aws_model.json_problems("ecs", operation, what, parameters)

    def ecs_answer(self, operation, request, body, headers, fault):
        """(status, JSON) of an ECS request."""
        if operation == "RunTask":
            return self._run_task(request, body, headers)
        if operation == "StopTask" and request["task"] not in self.tasks:
            return 400, refusal("InvalidParameterException", "The referenced task was not found.")
        if operation == "ListTasks":
            return self._list_tasks(request, headers)
        if operation == "DescribeTasks" and fault is not None and fault.missing:
            missing = [{"arn": arn, "reason": "MISSING"} for arn in request["tasks"]]
            return 200, {"tasks": [], "failures": missing}
        status, answer = self.forward_json(body, headers)
        if status == 200 and operation == "DescribeTasks":
            known = {task["taskArn"]: task for task in answer["tasks"]}
            answer["tasks"] = [
                self.tasks[arn].show(known[arn]) if arn in self.tasks else known[arn]
                for arn in request["tasks"]
                if arn in known
            ]
            answer["failures"] = [
                {"arn": arn, "reason": "MISSING"} for arn in request["tasks"] if arn not in known
            ]
        if status == 200 and operation == "StopTask":
            task = self.tasks[request["task"]]
            task.stop("UserInitiated", request.get("reason", ""))
            answer["task"] = task.show(answer["task"])
        return status, answer

    def _run_task(self, request, body, headers):
        token = request.get("clientToken", secrets.token_hex(16))
        with self._lock:  # the same token is the same task, also while the first call is under way
            if token in self._tokens:
                before, answer = self._tokens[token]
                if before != request:
                    return 400, refusal("ConflictException", "The token was used differently.")
                return 200, copy.deepcopy(answer)
            status, answer = self.forward_json(body, headers)
            if status == 200:
                self._tokens[token] = (request, copy.deepcopy(answer))
        if status == 200:
            for row in answer["tasks"]:
                task = Task(self, row, request)
                network = request["networkConfiguration"]["awsvpcConfiguration"]
                if network["assignPublicIp"] == "ENABLED":
                    task.public = self._give_public_address(task)
                self.tasks[task.arn] = task
                task.show(row)
                task.begin()
        return status, answer

    def _give_public_address(self, task):
        ec2 = self.moto.ec2
        address = ec2.allocate_address(Domain="vpc")
        ec2.associate_address(
            AllocationId=address["AllocationId"], NetworkInterfaceId=task.interface
        )
        return "127." + address["PublicIp"].split(".", 1)[1]

    def _list_tasks(self, request, headers):
        wanted = {"desiredStatus": "RUNNING", **request}
        offset = int(wanted.pop("nextToken", "0"))
        status, answer = self.forward_json(json.dumps(wanted).encode(), headers)
        if not self.listing:
            return 200, {"taskArns": []}
        if status == 200:
            arns = answer["taskArns"]
            answer["taskArns"] = arns[offset : offset + self.page]
            if offset + self.page < len(arns):
                answer["nextToken"] = str(offset + self.page)
        return status, answer

    def forward(self, body, headers):
        link = http.client.HTTPConnection("127.0.0.1", self.moto.port, timeout=30)
        try:
            passed = {
                name: value
                for name, value in headers.items()
                if name.lower() not in ("host", "content-length", "connection", "accept-encoding")
            }
            link.request("POST", "/", body, passed)
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()

    def forward_json(self, body, headers):
        status, text = self.forward(body, headers)
        try:
            return status, json.loads(text)
        except ValueError:
            self.problems.append(f"moto: {status}: {text[:2000]!r}")
            return 500, refusal("ServerException", "moto has no answer")

    def query_answer(self, operation, body, headers):
        """(status, XML) of a request of EC2 or STS."""
        status, text = self.forward(body, headers)
        service = "sts" if operation == "AssumeRole" else "ec2"
        if service == "sts":
            self.sts_answers.append(text)
        if status == 200:
            self.problems += aws_model.xml_problems(service, operation, text)
        for task in self.tasks.values():
            if task.public:
                public = task.public.split(".", 1)[1]
                head, found, tail = text.partition(f".{public}</publicIp>".encode())
                if found:
                    start = head.rindex(b"<publicIp>") + len(b"<publicIp>")
                    text = head[:start] + b"127" + found + tail
        return status, text


def refusal(code, message):
    return {"__type": code, "message": message}


def job_of(request):
    """The GitLab id in startedBy: "berth/OWNER/job-ID-HASH"."""
    words = request.get("startedBy", "").rpartition("/")[2].split("-")
    return words[1] if len(words) > 1 else None


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        """A driver that was killed resets its connection: nothing to tell."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cloud = property(lambda self: self.server.cloud)

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.cloud.clock_skew_s)

    def _reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()
        self.close_connection = True

    def _answer(self, status, body, kind, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", secrets.token_hex(16))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        try:
            self._serve()
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True

    def _serve(self):
        cloud = self.cloud
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = self.headers.get("X-Amz-Target", "")
        if target:
            service, _, operation = target.partition(".")
            request = json.loads(body)
            if service != TARGET:
                cloud.problems.append(f"unknown target {target}")
            cloud.check(operation, "input_shape", request)
        else:
            request = dict(urllib.parse.parse_qsl(body.decode()))
            operation = request.get("Action", "")
            service = "sts" if operation == "AssumeRole" else "ec2"
            cloud.problems += aws_model.form_problems(service, operation, body)
        cloud.calls.append((operation, request))
        cloud.times.append((time.monotonic(), operation))
        gate = cloud.gate_of(operation, request)
        if gate is not None and gate.when == "before":
            gate.hold()
        try:
            self._do(cloud, operation, request, body, gate)
        finally:
            if gate is not None:
                gate.passed.set()

    def _do(self, cloud, operation, request, body, gate):
        target = self.headers.get("X-Amz-Target", "")
        fault = cloud.take_fault(operation)
        if fault is not None and fault.reset == "before":
            return self._reset()
        if fault is not None and fault.status:
            kind = "application/x-amz-json-1.1"
            return self._answer(fault.status, json.dumps(fault.body).encode(), kind, fault.headers)
        if fault is not None and fault.failures is not None:
            status, answer = 200, {"tasks": [], "failures": fault.failures}
        elif target:
            status, answer = cloud.ecs_answer(operation, request, body, self.headers, fault)
        else:
            status, text = cloud.query_answer(operation, body, self.headers)
            text = text if fault is None or fault.raw is None else fault.raw
            if gate is not None and gate.when == "after":
                gate.hold()
            return self._answer(status, text, "text/xml")
        if gate is not None and gate.when == "after":
            gate.hold()
        if fault is not None:
            time.sleep(fault.delay_s)
            if fault.reset == "after":
                return self._reset()
            if fault.raw is not None:
                return self._answer(200, fault.raw, "application/x-amz-json-1.1")
        if status == 200:
            cloud.check(operation, "output_shape", answer)
        return self._answer(status, json.dumps(answer).encode(), "application/x-amz-json-1.1")


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """moto's server, once for the tests of a process."""
    instance = Moto(tmp_path_factory.mktemp("moto"))
    yield instance
    instance.stop()


@pytest.fixture
def cloud(moto, programs, tmp_path, nothing_left):
    """A cluster with a data plane; fails the test for requests that are not in AWS's model."""
    directory = tmp_path / "cloud"
    directory.mkdir()
    instance = Cloud(moto, directory, str(programs.agent))
    yield instance
    problems = instance.stop()
    for text in instance.logs():
        print(text)
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


class EcsJob(Job):
    """A job whose driver is configured for a Cloud."""

    def __init__(self, driver, directory, cloud, job_id=4711):
        super().__init__(driver, directory, job_id)
        self.cloud = cloud
        self.url = f"https://gitlab.example/group/project/-/jobs/{job_id}"
        self.env |= cloud.environment()
        self.env["CUSTOM_ENV_CI_JOB_URL"] = self.url
        self.fargate = driver.settings.setdefault("Fargate", {})
        for table, entries in cloud.settings().items():
            driver.settings.setdefault(table, {}).update(entries)

    def nothing_kept(self):
        return [path for path in super().nothing_kept() if not path.name.startswith(".ecs-")]


@pytest.fixture
def ecs_job(berth_driver, cloud, tmp_path):
    """A job on ECS; cleanup runs after the test, must succeed and leave no task."""
    directory = tmp_path / "job"
    directory.mkdir()
    instance = EcsJob(berth_driver, directory, cloud)
    yield instance
    cloud.faults.clear()
    done = instance.stage("cleanup")
    assert done.returncode == 0, done.stderr
    assert instance.nothing_kept() == []
    assert cloud.running() == []
