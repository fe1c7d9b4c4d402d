# SPDX-License-Identifier: MIT
"""A container with berth-agent against one with tini and sshd, on the same base, in the same run.

samples() takes the measures; called as a program (ROUNDS [--json]) it prints them. Needs root, for
the engine that the image tests start and keep in build/images, and the tests' Python packages.
"""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/blackbox"), str(TOP / "tests/images")]

from builder import DEBIAN, Builder  # noqa: E402
from containers import Container, ContainerSsh  # noqa: E402
from standins import CACHE  # noqa: E402
from support.docker_engine import Engine  # noqa: E402
from support.waiting import until  # noqa: E402

OURS, PEER = "berth-agent", "legacy-sshd"
IMAGES = {OURS: "bench-berth-agent", PEER: "bench-legacy-sshd"}
DOCKERFILE = """\
FROM {base}
COPY berth-agent /usr/local/bin/berth-agent
ENTRYPOINT ["/usr/local/bin/berth-agent"]
"""
DEADLINE_S = 30.0
POLL_S = 0.0005  # a loop without a pause takes a processor from the container


def samples(rounds=10, agent=TOP / "build/release/bin/berth-agent"):
    """[(measure, unit, {contestant: [value of each round]})]; less is better in all of them."""
    engine = Engine(CACHE / "engine", keep_data=True)
    engine.acquire()
    try:
        _build(engine, agent)
        with tempfile.TemporaryDirectory(prefix="berth-bench-") as scratch:
            taken = _rounds(engine, Path(scratch), rounds)
        added = {
            name: [_size(engine, image) - _size(engine, DEBIAN)] for name, image in IMAGES.items()
        }
    finally:
        engine.release()
    titles = {
        "engine": ("the engine's own part of a container's start", "ms"),
        "greeting": ("container start to SSH greeting", "ms"),
        "command": ("container start to first finished command", "ms"),
        "memory": ("idle memory of the container (PSS)", "KiB"),
    }
    rows = [
        (*title, {name: [one[key] for one in taken[name]] for name in IMAGES})
        for key, title in titles.items()
    ]
    return [*rows, ("image size added over the bare base", "MB", added)]


def _build(engine, agent):
    builder = Builder(engine)
    builder.bases()
    text = DOCKERFILE.format(base=DEBIAN)
    builder.build("-", IMAGES[OURS], text=text, top=agent.parent)
    # git is no part of what is compared: neither image has it.
    arguments = {"BASE_DIGEST": "", "PACKAGES": ""}
    builder.build("dockerfiles/legacy-sshd/Dockerfile", IMAGES[PEER], arguments, buildkit=False)


def _size(engine, image):
    return json.loads(engine.docker("inspect", image).stdout)[0]["Size"] / 1e6


def _rounds(engine, scratch, rounds):
    """Both in turn, the order changing each time; the first round fills caches and is dropped."""
    taken = {name: [] for name in IMAGES}
    for number in range(rounds + 1):
        names = sorted(IMAGES, reverse=number % 2 == 1)
        for name in names:
            one = _one(engine, name, scratch)
            if number > 0:
                taken[name].append(one)
    return taken


def _one(engine, name, scratch):
    container = Container(engine, IMAGES[name], scratch)
    container.create()
    try:
        began = time.monotonic()
        engine.good("POST", f"/containers/{container.name}/start")
        started = time.monotonic()
        _await_greeting(container.address)
        greeting = time.monotonic()
        command = _client(container, name)
        ready = time.monotonic()
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False)
        finished = time.monotonic()
        if done.returncode != 0:
            raise RuntimeError(f"{name}: login failed: {done.stderr.decode()}\n{container.log()}")
        return {
            "engine": (started - began) * 1e3,
            "greeting": (greeting - began) * 1e3,
            # Without what this program does between the two.
            "command": (finished - ready + greeting - began) * 1e3,
            "memory": _idle_memory(container),
        }
    finally:
        container.__exit__()


def _await_greeting(address):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            with socket.create_connection((address, 22), timeout=DEADLINE_S) as link:
                if link.recv(8) == b"SSH-2.0-":
                    return
        except OSError:
            time.sleep(POLL_S)
        if time.monotonic() > deadline:
            raise RuntimeError(f"no greeting from {address}")


def _client(container, name):
    """The same client for both. sshd's host key is whatever its package made: not checked here."""
    words = ContainerSsh(container, container.directory).command_line("true")
    if name == PEER:
        words = [
            word.replace("StrictHostKeyChecking=yes", "StrictHostKeyChecking=no") for word in words
        ]
        at = next(i for i, word in enumerate(words) if word.startswith("UserKnownHostsFile="))
        words[at] = "UserKnownHostsFile=/dev/null"
    return words


def _idle_memory(container):
    """Of the processes after the login: the agent, or tini and sshd."""
    identity = container.inspect()["Id"]
    least = 1 if container.image == IMAGES[OURS] else 2
    pids = until(lambda: _settled(identity, least), DEADLINE_S, "the end of the login")
    return sum(_pss(pid) for pid in pids)


def _settled(identity, count):
    pids = [
        path.name
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and identity in _read(path / "cgroup")
    ]
    return pids if len(pids) == count else None


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def _pss(pid):
    lines = _read(Path("/proc") / pid / "smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    if "--json" in sys.argv:
        print(json.dumps(samples(rounds)))
        return 0
    print(f"{rounds} containers each, medians{'':<22}{OURS:>12} {PEER:>12}  ratio")
    for measure, unit, values in samples(rounds):
        ours, peer = (statistics.median(values[name]) for name in (OURS, PEER))
        print(f"  {measure + ', ' + unit:<50} {ours:12.1f} {peer:12.1f}  {ours / peer:5.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
