# SPDX-License-Identifier: MIT
"""The metadata services that give credentials: an instance's (IMDSv2) and a container's."""

import datetime
import json

from .http_server import Handler, HttpServer

SESSION = "session-token"


def credentials(key="ASIAMETADATA", hours=6, **more):
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    return {
        "Code": "Success",
        "AccessKeyId": key,
        "SecretAccessKey": f"secret-of-{key}",
        "Token": f"token-of-{key}",
        "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    } | more


class MetadataHandler(Handler):
    def handle_any(self):
        service = self.server
        service.requests.append((self.command, self.path, dict(self.headers.items())))
        if service.failures:
            status = service.failures.pop(0)
            if status is None:
                self.wait()
            else:
                self.reply(b"fault", status)
        elif self.path == "/latest/api/token":
            self.token()
        elif self.path.startswith("/latest/meta-data/iam/security-credentials/"):
            self.instance(self.path.rpartition("/")[2])
        elif self.path == "/container":
            self.container()
        else:
            self.reply(b"", 404)

    do_GET = do_PUT = handle_any

    def token(self):
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        good = self.command == "PUT" and ttl == "21600"
        self.reply(SESSION.encode() if good else b"", 200 if good else 400)

    def instance(self, role):
        service = self.server
        if self.headers.get("X-aws-ec2-metadata-token") != SESSION:
            self.reply(b"", 401)
        elif service.role is None:
            self.reply(b"", 404)
        elif role == "":
            self.reply(service.role.encode())
        else:
            self.reply(
                json.dumps(service.credentials).encode(), 200 if role == service.role else 404
            )

    def container(self):
        if self.headers.get("Authorization") != self.server.authorization:
            self.reply(b"", 403)
        else:
            self.reply(json.dumps(self.server.credentials).encode())


class Metadata(HttpServer):
    """with Metadata() as service: its role, credentials, authorization, failures (statuses that
    come first; None: silence) and the requests it got."""

    def __init__(self, **how):
        super().__init__(handler=MetadataHandler, **how)
        self.role = "ci-role"
        self.credentials = credentials()
        self.authorization = None
        self.failures = []
