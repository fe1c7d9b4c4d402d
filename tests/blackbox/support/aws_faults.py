# SPDX-License-Identifier: MIT
"""A proxy before moto that breaks what passes, and checks every signature by botocore's own code.

with AwsFaults(upstream, secrets={"AKID": "secret"}) as faults: faults.url goes into
AWS_ENDPOINT_URL; faults.then("throttle", "reset") is what happens to the next requests, in order;
what is not spoken for reaches the upstream, or is answered with '{}' when there is none.
faults.calls lists what came, with the signature's verdict.
"""

import datetime
import email.utils
import http.client
import json
import re
import urllib.parse
from dataclasses import dataclass, field

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from . import aws_model
from .http_server import Handler, HttpServer

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$"
)
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "&a;" * 10}">' for i in range(10))
    + "]><R><x>&a9;</x></R>"
)


@dataclass
class Call:
    """One request as it came."""

    operation: str
    service: str
    region: str
    key_id: str
    signature: str  # "good", "bad", "none"
    date: str
    token: str
    headers: dict = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def parameters(self):
        return dict(urllib.parse.parse_qsl(self.body.decode()))


def judge_signature(headers, path, body, secrets):
    """(verdict, key id, region, service) of a request's Authorization header."""
    match = AUTHORIZATION.match(headers.get("authorization", ""))
    if match is None:
        return "none", "", "", ""
    key_id, day, region, service, signed, signature = match.groups()
    names = signed.split(";")
    must = {"host", "x-amz-date", "content-type"} | (
        {name for name in headers if name.startswith("x-amz-")}
    )
    if not must <= set(names) or key_id not in secrets or not headers["x-amz-date"].startswith(day):
        return "bad", key_id, region, service
    request = AWSRequest(
        "POST",
        f"http://{headers['host']}{path}",
        data=body,
        headers={name: headers[name] for name in names},
    )
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(key_id, secrets[key_id]), service, region)
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    good = signer.signature(to_sign, request) == signature
    return "good" if good else "bad", key_id, region, service


def json_error(code, text="reported by the test"):
    return json.dumps({"__type": f"com.amazonaws.ecs#{code}", "message": text}).encode()


def xml_error(code, text="reported by the test"):
    return (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
        "<RequestID>id-1</RequestID></Response>"
    ).encode()


class AwsHandler(Handler):
    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(length) if length else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        faults = self.server.faults
        verdict, key_id, region, service = judge_signature(
            headers, self.path, self.sent, faults.secrets
        )
        self.is_json = "x-amz-target" in headers
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        call = Call(
            operation=operation,
            service=service,
            region=region,
            key_id=key_id,
            signature=verdict,
            date=headers.get("x-amz-date", ""),
            token=headers.get("x-amz-security-token", ""),
            headers=headers,
            body=self.sent,
        )
        if not self.is_json and self.command == "POST":
            call.operation = call.parameters.get("Action", "")
        self.call = call
        faults.calls.append(call)
        name, _, argument = faults.take(call).partition(":")
        getattr(self, f"fault_{name}")(argument)

    do_GET = do_POST = do_PUT = handle_any

    def error(self, status, code, **headers):
        body = json_error(code) if self.is_json else xml_error(code)
        self.reply(body, status, **headers)

    def fault_pass(self, _):
        faults = self.server.faults
        if faults.upstream is None:
            self.reply(b"{}" if self.is_json else b"<R><a>b</a></R>")
            return
        target = urllib.parse.urlsplit(faults.upstream)
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        headers = dict(self.headers.items())
        connection.request(self.command, self.path, self.sent, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        faults.learn_credentials(answer.status, body)
        faults.answers.append((answer.status, body))
        faults.passed.append((self.call, (answer.status, body)))
        self.send_response_only(answer.status)
        for header, value in answer.getheaders():
            if header.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fault_throttle(self, code):
        self.error(400, code or "ThrottlingException")

    def fault_code(self, argument):
        status, _, code = argument.partition(",")
        self.error(int(status), code)

    def fault_status(self, status):
        self.reply(b"<html>an intermediary's own page</html>", int(status))

    def fault_later(self, seconds):
        self.reply(json_error("ThrottlingException"), 400, Retry_After=seconds)

    def fault_reset(self, _):
        self.close_connection = True

    def fault_silent(self, _):
        self.wait()

    def fault_truncated(self, _):
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b'{"taskArns": ["arn:aws')
        self.close_connection = True

    def fault_half(self, _):
        self.reply(b'{"taskArns": ["arn:aws' if self.is_json else b"<R><a>")

    def fault_huge(self, _):
        self.reply(b'{"a": "' + b"x" * (9 << 20) + b'"}')

    def fault_deep(self, _):
        self.reply(b"[" * 100000 if self.is_json else b"<a>" * 1000 + b"</a>" * 1000)

    def fault_bomb(self, _):
        self.reply(BOMB.encode())

    def fault_bomberror(self, _):
        self.reply(BOMB.encode(), 400)

    def fault_body(self, text):
        self.reply(text.encode())

    def fault_skew(self, argument):
        """Refuses as AWS does when the clocks differ, by 'seconds' from the caller's."""
        seconds, _, code = argument.partition(",")
        then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=int(seconds))
        body = json_error(code or "InvalidSignatureException")
        if not self.is_json:
            body = xml_error(code or "RequestExpired")
        self.send_response_only(400 if self.is_json else 403)
        self.send_header("Date", email.utils.format_datetime(then, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class AwsFaults(HttpServer):
    """See above. 'secrets' maps key ids to secret keys."""

    def __init__(self, upstream=None, secrets=None, **how):
        super().__init__(handler=AwsHandler, **how)
        self.faults = self
        self.upstream = upstream
        self.secrets = secrets or {}
        self.calls = []
        self.script = []
        self.always = {}
        self.answers = []  # (status, body) of the upstream
        self.passed = []  # (call, one of these)

    def learn_credentials(self, status, body):
        """What STS gave away will sign the calls to come."""
        operation = self.calls[-1].operation
        if status == 200 and operation in ("AssumeRole", "AssumeRoleWithWebIdentity"):
            given = aws_model.read_xml("sts", operation, status, body)["Credentials"]
            self.secrets[given["AccessKeyId"]] = given["SecretAccessKey"]

    def model_problems(self):
        """What of all requests so far is not in AWS's model."""
        return [text for call in self.calls for text in aws_model.request_problems(call)]

    def then(self, *names):
        self.script += names
        return self

    def take(self, call):
        if self.script:
            return self.script.pop(0)
        return self.always.get(call.operation, "pass")
