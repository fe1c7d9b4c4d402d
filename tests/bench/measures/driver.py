# SPDX-License-Identifier: MIT
"""The driver as the runner calls it, against a Go program that does what today's driver does."""

import base64
import json
import os
import subprocess

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import clients
from bench.figures import Row, Target

NAME = "driver"
MIB = 1 << 20
CONFIG = """\
Backend = "local"
LogLevel = "warn"
[TaskMetadata]
Directory = "{scratch}/metadata"
[Local]
Directory = "{scratch}/tasks"
"""
DRIVER = "berth-driver"
PLAIN = "berth-driver, plain exec"
TODAY = "Go stand-in, sshd"
SAME_AGENT = "Go stand-in, berth-agent"


class Job:
    """A job on the 'local' backend, stage by stage."""

    def __init__(self, context, name):
        self.context = context
        self.scratch = context.scratch / name
        self.scratch.mkdir()
        config = self.scratch / "fargate.toml"
        config.write_text(CONFIG.format(scratch=self.scratch))
        response = self.scratch / "job.json"
        response.write_text('{"id": 1, "token": "t"}')
        self.words = [str(context.bin / "berth-driver"), "--config", str(config), "custom"]
        self.env = os.environ | {
            "JOB_RESPONSE_FILE": str(response),
            "BUILD_FAILURE_EXIT_CODE": "1",
            "SYSTEM_FAILURE_EXIT_CODE": "2",
            "BUILD_EXIT_CODE_FILE": str(self.scratch / "exit-code"),
        }

    def stage(self, *words):
        return [*self.words, *words]

    def run_script(self, text):
        path = self.scratch / "script"
        path.write_text(text)
        return self.stage("run", str(path), "step_script")

    def call(self, command):
        subprocess.run(command, env=self.env, check=True, stdout=subprocess.DEVNULL)


def prepare_cpu(context):
    """CPU of the whole stage, the agent's start and the login with it."""

    def ours():
        job = Job(context, f"prepare-{os.urandom(4).hex()}")
        cost = clients.timed(context.tools, job.stage("prepare"), context.scratch, job.env)
        job.call(job.stage("cleanup"))
        return cost[1] * 1e3

    def stand_in():
        command = [str(context.tools / "go-driver"), "prepare", str(context.scratch)]
        return clients.timed(context.tools, command, context.scratch)[1] * 1e3

    rounds = context.amount(15, 3)
    samples = context.interleaved({DRIVER: ours, "Go stand-in": stand_in}, rounds)
    return Row(
        "driver prepare, CPU", "ms", samples, ours=DRIVER, peer="Go stand-in", target=Target(0.05)
    )


def empty_run(context, job):
    """Whole processes whose script does nothing."""
    fleet = context.fleet
    go = [str(context.tools / "go-driver"), "run", str(context.scratch)]
    script = context.scratch / "empty"
    script.write_text(":\n")
    fleet.public_key = (context.scratch / "key.pub").read_text().strip()
    servers = {TODAY: fleet.sshd().wait_ready(), SAME_AGENT: fleet.agent().wait_ready()}
    commands = {DRIVER: (job.run_script(":\n"), job.env)}
    for name, server in servers.items():
        commands[name] = ([*go, str(server.port), str(script)], None)
    memory = {name: [] for name in commands}

    def take(name):
        command, env = commands[name]
        wall, _, resident = clients.timed(context.tools, command, context.scratch, env)
        memory[name].append(resident)
        return wall * 1e3

    rounds = context.amount(25, 6)
    wall = context.interleaved({name: lambda n=name: take(n) for name in commands}, rounds)
    for server in servers.values():
        fleet.stop(server)
    return [
        Row("driver run of an empty script", "ms", wall, ours=DRIVER, peer=TODAY,
            target=Target(0.25)),
        Row("the same, largest resident set", "KiB", memory, ours=DRIVER, peer=TODAY,
            target=Target(0.65)),
    ]  # fmt: skip


def public_of(seed_base64):
    """The line for authorized_keys of a job's key."""
    public = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed_base64)).public_key()
    return public.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode()


def plain_run(context, job):
    """An empty script over the sshd of an image without our agent: one server for both drivers."""
    fleet = context.fleet
    (path,) = (job.scratch / "metadata").glob("*.json")
    whole = path.read_text()
    values = json.loads(whole)
    go_key = (context.scratch / "key.pub").read_text().strip()
    fleet.public_key = f"{go_key}\n{public_of(values['user_key_seed'])}"
    server = fleet.sshd().wait_ready()
    pinned = " ".join(context.scratch.joinpath("host.pub").read_text().split()[:2])
    path.write_text(json.dumps(values | {"port": server.port, "host_key": pinned}))
    script = context.scratch / "empty"
    script.write_text(":\n")
    go = [str(context.tools / "go-driver"), "run", str(context.scratch), str(server.port)]
    commands = {
        DRIVER: (job.run_script(":\n"), job.env),
        TODAY: ([*go, str(script)], None),
    }
    cpu = {name: [] for name in commands}

    def take(name):
        command, env = commands[name]
        wall, processor, _ = clients.timed(context.tools, command, context.scratch, env)
        cpu[name].append(processor * 1e3)
        return wall * 1e3

    rounds = context.amount(25, 6)
    wall = context.interleaved({name: lambda n=name: take(n) for name in commands}, rounds)
    path.write_text(whole)
    fleet.stop(server)
    return [
        Row("driver run, plain sshd", "ms", wall, ours=DRIVER, peer=TODAY, target=Target(1.1)),
        Row("the same, CPU of the driver", "ms", cpu, ours=DRIVER, peer=TODAY, target=Target(1)),
    ]


def whole_path(context, job):
    """A job's output through agent and driver to a pipe, against ssh from sshd."""
    length = context.amount(1024, 256) * MIB
    script = f"head -c {length} /dev/zero"
    server = context.fleet.sshd().wait_ready()
    ssh = clients.ssh_command(context.fleet, server, script, "aes128-gcm@openssh.com")
    run = job.run_script(script + "\n")
    path = context.random_file("noise", 32 * MIB)
    wanted = clients.hash_output(["cat", str(path)])
    # 'ssh JOB -- COMMAND' is the same link without a resumable job's spool and acknowledgements.
    exec_words = [*job.words[:-1], "ssh", "1", "--"]
    plain = [*exec_words, script]
    transfers = {
        DRIVER: job.run_script(f"cat {path}\n"),
        PLAIN: [*exec_words, f"cat {path}"],
        "ssh from sshd": [*ssh[:-1], f"cat {path}"],
    }
    for name, command in transfers.items():
        if clients.hash_output(command, subprocess.DEVNULL, job.env) != wanted:
            raise RuntimeError(f"{name}: what arrived is not what the job wrote")
    job.run_script(script + "\n")
    samples = context.interleaved(
        {
            DRIVER: lambda: length / clients.count_output(run, length, job.env) / MIB,
            PLAIN: lambda: length / clients.count_output(plain, length, job.env) / MIB,
            "ssh from sshd": lambda: length / clients.count_output(ssh, length) / MIB,
        }
    )
    context.fleet.stop(server)
    pair = {name: samples[name] for name in (DRIVER, PLAIN)}
    return [
        Row("driver run, stdout to a pipe", "MiB/s", samples, ours=DRIVER, peer="ssh from sshd",
            target=Target(1.5, at_least=True)),
        Row("the same against a plain exec", "MiB/s", pair, ours=DRIVER, peer=PLAIN,
            target=Target(0.8, at_least=True)),
    ]  # fmt: skip


def measure(context):
    key = context.fleet.public_key
    rows = [prepare_cpu(context)]
    job = Job(context, "driver-job")
    job.call(job.stage("prepare"))
    try:
        rows += empty_run(context, job)
        rows += plain_run(context, job)
        context.fleet.public_key = key
        rows += whole_path(context, job)
    finally:
        context.fleet.public_key = key
        job.call(job.stage("cleanup"))
    return rows, []
