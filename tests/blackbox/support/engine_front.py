# SPDX-License-Identifier: MIT
"""An engine's socket with a rude clerk before it: what he does not refuse, the engine answers.

    with Front(engine.socket, tmp_path / "front.sock") as front:
        front.refuse("POST", "/networks/create", 403, "Pool overlaps")
        front.change("GET", "/containers/[^/]+/json", lambda answer: ...)
        front.drop("GET", "/containers/x/logs")  # closes the connection
        front.stream("POST", "/images/create", [{...}, ...])  # one object after the other, slowly
        gate = front.hold("POST", "/containers/.*/start")  # the first one, until gate.open.set()
        front.asked    # [(method, path with query, parsed JSON of the body or None)]

Paths are regular expressions for all of the path behind the version, without the query.
"""

import contextlib
import json
import re
import threading

from support.docker_engine import _UnixConnection
from support.http_server import Handler, HttpServer


class Gate:
    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()


class _Clerk(Handler):
    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        front = self.server
        path = re.sub(r"^/v1\.\d+", "", self.path.partition("?")[0])
        sent = None
        with contextlib.suppress(ValueError):
            sent = json.loads(body)
        front.asked.append((self.command, re.sub(r"^/v1\.\d+", "", self.path), sent))
        for method, pattern, status, message in front.refusals:
            if method == self.command and re.fullmatch(pattern, path):
                self.reply(json.dumps({"message": message}).encode(), status)
                return
        for method, pattern in front.dropped:
            if method == self.command and re.fullmatch(pattern, path):
                self.close_connection = True
                return
        for method, pattern, objects in front.streams:
            if method == self.command and re.fullmatch(pattern, path):
                self.send_slowly(objects)
                return
        front.wait_for_gate(self.command, path)
        link = _UnixConnection(front.engine, 120)
        try:
            names = ("Content-Type", "X-Registry-Auth")
            headers = {n: self.headers[n] for n in names if n in self.headers}
            link.request(self.command, self.path, body or None, headers)
            answer = link.getresponse()
            text = answer.read()
        finally:
            link.close()
        for method, pattern, change in front.changes:
            if method == self.command and re.fullmatch(pattern, path) and answer.status == 200:
                text = json.dumps(change(json.loads(text))).encode()
        if answer.status in (204, 304):
            self.send_response(answer.status)
            self.end_headers()
        else:
            self.reply(text, answer.status)

    def send_slowly(self, objects):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for entry in objects:
            self.wfile.write(json.dumps(entry).encode() + b"\r\n")
            self.server.over.wait(0.12)  # the pace under test, not a wait for something
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any


class Front(HttpServer):
    def __init__(self, engine, path):
        self.engine = engine
        self.asked = []
        self.refusals = []
        self.changes = []
        self.dropped = []
        self.streams = []
        self.gates = []
        self.path = path
        super().__init__(unix=path, handler=_Clerk)

    def refuse(self, method, path, status, message):
        self.refusals.append((method, path, status, message))

    def change(self, method, path, change):
        self.changes.append((method, path, change))

    def drop(self, method, path):
        self.dropped.append((method, path))

    def stream(self, method, path, objects):
        self.streams.append((method, path, objects))

    def hold(self, method, path):
        gate = Gate()
        self.gates.append((method, path, gate))
        return gate

    def wait_for_gate(self, method, path):
        for row in self.gates:
            if row[0] == method and re.fullmatch(row[1], path) and not row[2].reached.is_set():
                row[2].reached.set()
                row[2].open.wait(60)
                return

    @property
    def url(self):
        return f"unix://{self.path}"
