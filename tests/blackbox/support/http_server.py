# SPDX-License-Identifier: MIT
"""A small HTTP server that misbehaves on request, over TCP, TLS or a Unix socket.

Paths: /echo says as JSON what was asked; /status/N answers N with Retry-After: 7; /bytes/N sends N
bytes; /silent never answers; /stall sends 10 of 100 bytes and stops; /drip sends a byte every
50 ms; /reset closes without an answer; /cut promises 100 bytes and closes after 10; /close answers
and closes the connection later, unannounced; /redirect points to /echo.
"""

import json
import socket
import socketserver
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler


class QuietHandler(BaseHTTPRequestHandler):
    """Logs nothing, and looks up no name of its clients (which may have none: a Unix socket)."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "peer"


class Handler(QuietHandler):
    server_version = "test"

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(length) if length else b""
        self.server.requests.append((self.command, self.path, list(self.headers.items())))
        name, _, argument = self.path.lstrip("/").partition("?")[0].partition("/")
        getattr(self, f"on_{name}", self.on_echo)(argument)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

    def reply(self, body, status=200, **headers):
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def on_echo(self, _):
        said = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "length": len(self.sent),
            "body": self.sent[:200].decode(),
            "connection": id(self),
        }
        self.reply(json.dumps(said).encode())

    def on_status(self, status):
        self.reply(b"no", int(status), Retry_After="7")

    def on_bytes(self, count):
        self.reply(b"b" * int(count))

    def wait(self):
        self.server.over.wait(30)
        self.close_connection = True

    def on_silent(self, _):
        self.wait()

    def on_stall(self, _):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 10)
        self.wait()

    def on_drip(self, count):
        self.send_response(200)
        self.send_header("Content-Length", count)
        self.end_headers()
        for _ in range(int(count)):
            self.wfile.write(b"x")
            time.sleep(0.05)  # the pace under test, not a wait for something

    def on_reset(self, _):
        self.close_connection = True

    def on_cut(self, _):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 10)
        self.close_connection = True

    def on_close(self, _):
        self.reply(b"last")
        self.close_connection = True

    def on_redirect(self, _):
        self.reply(b"", 302, Location="/echo")


class HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """with HttpServer() as server: server.url, server.requests; unix=PATH for a Unix socket."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # a Unix socket refuses at once what comes beyond it

    def __init__(self, unix=None, certificate=None, client_ca=None, handler=Handler):
        self.requests = []
        self.over = threading.Event()
        self.tls = None
        if unix is not None:
            self.address_family = socket.AF_UNIX
        super().__init__(str(unix) if unix else ("127.0.0.1", 0), handler)
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
            if client_ca is not None:
                self.tls.load_verify_locations(client_ca)
                self.tls.verify_mode = ssl.CERT_REQUIRED
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def finish_request(self, request, client_address):
        if self.tls is not None:
            request.settimeout(10)
            request = self.tls.wrap_socket(request, server_side=True)
        self.RequestHandlerClass(request, client_address or ("peer", 0), self)

    def handle_error(self, request, client_address):
        pass  # a peer that goes away is what many tests are about

    @property
    def port(self):
        return self.server_address[1]

    @property
    def url(self):
        scheme = "https" if self.tls is not None else "http"
        if self.address_family == socket.AF_UNIX:
            return f"{scheme}://localhost"
        return f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()
