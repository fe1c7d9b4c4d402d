# SPDX-License-Identifier: MIT
"""The AWS CLI, loaded once: each call of the guide's 'aws' is a fork of this process.

'aws_server.py SOCKET' listens there; client() writes the program 'aws', which passes its arguments,
environment, directory and standard streams, and exits with the call's status. The guide makes some
hundred calls, and starting the CLI takes longer than most of them.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys

from support.waiting import until

SERVICES = ("ec2", "ecr", "ecs", "iam", "logs", "s3", "secretsmanager", "ssm", "sts")
CLIENT = """#!{python} -IS
import json, os, socket, sys
request = json.dumps([sys.argv, dict(os.environ), os.getcwd()]).encode()
with socket.socket(socket.AF_UNIX) as link:
    link.connect({address!r})
    socket.send_fds(link, [len(request).to_bytes(4, "big")], [0, 1, 2])
    link.sendall(request)
    status = link.recv(1)
sys.exit(status[0] if status else 255)
"""


class AwsServer:
    """The server, and the directory of its program 'aws' for PATH."""

    def __init__(self, directory):
        address = directory / "aws.socket"
        self.programs = directory / "programs"
        self.programs.mkdir()
        program = self.programs / "aws"
        program.write_text(CLIENT.format(python=sys.executable, address=str(address)))
        program.chmod(0o755)
        with open(directory / "aws.log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, address],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": path()},
                start_new_session=True,
            )
        until(address.exists, 60, "the server of the AWS CLI")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


def path():
    return os.pathsep.join(sys.path)


def remember_files():
    """A file of the models is parsed once."""
    from awscli.botocore.loaders import JSONFileLoader  # noqa: PLC0415

    load, known = JSONFileLoader.load_file, {}

    def load_file(self, file_path):
        if file_path not in known:
            known[file_path] = load(self, file_path)
        return known[file_path]

    JSONFileLoader.load_file = load_file


def serve(address):
    from awscli import clidriver  # noqa: PLC0415

    remember_files()
    session = clidriver.create_clidriver().session
    for service in SERVICES:
        session.create_client(
            service, "us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen(20)
    os.rename(address + ".new", address)
    while True:
        link, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(answer(link, clidriver.main))
        link.close()


def answer(link, main):
    length, streams, _, _ = socket.recv_fds(link, 4, 3)
    request = link.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
    arguments, environment, directory = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(directory)
    # The CLI's own part of the models, which importing it names.
    environment["AWS_DATA_PATH"] = os.environ["AWS_DATA_PATH"]
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    try:
        status = main()
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as end:
        status = end.code
    link.sendall(bytes([status if isinstance(status, int) else 1]))
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
