# SPDX-License-Identifier: MIT
"""Images of the play for ECS (ecs_play.py): directories instead of layers.

    images = cloud.containers.images
    images.add("example/tools:1", directory, env={"A": "1"}, user="1000")
    images.add("example/host:1", "/")            what this machine has, for a helper with git
    images.add_agent("example/agent:1")          from scratch: /berth-agent and /bin/busybox
    images.add_busybox("example/busybox:1")      busybox with its applets, no bash, no git
    images.add_scratch("example/scratch:1", {"/app": program})    these programs and nothing else

Tasks write to a layer of their own; the directory stays as it is. 'files' {path: source} are
mounted into the image, read-only.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUSYBOX = "/bin/busybox"


@dataclass
class Image:
    """The configuration of an image, as Docker calls it."""

    root: Path
    entrypoint: list = field(default_factory=list)
    command: list = field(default_factory=list)
    env: dict = field(default_factory=dict)
    user: str = ""
    directory: str = ""
    volumes: tuple = ()
    architecture: str = "amd64"
    files: dict = field(default_factory=dict)

    def user_ids(self, text):
        """(uid, gid, other groups, home) of "USER[:GROUP]" by the image's own files."""
        name, _, group_name = text.partition(":")
        uid, gid, home, groups = None, 0, "/", []
        for row in self._rows("etc/passwd", 7):
            if name in (row[0], row[2]):
                uid, gid, home = int(row[2]), int(row[3]), row[5]
                name = row[0]
                break
        if uid is None:
            uid = int(name) if name.isdigit() else (None if name else 0)
        if uid is None:
            raise LookupError(f"unable to find user {name}: no matching entries in passwd file")
        for row in self._rows("etc/group", 4):
            if group_name and group_name in (row[0], row[2]):
                gid = int(row[2])
            elif not group_name and name in row[3].split(","):
                groups.append(int(row[2]))
        if group_name.isdigit():
            gid = int(group_name)
        return uid, gid, groups, home or "/"

    def _rows(self, name, fields):
        try:
            lines = (self.root / name).read_text(errors="replace").splitlines()
        except OSError:
            return []
        return [row for row in (line.split(":") for line in lines) if len(row) == fields]


class Images:
    """What the registries hold, by the name in the task definition."""

    def __init__(self, directory, agent_program):
        self.directory = directory
        self.agent_program = Path(agent_program)
        self.libraries = _libraries(self.agent_program)
        self._found = {}

    def add(self, name, root, **config):
        self._found[name] = Image(Path(root), **config)
        return self._found[name]

    def remove(self, name):
        del self._found[name]

    def get(self, name):
        """None: no registry has it."""
        return self._found.get(name)

    def root(self, name):
        """A new directory for an image."""
        path = self.directory / name.replace("/", "_").replace(":", "_")
        path.mkdir(parents=True)
        return path

    def add_agent(self, name, busybox=True, **config):
        files = {"/berth-agent": self.agent_program}
        if busybox:
            files["/busybox"] = BUSYBOX
        return self.add_scratch(name, files, **config)

    def add_scratch(self, name, programs, **config):
        root = self.root(name)
        for target, source in programs.items():
            path = root / target.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
            path.chmod(0o755)
        return self.add(name, root, **config)

    def add_busybox(self, name, **config):
        image = self.add_scratch(name, {BUSYBOX: os.path.realpath(BUSYBOX)}, **config)
        done = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
        for word in done.stdout.split():
            if word != "busybox":
                (image.root / "bin" / word).symlink_to("busybox")
        for path, mode in (("tmp", 0o1777), ("root", 0o700), ("etc", 0o755)):
            (image.root / path).mkdir()
            (image.root / path).chmod(mode)
        (image.root / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n"
        )
        (image.root / "etc/group").write_text("root:x:0:\nnode:x:1000:\n")
        return image


def _libraries(program):
    """Shared libraries of a program with sanitizers; the released one has none."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    words = done.stdout.split() if done.returncode == 0 else []
    return [word for word in words if word.startswith("/")]
