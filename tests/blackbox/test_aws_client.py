# SPDX-License-Identifier: MIT
"""The AWS client: signatures, retries, clock and errors, compared with botocore."""

import datetime
import json
import os
import subprocess

import pytest

from support.aws_faults import AwsFaults

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "to+k/en=="
USAGE, PEER, LIMIT = 1, 4, 5


@pytest.fixture
def faults():
    with AwsFaults(secrets={KEY: SECRET}) as running:
        yield running


@pytest.fixture
def aws(programs, tmp_path, faults):
    """aws(*arguments, env={}): the output of aws-probe; its log is in aws.log."""
    environment = {
        name: os.environ[name]
        for name in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
        if name in os.environ
    }
    environment |= {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": faults.url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*words, env=None, deadline_ms=20000):
        clean = {k: v for k, v in (environment | (env or {})).items() if v is not None}
        done = subprocess.run(
            [programs.tool("aws-probe"), "-", str(deadline_ms), *words],
            env=clean,
            capture_output=True,
            timeout=60,
            check=False,
        )
        run.log = done.stderr.decode()
        assert SECRET not in run.log and TOKEN not in run.log
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, run.log
        return lines if len(lines) > 1 else lines[0]

    return run


def ecs(aws, operation="ListTasks", request=None, **how):
    return aws("ecs", operation, json.dumps(request or {}), **how)


@pytest.mark.parametrize("token", [None, TOKEN], ids=["key", "session"])
@pytest.mark.parametrize(
    "words,service",
    [
        (["ecs", "RunTask", '{"cluster": "ü + /", "count": 1}'], "ecs"),
        (["ec2", "DescribeSubnets", "SubnetId.1", "a b&c=d+é~*"], "ec2"),
        (["sts", "GetCallerIdentity"], "sts"),
        (["iam", "GetRole", "RoleName", "x"], "iam"),
    ],
    ids=["ecs", "ec2", "sts", "iam"],
)
def test_signatures(aws, faults, words, service, token):
    answer = aws(*words, env={"AWS_SESSION_TOKEN": token})
    assert answer["ok"], answer
    [call] = faults.calls
    assert call.signature == "good" and call.service == service
    assert call.region == ("us-east-1" if service == "iam" else "eu-west-1")
    assert call.token == (token or "") and call.operation == words[1]
    if service == "ecs":
        assert call.headers["content-type"] == "application/x-amz-json-1.1"
        assert call.headers["x-amz-target"] == "AmazonEC2ContainerServiceV20141113.RunTask"
        assert json.loads(call.body) == json.loads(words[2])
    if service == "ec2":
        assert call.parameters["SubnetId.1"] == words[3]
        assert call.parameters["Version"] == "2016-11-15"


def test_a_wrong_secret_is_seen_by_the_judge(aws, faults):
    faults.secrets[KEY] = "another"
    ecs(aws)
    assert faults.calls[0].signature == "bad"


@pytest.mark.parametrize(
    "fault",
    [
        "throttle",
        "throttle:TooManyRequestsException",
        "throttle:RequestLimitExceeded",
        "throttle:SlowDown",
        "code:500,ServerException",
        "status:500",
        "status:502",
        "status:503",
        "status:504",
        "status:429",
        "reset",
        "truncated",
        "half",
        "deep",
    ],
)
def test_what_passes_is_tried_again(aws, faults, fault):
    faults.then(fault)
    answer = ecs(aws)
    assert answer["ok"], answer
    assert [call.signature for call in faults.calls] == ["good", "good"]


@pytest.mark.parametrize("fault", ["throttle", "status:503", "reset"])
def test_three_attempts_and_no_more(aws, faults, fault):
    faults.then(*[fault] * 10)
    answer = ecs(aws)
    assert not answer["ok"] and len(faults.calls) == 3 and not answer["permanent"]
    assert answer["maybe_done"] == (fault != "throttle")
    assert answer["took_ms"] <= 1000 + 2000 + 10_000


@pytest.mark.parametrize(
    "fault,code",
    [
        ("code:400,ClusterNotFoundException", "ClusterNotFoundException"),
        ("code:400,InvalidParameterException", "InvalidParameterException"),
        ("code:400,AccessDeniedException", "AccessDeniedException"),
        ("code:403,UnrecognizedClientException", "UnrecognizedClientException"),
        ("code:400,InvalidSignatureException", "InvalidSignatureException"),
    ],
)
def test_permanent_errors_are_not_retried(aws, faults, fault, code):
    faults.then(fault)
    answer = ecs(aws)
    assert not answer["ok"] and len(faults.calls) == 1
    assert answer["permanent"] and not answer["maybe_done"] and answer["code"] == code
    assert answer["message"].startswith(f"ecs ListTasks: {code}: reported by the test")
    assert ("doctor --policy" in answer["message"]) == (code == "AccessDeniedException")


def test_a_strange_answer_is_named(aws, faults):
    faults.then("status:418")
    answer = ecs(aws)
    assert len(faults.calls) == 1 and not answer["permanent"]
    assert "HTTP 418" in answer["message"] and faults.url in answer["message"]


@pytest.mark.parametrize("service", ["ecs", "ec2"])
@pytest.mark.parametrize("fault", ["bomb", "bomberror", "deep", "half", "huge"])
def test_hostile_answers_are_refused(aws, faults, service, fault):
    faults.then(*[fault] * 3)
    words = ["ListTasks", "{}"] if service == "ecs" else ["DescribeSubnets"]
    answer = aws(service, *words)
    assert not answer["ok"], answer
    assert answer["took_ms"] < 18_000 and len(answer["message"]) < 1000


def test_a_bomb_is_refused_for_its_doctype(aws, faults):
    faults.then(*["bomb"] * 3)
    assert "DOCTYPE is not allowed" in aws("ec2", "DescribeSubnets")["message"]


@pytest.mark.parametrize(
    "text,tree",
    [
        ("<R/>", None),
        ("<R><a> x </a><b/></R>", {"a": "x", "b": ""}),
        (
            "<R><s><item><i>1</i></item><item><i>2</i></item></s></R>",
            {"s": [{"i": "1"}, {"i": "2"}]},
        ),
        ("<R><s><member>1</member></s></R>", {"s": ["1"]}),
        ("<R a='1'><b><c>&lt;&#233;&gt;</c></b></R>", {"b": {"c": "<é>"}}),
        ("<R><a><![CDATA[<x>]]></a></R>", {"a": "<x>"}),
        ("<?xml version='1.0' encoding='UTF-8'?>\n<R>\n  <a>1</a>\n</R>\n", {"a": "1"}),
    ],
)
def test_xml_becomes_a_tree(aws, faults, text, tree):
    faults.then(*[f"body:{text}"] * 3)
    answer = aws("ec2", "DescribeSubnets")
    assert answer["ok"] == (tree is not None)
    if tree is not None:
        assert answer["answer"] == tree


@pytest.mark.parametrize("seconds", [-7200, -310, 310, 7200])
@pytest.mark.parametrize("words", [["ecs", "ListTasks", "{}"], ["ec2", "DescribeSubnets"]])
def test_the_clock_is_corrected_once(aws, faults, seconds, words):
    faults.then(f"skew:{seconds}", f"skew:{seconds * 2}")
    answer = aws(*words)
    assert not answer["ok"] and answer["permanent"], "a second correction would never end"
    assert len(faults.calls) == 2
    first, second = (stamp(call.date) for call in faults.calls)
    assert abs((second - first) - seconds) <= 60
    assert faults.calls[1].signature == "good" and "set the clock" in aws.log


@pytest.mark.parametrize("seconds", [-200, 0, 200])
def test_a_small_difference_is_no_reason(aws, faults, seconds):
    faults.then(f"skew:{seconds}")
    assert not ecs(aws)["ok"] and len(faults.calls) == 1


def stamp(text):
    return datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ").timestamp()


def test_retry_after_is_honoured(aws, faults):
    faults.then("later:2")
    answer = ecs(aws)
    assert answer["ok"] and answer["took_ms"] >= 2000


def test_the_deadline_is_over_all_attempts(aws, faults):
    faults.then(*["silent"] * 5)
    answer = ecs(aws, deadline_ms=3000)
    assert not answer["ok"] and answer["maybe_done"] and 2900 < answer["took_ms"] < 18_000


def test_no_wait_beyond_the_deadline(aws, faults):
    faults.then("later:15")
    answer = ecs(aws, deadline_ms=12_000)
    assert answer["code"] == "ThrottlingException" and answer["took_ms"] < 10_000


def test_connection_refused(aws, free_port):
    url = f"http://127.0.0.1:{free_port()}"
    answer = ecs(aws, env={"AWS_ENDPOINT_URL": url})
    assert not answer["ok"] and not answer["maybe_done"] and not answer["permanent"]
    assert url in answer["message"]


@pytest.mark.parametrize("url", ["ftp://x", "moto", "https", "http//x"])
def test_an_endpoint_that_is_none(aws, url):
    answer = ecs(aws, env={"AWS_ENDPOINT_URL": url})
    assert answer["permanent"] and f"'{url}'" in answer["message"] and answer["kind"] == USAGE


@pytest.mark.parametrize("region", ["eu west", "x.example.com/", "-a", "EU-WEST-1", "a" * 64])
def test_a_region_that_is_none(aws, region):
    answer = ecs(aws, env={"AWS_REGION": region})
    assert not answer["ok"] and "is not a valid AWS region" in answer["message"]
