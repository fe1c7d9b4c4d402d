# SPDX-License-Identifier: MIT
"""ECS for many jobs at once: a table of tasks, and the real agent as a process for each.

The stand-in for one job (ecs.py) passes each request on to moto and has a thread for each task: a
thousand of them would measure that. This one answers from memory what launches, warm pools and
cleanups ask for, and one thread moves all tasks through their states. Requests, and answers with up
to SHOWN tasks, are checked against botocore's model; those with more have the same rows.

    crowd = Crowd(directory, agent_program, authority, before)    with a certificates.Authority: by
                                 TLS; before: words in front of the agent's
    crowd.provisioning_s         until the address is known
    crowd.pending_s              from there until the agent is started
    crowd.running_s              from there to RUNNING
    crowd.latency_s              of every answer
    crowd.calls                  (monotonic, operation, request)
    crowd.hidden                 ids of jobs whose tasks DescribeTasks does not show
    crowd.most                   more tasks in one DescribeTasks are refused, as by a policy
    crowd.hold(test)             DescribeTasks requests with test(request) wait until release()
    crowd.tasks                  {ARN: CrowdTask}
"""

import heapq
import http.server
import itertools
import json
import os
import secrets
import ssl
import subprocess
import threading
import time
from pathlib import Path

from support import aws_model
from support.ecs_moto import REGION, driver_environment, driver_settings
from support.ecs_requests import job_of, refusal
from support.ecs_server import TARGET, Server
from support.ports import free_port

# Drivers have all CAs in memory where they talk to AWS.
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CONTAINER = "ci-coordinator"
FAMILY = "crowd"
ACCOUNT = "123456789012"
SHOWN = 3
PAGE = 100
HOLD_S = 60
STOP_S = 10
OPERATIONS = {"RunTask", "DescribeTasks", "ListTasks", "StopTask", "TagResource"}


class CrowdTask:
    def __init__(self, crowd, number, request):
        self.id = secrets.token_hex(16)
        cluster = request["cluster"]
        self.arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{self.id}"
        self.address = f"127.{2 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        self.request, self.cluster = request, cluster
        self.job_id = job_of(request)
        self.status, self.reason = "PROVISIONING", ""
        self.created, self.created_at = time.monotonic(), time.time()
        self.address_at = None  # monotonic: since when DescribeTasks shows it
        self.described_at = None  # the first answer with it
        self.started_at = None
        self.process = None
        self.ended = False

    @property
    def environment(self):
        (override,) = self.request["overrides"]["containerOverrides"]
        return {row["name"]: row["value"] for row in override["environment"]}

    def show(self):
        """As much as a task of one container has on Fargate."""
        details = [{"name": "subnetId", "value": "subnet-0a1b2c3d4e5f60718"}]
        if self.address_at is not None:
            details += [
                {"name": "networkInterfaceId", "value": f"eni-{self.id[:17]}"},
                {"name": "macAddress", "value": "0a:1b:2c:3d:4e:5f"},
                {"name": "privateDnsName", "value": f"ip-{self.id[:8]}.{REGION}.compute.internal"},
                {"name": "privateIPv4Address", "value": self.address},
            ]
        container = {
            "containerArn": f"{self.arn.replace(':task/', ':container/')}/{self.id[:8]}",
            "taskArn": self.arn,
            "name": CONTAINER,
            "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/ci/runner:1",
            "lastStatus": self.status,
            "networkInterfaces": [
                {"attachmentId": self.id, "privateIpv4Address": self.address}
            ] if self.address_at else [],
            "healthStatus": "UNKNOWN",
            "cpu": "0",
        }  # fmt: skip
        shown = {
            "attachments": [
                {"id": self.id, "type": "ElasticNetworkInterface", "status": "ATTACHED",
                 "details": details}
            ],
            "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
            "availabilityZone": f"{REGION}a",
            "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{self.cluster}",
            "connectivity": "CONNECTED",
            "containers": [container],
            "cpu": "1024",
            "createdAt": self.created_at,
            "desiredStatus": "STOPPED" if self.ended else "RUNNING",
            "enableExecuteCommand": False,
            "group": f"family:{FAMILY}",
            "healthStatus": "UNKNOWN",
            "lastStatus": self.status,
            "launchType": "FARGATE",
            "memory": "2048",
            "overrides": self.request["overrides"],
            "platformFamily": "Linux",
            "platformVersion": "1.4.0",
            "startedBy": self.request["startedBy"],
            "tags": self.request.get("tags", []),
            "taskArn": self.arn,
            "taskDefinitionArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{FAMILY}:1",
            "version": 2,
            "ephemeralStorage": {"sizeInGiB": 20},
        }  # fmt: skip
        if self.started_at:
            shown["startedAt"] = self.started_at
        if self.ended:
            shown |= {"stopCode": "UserInitiated", "stoppedReason": self.reason}
        return shown

    def move_to(self, status):
        """Unless it is ended meanwhile, by another thread."""
        self.status = status
        if self.ended:
            self.status = "STOPPED"

    def end(self, reason):
        self.ended, self.reason = True, reason
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        self.status = "STOPPED"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        crowd = self.server.cloud
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        if service != TARGET or operation not in OPERATIONS:
            crowd.problems.append(f"{service} {operation}")
            status, answer = 400, refusal("UnknownOperationException", "")
        else:
            status, answer = crowd.answer(operation, request, self.headers)
        body = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # a driver that was killed
            self.close_connection = True


class Crowd:
    def __init__(self, directory, agent_program, authority=None, before=()):
        self.directory, self.agent_program = directory, agent_program
        self._authority, self._before = authority, before
        self.provisioning_s = self.pending_s = self.running_s = 0.3
        self.latency_s = 0.0
        self.calls, self.problems = [], []
        self.tasks, self._tokens = {}, {}
        self.hidden, self.most = set(), 100
        self.cluster = f"crowd-{secrets.token_hex(4)}"
        self._holds, self._held = [], threading.Event()
        self.released = threading.Event()
        self._numbers = itertools.count(256)
        self._lock = threading.Lock()
        self._timers, self._wake, self._ending = [], threading.Condition(), False
        self.ssh_port = free_port()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.cloud = self
        if authority:
            self._encrypt(authority)
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=self._run_timers, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        scheme = "https" if authority else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def _encrypt(self, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue("ecs"))
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.bundle = self.directory / "bundle.pem"
        system = SYSTEM_BUNDLE.read_bytes() if SYSTEM_BUNDLE.exists() else b""
        self.bundle.write_bytes(system + authority.ca_file.read_bytes())

    def settings(self):
        places = ("subnet-0a1b2c3d4e5f60718", "sg-0a1b2c3d4e5f60718")
        return driver_settings(self.cluster, *places, FAMILY, self.ssh_port)

    def environment(self):
        own = {"AWS_CA_BUNDLE": str(self.bundle)} if self._authority else {}
        return driver_environment(self.url) | own

    # --- for tests

    def times(self, operation):
        return [at for at, name, _ in self.calls if name == operation]

    def requests(self, operation):
        return [request for _, name, request in self.calls if name == operation]

    def running(self):
        return [task.arn for task in list(self.tasks.values()) if not task.ended]

    def task_of(self, job_id):
        found = [task for task in list(self.tasks.values()) if task.job_id == str(job_id)]
        return found[-1] if found else None

    def hold(self, test):
        """The first DescribeTasks request that passes the test is not answered until release()."""
        self._holds.append(test)
        return self._held

    def release(self):
        self.released.set()

    def stop(self):
        """Ends everything; returns what was against the model of ECS."""
        self.release()
        with self._wake:
            self._ending = True
            self._wake.notify()
        for task in list(self.tasks.values()):
            task.end("the end of the test")
        for task in list(self.tasks.values()):
            if task.process is not None:
                try:
                    task.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    task.process.kill()
                    task.process.wait()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()
        return self.problems

    # --- states

    def _at(self, seconds, act):
        with self._wake:
            entry = (time.monotonic() + seconds, next(self._numbers), act)
            heapq.heappush(self._timers, entry)
            self._wake.notify()

    def _run_timers(self):
        while True:
            with self._wake:
                if self._ending:
                    return
                now = time.monotonic()
                if not self._timers or self._timers[0][0] > now:
                    self._wake.wait(self._timers[0][0] - now if self._timers else None)
                    continue
                act = heapq.heappop(self._timers)[2]
            act()

    def _provisioned(self, task):
        if not task.ended:
            task.move_to("PENDING")
            task.address_at = time.monotonic()
            self._at(self.pending_s, lambda: self._start(task))

    def _start(self, task):
        if task.ended:
            return
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.directory)}
        env |= {name: os.environ[name] for name in os.environ if name.endswith("SAN_OPTIONS")}
        task.process = subprocess.Popen(
            [*self._before, self.agent_program, "--listen", f"{task.address}:{self.ssh_port}"],
            env=env | task.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if task.ended:
            task.process.terminate()
        self._at(self.running_s, lambda: self._runs(task))

    def _runs(self, task):
        if not task.ended:
            task.move_to("RUNNING")
            task.started_at = time.time()

    # --- answers

    def answer(self, operation, request, headers):
        self.calls.append((time.monotonic(), operation, request))
        few = len(request.get("tasks", [])) <= SHOWN
        if few:
            self.problems += aws_model.json_problems("ecs", operation, "input_shape", request)
        if self.latency_s:
            time.sleep(self.latency_s)
        login = headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        status, answer = getattr(self, f"_{operation}")(request, login)
        if status == 200 and len(answer.get("tasks", [])) <= SHOWN:
            self.problems += aws_model.json_problems("ecs", operation, "output_shape", answer)
        return status, answer

    def _RunTask(self, request, login):
        token = request["clientToken"]
        with self._lock:
            if token not in self._tokens:
                task = CrowdTask(self, next(self._numbers), request)
                task.login = login
                self._tokens[token] = self.tasks[task.arn] = task
                self._at(self.provisioning_s, lambda: self._provisioned(task))
            return 200, {"tasks": [self._tokens[token].show()], "failures": []}

    def _DescribeTasks(self, request, login):
        for test in list(self._holds):
            if test(request):
                self._holds.remove(test)
                self._held.set()
                self.released.wait(HOLD_S)
        wanted = request["tasks"]
        if len(wanted) > min(self.most, 100):
            code = "InvalidParameterException" if len(wanted) > 100 else "AccessDeniedException"
            return 400, refusal(code, "not these tasks together")
        tasks, failures = [], []
        for arn in wanted:
            task = self.tasks.get(arn)
            if task is None or task.cluster != request["cluster"] or task.job_id in self.hidden:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            tasks.append(task.show())
            if task.address_at is not None and task.described_at is None:
                task.described_at = time.monotonic()
        return 200, {"tasks": tasks[::-1], "failures": failures}

    def _ListTasks(self, request, _):
        arns = [arn for arn in self.running() if self.tasks[arn].cluster == request["cluster"]]
        start = int(request.get("nextToken", "0"))
        answer = {"taskArns": arns[start : start + PAGE]}
        if start + PAGE < len(arns):
            answer["nextToken"] = str(start + PAGE)
        return 200, answer

    def _StopTask(self, request, _):
        task = self.tasks.get(request["task"])
        if task is None:
            return 400, refusal("InvalidParameterException", "The referenced task was not found.")
        task.end(request.get("reason", ""))
        return 200, {"task": task.show()}

    def _TagResource(self, request, _):
        return 200, {}
