# SPDX-License-Identifier: MIT
"""A container of an image under test, reached by OpenSSH's client at its own address."""

import secrets

from support.keys import KeyPair
from support.ssh import Ssh
from support.waiting import until


class Container:
    """Started by 'with'; removed at its end. address, port: where its SSH server listens."""

    port = 22

    def __init__(self, engine, image, directory, env=None, words=(), command=()):
        self.engine, self.image = engine, image
        self.directory = directory
        self.client_key, self.host_key = KeyPair(), KeyPair()
        self.env = {
            "SSH_PUBLIC_KEY": self.client_key.public,
            "BERTH_HOST_KEY_SEED": self.host_key.seed_base64,
            **(env or {}),
        }
        self.words, self.command = words, command
        self.name = f"berth-images-{secrets.token_hex(6)}"

    def create(self):
        given = [word for key, value in self.env.items() for word in ("-e", f"{key}={value}")]
        self.engine.docker(
            "create", "--name", self.name, *given, *self.words, self.image, *self.command
        )

    def __enter__(self):
        self.create()
        self.engine.docker("start", self.name)
        return self

    def __exit__(self, *_):
        self.engine.docker("rm", "-f", "-v", self.name)

    def inspect(self):
        """From the engine itself: the command line client takes far longer than what is timed."""
        return self.engine.good("GET", f"/containers/{self.name}/json")

    @property
    def address(self):
        return self.inspect()["NetworkSettings"]["IPAddress"]

    def log(self):
        done = self.engine.docker("logs", self.name)
        return done.stdout + done.stderr

    def known_hosts_line(self):
        return f"{self.address} {self.host_key.public}\n"

    def ssh(self):
        """A client that has waited until it can log in."""
        client = ContainerSsh(self, self.directory)
        until(
            lambda: client.run("true").returncode == 0, 20, f"login to {self.image}: {self.log()}"
        )
        return client


class ContainerSsh(Ssh):
    def __init__(self, container, directory):
        key = directory / f"{container.name}.key"
        container.client_key.write_private(key)
        super().__init__(container, key, directory, "root")
        self.address = container.address

    def command_line(self, *words, **how):
        return [
            word.replace("@127.0.0.1", f"@{self.address}")
            for word in super().command_line(*words, **how)
        ]
