# SPDX-License-Identifier: MIT
"""The proxy before moto (ecs.py): what comes in is checked, held, refused or passed on."""

import http.server
import json
import secrets
import socket
import struct
import time
import urllib.parse

from support import aws_model

TARGET = "AmazonEC2ContainerServiceV20141113"
RESET = struct.pack("ii", 1, 0)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        """A driver that was killed resets its connection: nothing to report."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cloud = property(lambda self: self.server.cloud)

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.cloud.clock_skew_s)

    def _reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()
        self.close_connection = True

    def _answer(self, status, body, kind, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", secrets.token_hex(16))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        try:
            self._serve()
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True

    def _serve(self):
        cloud = self.cloud
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = self.headers.get("X-Amz-Target", "")
        if target:
            service, _, operation = target.partition(".")
            request = json.loads(body)
            if service != TARGET:
                cloud.problems.append(f"unknown target {target}")
            cloud.check(operation, "input_shape", request)
        else:
            request = dict(urllib.parse.parse_qsl(body.decode()))
            operation = request.get("Action", "")
            service = "sts" if operation == "AssumeRole" else "ec2"
            cloud.problems += aws_model.form_problems(service, operation, body)
        cloud.calls.append((operation, request))
        cloud.times.append((time.monotonic(), operation))
        gate = cloud.gate_of(operation, request)
        if gate is not None and gate.when == "before":
            gate.hold()
        try:
            self._do(cloud, operation, request, body, gate)
        finally:
            if gate is not None:
                gate.passed.set()

    def _do(self, cloud, operation, request, body, gate):
        target = self.headers.get("X-Amz-Target", "")
        fault = cloud.take_fault(operation)
        if fault is not None and fault.reset == "before":
            return self._reset()
        if fault is not None and fault.status and not target:
            words = {"Code": fault.body["__type"], "Message": fault.body["message"]}
            text = "".join(f"<{name}>{value}</{name}>" for name, value in words.items())
            text = f"<Response><Errors><Error>{text}</Error></Errors></Response>"
            return self._answer(fault.status, text.encode(), "text/xml", fault.headers)
        if fault is not None and fault.status and not fault.done:
            kind = "application/x-amz-json-1.1"
            return self._answer(fault.status, json.dumps(fault.body).encode(), kind, fault.headers)
        if fault is not None and fault.failures is not None:
            status, answer = 200, {"tasks": [], "failures": fault.failures}
        elif target:
            status, answer = cloud.ecs_answer(operation, request, body, self.headers, fault)
        else:
            status, text = cloud.query_answer(operation, body, self.headers)
            text = text if fault is None or fault.raw is None else fault.raw
            if gate is not None and gate.when == "after":
                gate.hold()
            return self._answer(status, text, "text/xml")
        if gate is not None and gate.when == "after":
            gate.hold()
        if fault is not None:
            time.sleep(fault.delay_s)
            if fault.status:
                kind = "application/x-amz-json-1.1"
                return self._answer(fault.status, json.dumps(fault.body).encode(), kind)
            if fault.reset == "after":
                return self._reset()
            if fault.raw is not None:
                return self._answer(200, fault.raw, "application/x-amz-json-1.1")
        if status == 200:
            cloud.check(operation, "output_shape", answer)
        else:
            cloud.check_error(operation, answer)
        return self._answer(status, json.dumps(answer).encode(), "application/x-amz-json-1.1")
