# SPDX-License-Identifier: MIT
"""The OpenSSH client with nothing of the machine's configuration: pinned host key, one key."""

import getpass
import subprocess

RUN_DEADLINE_S = 200.0


class Ssh:
    """Runs commands on one agent. All output is bytes."""

    def __init__(self, agent, key_path, directory, user=None):
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(agent.known_hosts_line())
        self.port = agent.port
        self.key_path = key_path
        self.user = user or getpass.getuser()
        self._started = []

    def command_line(self, command=None, options=(), user=None, key_path=None, program="ssh"):
        """argv of the client. 'options' are further words, before the address."""
        words = [program, "-F", "/dev/null"]
        for option in (
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "LogLevel=ERROR",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=/dev/null",
            "ConnectTimeout=10",
            "UpdateHostKeys=no",
            "CheckHostIP=no",
        ):
            words += ["-o", option]
        words += [
            "-i",
            str(key_path or self.key_path),
            "-p",
            str(self.port),
            *options,
            f"{user or self.user}@127.0.0.1",
        ]
        return words if command is None else [*words, command]

    def run(self, command, input=b"", timeout=RUN_DEADLINE_S, check=False, **how):
        """Runs to the end; returns subprocess.CompletedProcess with stdout and stderr apart."""
        return subprocess.run(
            self.command_line(command, **how),
            input=input,
            capture_output=True,
            timeout=timeout,
            check=check,
        )

    def start(
        self, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how
    ):
        """Starts the client and returns its Popen; whatever still runs is ended with the test."""
        process = subprocess.Popen(
            self.command_line(command, **how), stdin=stdin, stdout=stdout, stderr=stderr
        )
        self._started.append(process)
        return process

    def stop(self):
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass
