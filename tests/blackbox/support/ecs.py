# SPDX-License-Identifier: MIT
"""ECS and EC2 of one test: moto's server, a proxy before it, and the data plane that moto lacks.

The driver under test talks to the proxy (AWS_ENDPOINT_URL). Each request is checked against
botocore's model of the service and goes on to moto, which does what it does; its answer is checked
again on its way back. What moto does not have is added here: the states that a task runs through,
client tokens, pages, rates (ecs_definitions.Buckets), what ECS refuses (ecs_rules.py), and
containers. There are two kinds of task definition:

- FAMILY, and what a test registers with moto itself, are prepared images: for an accepted RunTask
  the real agent, or a stock sshd, is started as a process with the environment of the overrides, at
  the private address that moto gave the task, moved from network 10 to 127 so that it is one of
  loopback's.
- What comes by RegisterTaskDefinition, or from a test by cloud.definitions.define(), is kept by
  ecs_definitions.py, and its tasks are played whole, container by container: ecs_play.py.

A fault is a row of Cloud.faults: the first whose operation fits the request is used up by it.
"""

import collections
import copy
import http.client
import http.server
import json
import os
import secrets
import subprocess
import threading
import time

import pytest

from support import aws_model, ecs_rules
from support.driver import Job
from support.ecs_definitions import Buckets, Definitions
from support.ecs_moto import Moto, driver_environment, driver_settings
from support.ecs_play import Containers
from support.ecs_requests import Gate, job_of, refusal
from support.ecs_server import Handler, Server
from support.ecs_task import CONTAINER, Task
from support.ports import free_port
from support.proxy import Proxy

FAMILY = "ruby330-node16181-runner"

MODEL = aws_model.model("ecs")
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
COMMON_ERRORS = {"ThrottlingException", "ServerException", "AccessDeniedException"}


class Cloud:
    """A cluster of its own with two subnets, and a proxy that a driver talks to.

    url            for AWS_ENDPOINT_URL
    image          "agent", "sshd", or "" for a container that listens to nothing
    *_s            how long a task stays PROVISIONING, PENDING without and with its container
    calls          (operation, request) in their order
    tasks          by ARN
    no_default     what RunTask answers without launch type and strategy; "": the cluster's default
    start_failure  (stop code, reason, container's reason): tasks stop before they start
    definitions    see ecs_definitions.Definitions: lag, registrations seen, define()
    containers     see ecs_play.Containers: images, slow starts, secrets
    providers      capacity providers of the cluster beside Fargate's, {name: CapacityProviderType}
    buckets        see ecs_definitions.Buckets: rates; buckets.throttled lists what was refused
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
        self.no_default = ""
        self.providers = {}
        self.page = 100
        self.listing = True  # whether ListTasks knows the tasks
        self.lag_s = 0  # how long ECS does not know that a task ends
        self.reported_stopped = []  # monotonic times of answers that said so
        self.clock_skew_s = 0
        self.faults = []
        self.gates = []
        self.calls = []
        self.sts_answers = []
        self.times = []  # (monotonic, operation)
        self.problems = []
        self.tasks = {}
        self.listen_public = False
        self.definitions = Definitions(self)
        self.buckets = Buckets()
        self.containers = Containers(directory, agent_program)
        self._tokens = {}
        self._public_addresses = {}  # moto's, and the one that can be reached
        self._lock = threading.Lock()
        self.ssh_port, self.inner_port = free_port(), free_port()
        self._make_cluster()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.cloud = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _make_cluster(self):
        ec2 = self.moto.ec2
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
        self.make_cluster(self.cluster)
        self.register_family(portMappings=[{"containerPort": 22, "protocol": "tcp"}])

    def register_family(self, **container):
        """A revision of FAMILY; 'container': what else its container has."""
        self.moto.ecs.register_task_definition(
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
                    **container,
                }
            ],
        )

    def make_cluster(self, name):
        """As AWS's console makes one, but with a default strategy."""
        self.moto.ecs.create_cluster(
            clusterName=name,
            capacityProviders=["FARGATE", "FARGATE_SPOT"],
            defaultCapacityProviderStrategy=[
                {"capacityProvider": "FARGATE", "weight": 1, "base": 0}
            ],
        )

    def settings(self):
        """Of fargate.toml."""
        return driver_settings(self.cluster, self.subnets[0], self.group, FAMILY, self.ssh_port)

    def environment(self):
        return driver_environment(self.url)

    def running(self):
        """ARNs of tasks for which moto got no StopTask."""
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
            "PermitUserRC": "no",
            "SetEnv": f"HOME={directory}",  # else it is that of /etc/passwd
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
        cluster = task.request["cluster"]
        self.moto.ecs.stop_task(cluster=cluster, task=task.arn, reason=task.reason)

    def logs(self):
        for path in sorted(self.directory.glob("task-*/*.log")):
            name = f"{path.parent.name}/{path.stem}"
            yield f"--- {name}:\n{path.read_text(errors='replace')}"

    def stop(self):
        """Ends everything; returns what was against the model of the services."""
        for gate in self.gates:
            gate.open.set()
        for task in list(self.tasks.values()):
            task.join()
        self.containers.close()
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
            found = [task for task in list(self.tasks.values()) if task.interface == wanted]
        else:
            named = request.get("tasks", [request.get("task", request.get("resourceArn"))])
            found = [self.tasks[arn] for arn in named if arn in self.tasks]
        return found[0].job_id if found else None

    def task_of(self, job_id):
        """The last task of a job; None: there was none."""
        found = [task for task in list(self.tasks.values()) if task.job_id == str(job_id)]
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

    def check_error(self, operation, answer):
        """An error of ours has to be one of the operation's, or one that all have."""
        modelled = {shape.name for shape in MODEL.operation_model(operation).error_shapes}
        if answer["__type"] not in modelled | COMMON_ERRORS:
            self.problems.append(f"{operation} has no error {answer['__type']}")

    def ecs_answer(self, operation, request, body, headers, fault):
        """(status, JSON) of an ECS request."""
        if not self.buckets.take(operation):
            return 400, refusal("ThrottlingException", "Rate exceeded")
        ours = self.definitions.answer(operation, request)
        if ours is not None:
            return ours
        if operation == "RunTask":
            return self._run_task(request, body, headers)
        if operation == "DescribeCapacityProviders":
            return 200, self._describe_providers(request)
        if operation == "StopTask" and request["task"] not in self.tasks:
            return 400, refusal("InvalidParameterException", "The referenced task was not found.")
        if operation == "ListTasks":
            return self._list_tasks(request, headers)
        if operation == "DescribeTasks" and fault is not None and fault.missing:
            missing = [{"arn": arn, "reason": "MISSING"} for arn in request["tasks"]]
            return 200, {"tasks": [], "failures": missing}
        status, answer = self.forward_json(body, headers)
        if status == 200 and operation == "DescribeTaskDefinition":
            answer["taskDefinition"].setdefault("registeredAt", time.time())
            if "TAGS" not in request.get("include", []):
                answer.pop("tags", None)
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
            if any(task["desiredStatus"] == "STOPPED" for task in answer["tasks"]):
                self.reported_stopped.append(time.monotonic())
        if status == 200 and operation == "StopTask":
            task = self.tasks[request["task"]]
            task.stop("UserInitiated", request.get("reason", ""))
            answer["task"] = task.show(answer["task"])
        return status, answer

    def _run_task(self, request, body, headers):
        named = request.keys() & {"launchType", "capacityProviderStrategy"}
        if self.no_default and not named:
            return 400, refusal("InvalidParameterException", self.no_default)
        definition, problem = self.definitions.to_run(request["taskDefinition"])
        if problem is None:
            problem = ecs_rules.run_problem(request, definition and definition.request)
        if problem is None:
            problem = ecs_rules.capacity_problem(
                request, definition and definition.request, self.providers
            )
        if problem is not None:
            return 400, refusal(*problem)
        body = self._run_for_moto(request, definition)
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
                if definition is None:
                    task = Task(self, row, request)
                else:
                    task = self.containers.task_class(self, row, request, definition)
                for item in request.get("capacityProviderStrategy", []):
                    name = item["capacityProvider"]
                    if name in self.providers:
                        task.capacity = ("MANAGED_INSTANCES", name)
                network = request["networkConfiguration"]["awsvpcConfiguration"]
                if network.get("assignPublicIp") == "ENABLED":
                    task.public = self._give_public_address(task)
                self.tasks[task.arn] = task
                task.show(row)
                task.begin()
        return status, answer

    def _describe_providers(self, request):
        found, failures = [], []
        for name in request["capacityProviders"]:
            if name not in self.providers:
                failures.append({"arn": name, "reason": "MISSING"})
                continue
            kind = self.providers[name]
            about = {
                "MANAGED_INSTANCES": {"managedInstancesProvider": {"propagateTags": "NONE"}},
                "EC2_AUTOSCALING": {"autoScalingGroupProvider": {"autoScalingGroupArn": "arn"}},
            }.get(kind, {})
            found.append({"name": name, "status": "ACTIVE", "type": kind, **about})
        return {"capacityProviders": found, "failures": failures}

    def _run_for_moto(self, request, definition):
        """moto's part is the task's interface; it cannot do without a security group."""
        least = {k: v for k, v in request.items() if k != "clientToken"}
        network = {"securityGroups": [self.group]}
        network |= request["networkConfiguration"]["awsvpcConfiguration"]
        least["networkConfiguration"] = {"awsvpcConfiguration": network}
        items = least.get("capacityProviderStrategy", [])
        if any(item["capacityProvider"] in self.providers for item in items):
            del least["capacityProviderStrategy"]  # moto knows those of Auto Scaling groups
        if definition is not None:
            least["taskDefinition"] = self.definitions.moto_arn
            least.pop("overrides", None)
        return json.dumps(least).encode()

    def _give_public_address(self, task):
        ec2 = self.moto.ec2
        address = ec2.allocate_address(Domain="vpc")
        ec2.associate_address(
            AllocationId=address["AllocationId"], NetworkInterfaceId=task.interface
        )
        self._public_addresses[address["PublicIp"]] = given = task.public_of(address["PublicIp"])
        return given

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
        link = http.client.HTTPConnection("127.0.0.1", self.moto.port, timeout=60)
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
        for public, given in list(self._public_addresses.items()):
            text = text.replace(
                f"<publicIp>{public}</publicIp>".encode(), f"<publicIp>{given}</publicIp>".encode()
            )
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
        driver.settings.pop("Backend", None)  # the table [Fargate] asks for ECS
        self.fargate = driver.settings.setdefault("Fargate", {})
        for table, entries in cloud.settings().items():
            driver.settings.setdefault(table, {}).update(entries)

    def nothing_kept(self):
        return [path for path in super().nothing_kept() if not path.name.startswith(".ecs-")]

    def finish(self):
        self.cloud.faults.clear()
        super().finish()
        assert self.cloud.running() == []


@pytest.fixture
def ecs_job(berth_driver, cloud, tmp_path):
    """A job on ECS; cleanup runs after the test, must succeed and leave no task."""
    directory = tmp_path / "job"
    directory.mkdir()
    instance = EcsJob(berth_driver, directory, cloud)
    yield instance
    instance.finish()
