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
import socket
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from support import aws_model
from support.driver import Job
from support.ecs_requests import Gate, job_of, refusal
from support.ecs_server import Handler, Server
from support.ecs_task import CONTAINER, Task
from support.proxy import Proxy
from support.waiting import until

REGION = "ap-northeast-1"
FAMILY = "ruby330-node16181-runner"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "test/secret/key"}

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
