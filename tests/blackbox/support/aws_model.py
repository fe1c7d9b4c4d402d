# SPDX-License-Identifier: MIT
"""botocore's models of the services as the judge of requests and answers, JSON and query protocol.

A form of the query protocol is read back into parameters, checked against the operation's input
and written again by botocore's own serializer: what comes out has to be the form. An answer is
read by botocore's parser and checked against the operation's output.
"""

import functools
import json
import urllib.parse

import botocore.parsers
import botocore.serialize
import botocore.session
from botocore.validate import ParamValidator

JSON_SERVICES = ("ecs", "ecr")


@functools.cache
def model(service):
    return botocore.session.get_session().get_service_model(service)


def _report(parameters, shape):
    if shape is None:
        return [f"no parameters are wanted: {parameters}"] if parameters else []
    report = ParamValidator().validate(parameters, shape)
    return [report.generate_report()] if report.has_errors() else []


def _wire_name(protocol, name, shape):
    if protocol == "ec2":
        other = shape.serialization.get("name", name)
        return shape.serialization.get("queryName", other[0].upper() + other[1:])
    return shape.serialization.get("name", name)


def _read(protocol, tree, shape, path):
    """The value of a shape from nested dictionaries of a form's dotted names."""
    if shape.type_name == "structure":
        names = {_wire_name(protocol, n, s): (n, s) for n, s in shape.members.items()}
        unknown = [f"{path}{name}" for name in tree if name not in names]
        if unknown:
            raise ValueError(f"not in the model: {', '.join(unknown)}")
        return {
            names[key][0]: _read(protocol, value, names[key][1], f"{path}{key}.")
            for key, value in tree.items()
        }
    if shape.type_name == "list":
        if protocol == "query" and not shape.serialization.get("flattened"):
            tree = tree[shape.member.serialization.get("name", "member")]
        rows = sorted(tree.items(), key=lambda row: int(row[0]))
        if [int(number) for number, _ in rows] != list(range(1, len(rows) + 1)):
            raise ValueError(f"{path}: numbered {[number for number, _ in rows]}")
        return [_read(protocol, value, shape.member, f"{path}N.") for _, value in rows]
    kinds = {"integer": int, "long": int, "boolean": lambda text: text == "true"}
    return kinds.get(shape.type_name, str)(tree)


def form_parameters(service, operation, form):
    """What a form asks for, as boto3 would be asked."""
    tree = {}
    for name, value in form.items():
        at = tree
        *above, last = name.split(".")
        for part in above:
            at = at.setdefault(part, {})
        at[last] = value
    for name in ("Action", "Version"):
        tree.pop(name, None)
    shape = model(service).operation_model(operation).input_shape
    return _read(model(service).protocol, tree, shape, "") if shape else tree


def form_problems(service, operation, body):
    """What is wrong with a request of the query protocol."""
    form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
    described = model(service)
    try:
        parameters = form_parameters(service, operation, form)
    except (ValueError, KeyError, AttributeError, TypeError) as problem:
        return [f"{service} {operation}: {problem!r}"]
    problems = _report(parameters, described.operation_model(operation).input_shape)
    if not problems:
        writer = botocore.serialize.create_serializer(described.protocol)
        theirs = writer.serialize_to_request(parameters, described.operation_model(operation))
        if {name: str(value) for name, value in theirs["body"].items()} != form:
            problems.append(f"botocore would send {theirs['body']}, not {form}")
    return [f"{service} {operation}: {text}" for text in problems]


def json_problems(service, operation, what, parameters):
    shape = getattr(model(service).operation_model(operation), what)
    return [f"{operation}: {what}: {text}" for text in _report(parameters, shape)]


def read_xml(service, operation, status, body):
    """botocore's reading of an answer of the query protocol."""
    described = model(service)
    parser = botocore.parsers.create_parser(described.protocol)
    answer = {"status_code": status, "headers": {}, "body": body}
    return parser.parse(answer, described.operation_model(operation).output_shape)


def xml_problems(service, operation, body):
    """What is wrong with an answer of success."""
    try:
        answer = read_xml(service, operation, 200, body)
    except botocore.parsers.ResponseParserError as problem:
        return [f"{service} {operation}: {problem}"]
    answer.pop("ResponseMetadata", None)
    shape = model(service).operation_model(operation).output_shape
    problems = _report(answer, shape)
    if not answer and shape is not None and shape.members:
        problems.append(f"nothing of the model is in {body[:200]!r}")
    return [f"{service} {operation}: {text}" for text in problems]


def request_problems(call):
    """Of an aws_faults.Call."""
    if call.service not in (*JSON_SERVICES, "ec2", "sts", "iam"):
        # A web identity needs no signature, so nothing names the service but the operation.
        if call.operation != "AssumeRoleWithWebIdentity":
            return []
        return form_problems("sts", call.operation, call.body)
    if call.service in JSON_SERVICES:
        return json_problems(call.service, call.operation, "input_shape", json.loads(call.body))
    return form_problems(call.service, call.operation, call.body)
