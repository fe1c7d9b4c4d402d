# SPDX-License-Identifier: MIT
"""The contestants as running servers on loopback, and what their processes cost."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_DEADLINE_S = 60.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Server:
    """One server; ended by stop() with all that it left, found by its session.

    name     contestant in the report
    port     on 127.0.0.1
    program  the file whose processes are the server's own, as opposed to its jobs'
    """

    def __init__(self, name, command, program, env, port, directory):
        self.name = name
        self.port = port
        self.program = str(Path(program).resolve())
        self.log_path = directory / f"{name}-{port}.log".replace(" ", "-").replace("/", "-")
        self.directory = directory
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd="/",
            )  # fmt: skip
        self.pid = self.process.pid

    def wait_ready(self):
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.0005)  # poll until it listens
        raise RuntimeError(f"{self.name} does not listen; {self.log_path.read_text()[-500:]}")

    def own_pids(self):
        """Processes of the server itself, its children that execute something else left out."""
        found = []
        for pid in tree(self.pid):
            try:
                if os.readlink(f"/proc/{pid}/exe") == self.program:
                    found.append(pid)
            except OSError:
                continue
        return found

    def pss_kib(self):
        return sum(pss_kib(pid) for pid in self.own_pids())

    def cpu_s(self):
        """Of the server, its ended connections and their jobs: what was waited for."""
        return sum(cpu_with_children_s(pid) for pid in tree(self.pid))

    def wakeups(self):
        return sum(switches(pid) for pid in self.own_pids())

    def stop(self):
        for pid in [self.pid, *tree(self.pid)]:
            try:
                os.kill(pid, signal.SIGTERM if pid == self.pid else signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fields_of(pid):
    """Of /proc/PID/stat, from the state on; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root):
    """The pid and those of all its descendants."""
    parents = {}
    for name in os.listdir("/proc"):
        fields = fields_of(name) if name.isdigit() else None
        if fields:
            parents[int(name)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_with_children_s(pid):
    fields = fields_of(pid)
    return sum(int(ticks) for ticks in fields[11:15]) * TICK_S if fields else 0.0


def pss_kib(pid):
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def switches(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Fleet:
    """Starts contestants and ends what it started."""

    def __init__(self, bin_directory, scratch):
        self.bin = Path(bin_directory)
        self.scratch = Path(scratch)
        self.running = []
        self.numbers = iter(range(1, 1 << 30))
        self.key = self.make_key("client")
        self.host_key = self.make_key("host")
        self.public_key = Path(f"{self.key}.pub").read_text().strip()

    def make_key(self, name, *words):
        path = self.scratch / name
        command = ["ssh-keygen", "-q", *(words or ("-t", "ed25519")), "-N", "", "-f", str(path)]
        subprocess.run(command, check=True)
        return path

    def started(self, name, command, program, env=None):
        port = free_port()
        command = [word.replace("PORT", str(port)) for word in command]
        full = {"PATH": os.environ["PATH"], "SSH_PUBLIC_KEY": self.public_key, "PORT": str(port)}
        full |= env or {}
        server = Server(name, command, program, full, port, self.scratch)
        self.running.append(server)
        return server

    def agent(self):
        limits = ["--max-unauthenticated", "256", "--max-unauthenticated-per-address", "256"]
        program = self.bin / "berth-agent"
        command = [str(program), "--listen", "127.0.0.1:PORT", *limits]
        return self.started("berth-agent", command, program, {"HOME": "/root"})

    def sshd(self, name="sshd", keygen="", pam="yes"):
        """Under tini, by today's entrypoint script, with Debian's settings."""
        home = self.scratch / f"home-{next(self.numbers)}"
        home.mkdir()
        env = {"HOME": str(home), "KEYGEN": keygen, "PAM": pam, "HOST_KEY": str(self.host_key)}
        command = ["tini", "--", str(HERE / "peers/entrypoint.sh")]
        Path("/run/sshd").mkdir(exist_ok=True)
        return self.started(name, command, "/usr/sbin/sshd", env)

    def dropbear(self):
        home = self.scratch / f"home-{next(self.numbers)}"
        keys = home / ".ssh"
        keys.mkdir(parents=True)
        (keys / "authorized_keys").write_text(self.public_key + "\n")
        for path, mode in ((home, 0o700), (keys, 0o700), (keys / "authorized_keys", 0o600)):
            path.chmod(mode)
        host_key = home / "host"
        make = ["dropbearkey", "-t", "ed25519", "-f", str(host_key)]
        subprocess.run(make, check=True, capture_output=True)
        words = ["dropbear", "-F", "-E", "-p", "127.0.0.1:PORT", "-r", str(host_key)]
        # It looks into root's home directory and nowhere else: here that is another one.
        inner = 'mount --bind "$HOME" /root && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", inner, "sh", "tini", "--", *words]
        return self.started("dropbear", command, "/usr/sbin/dropbear", {"HOME": str(home)})

    def stop(self, server):
        server.stop()
        self.running.remove(server)

    def close(self):
        for server in list(self.running):
            self.stop(server)
