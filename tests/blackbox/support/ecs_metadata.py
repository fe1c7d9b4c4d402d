# SPDX-License-Identifier: MIT
"""The task metadata endpoint, version 4, of the tasks of ecs_play.py, with the states of their
containers: http://HOST:PORT/TASK-ID/task."""

import json
import time
from http.server import ThreadingHTTPServer
from threading import Thread

from support.http_server import Handler

LAG_S = 0.3  # until it knows that a container has stopped


class Endpoint(Handler):
    def handle_any(self):
        task_id = self.path.split("/")[1]
        found = [t for t in list(self.server.cloud.tasks.values()) if t.id == task_id]
        if not found or not self.path.endswith("/task"):
            self.reply(b"{}", 404)
            return
        rows = [self._show(container) for container in list(found[0].containers.values())]
        self.reply(json.dumps({"TaskARN": found[0].arn, "Containers": rows}).encode())

    do_GET = handle_any

    @staticmethod
    def _show(container):
        ended = container.ended is not None and time.monotonic() >= container.ended + LAG_S
        row = {"Name": container.name, "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING"}
        if container.status == "PENDING":
            row["KnownStatus"] = "CREATED"
        return {**row, "KnownStatus": "STOPPED", "ExitCode": container.exit_code} if ended else row


class Metadata(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, cloud, host):
        super().__init__((host, 0), Endpoint)
        self.cloud, self.url = cloud, f"http://{host}:{self.server_port}"
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_):
        """A task that ends leaves its request."""

    def close(self):
        self.shutdown()
        self.server_close()
