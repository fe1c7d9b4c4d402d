# SPDX-License-Identifier: MIT
"""'berth-driver doctor': a complete set-up has no findings; mistakes of host, account and cluster
are reported with what to do. moto stands in for AWS; a proxy in front of it answers what moto does
not know (see support/doctor.py)."""

import json
import os
import re

import pytest

from support import aws_model
from support.doctor import ACCOUNT, answered, assert_reported, mistakes
from support.ecs_moto import KEYS


def test_complete_setup_has_no_findings(place):
    code, out, err = place.run()
    assert (code, err) == (0, ""), out
    assert re.search(r"^\d\d ok, 0 warnings, 0 failures, 0 not checked$", out, re.M), out
    assert {line[:6] for line in out.splitlines() if line.startswith("  ")} == {"  ok  "}, out
    assert place.driver.metadata.is_dir() and not any(place.driver.metadata.iterdir())
    calls = place.faults.calls
    assert all(call.signature == "good" for call in calls)
    assert not {call.operation for call in calls} & {"RunTask", "StopTask"}
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in out


def set_up(**fargate):
    return lambda place: place.fargate.update(fargate)


def no_directory(place):
    (place.driver.directory / "file").write_text("")
    place.driver.metadata = place.driver.directory / "file" / "below"
    place.driver.settings["TaskMetadata"] = {"Directory": str(place.driver.metadata)}


def world_writable(place):
    place.driver.metadata.chmod(0o777)


def exposed_file(place):
    path = place.driver.config()
    path.chmod(0o666)


def narrower_lists(place):
    place.fargate.update(
        AllowedTaskDefinitions=["ruby-*", "*"],
        AllowedTaskRoles=["arn:aws:iam::1:role/**"],
        AllowedExecutionRoles=["arn:aws:iam::1:role/ci-*"],
    )


def root_user(place):
    place.faults.always["GetCallerIdentity"] = (
        "body:<GetCallerIdentityResponse><GetCallerIdentityResult>"
        f"<Arn>arn:aws:iam::{ACCOUNT}:root</Arn><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


def skewed(place):
    place.faults.then("skew:7200,RequestExpired")


BAD = [
    # name, change, the line, what to do
    (
        "no backend",
        lambda p: p.driver.settings.update(Backend="moon"),
        "FAIL .*fargate.toml:2: Backend: unknown backend 'moon'",
        "use 'docker', 'ecs' or 'local'",
    ),
    (
        "lists that match less",
        narrower_lists,
        r'warn \[Fargate\] AllowedTaskDefinitions: in "\*" .* no longer match \'/\'',
        "write '**' where '/'",
    ),
    (
        "another list that matches less",
        narrower_lists,
        r'warn \[Fargate\] AllowedExecutionRoles: in "arn:aws:iam::1:role/ci-\*"',
        "write '**' where '/'",
    ),
    ("writable settings", exposed_file, "warn .*fargate.toml' is writable by other users", "chmod"),
    (
        "metadata",
        no_directory,
        "FAIL metadata directory '.*below': '.*file' is not a directory",
        "set [TaskMetadata]",
    ),
    (
        "unwritable metadata",
        lambda p: p.driver.settings.update(TaskMetadata={"Directory": "/proc/berth"}),
        "FAIL metadata directory '/proc/berth' cannot be written",
        "as the user that runs gitlab-runner",
    ),
    (
        "open metadata",
        world_writable,
        r"FAIL \[TaskMetadata\] Directory '.*' is writable by all users",
        "chmod go-w",
    ),
    (
        "host key",
        lambda p: p.ssh.clear(),
        "warn SSH: user 'root', port 22; the host key",
        'HostKey = "strict"',
    ),
    (
        "no region",
        set_up(Region="no region!"),
        "FAIL 'no region!' is not a valid AWS region",
        "eu-west-1",
    ),
    (
        "wrong key",
        answered("GetCallerIdentity", "code:403,InvalidClientTokenId"),
        "FAIL .*InvalidClientTokenId",
        "",
    ),
    ("no network", answered("GetCallerIdentity", "reset"), "FAIL .*sts", "proxy"),
    (
        "no account",
        answered("GetCallerIdentity", "body:<a><b/></a>"),
        "FAIL GetCallerIdentity returned no account",
        "",
    ),
    (
        "root user",
        root_user,
        "warn the credentials of the environment are .* root user",
        "--policy",
    ),
    ("clock", skewed, "warn this machine's clock is 7[12]\\d\\d s off", "chrony"),
    (
        "no cluster",
        set_up(Cluster="nowhere"),
        "FAIL there is no cluster 'nowhere'",
        "create-cluster",
    ),
    (
        "cluster ends",
        answered("DescribeClusters", 'body:{"clusters": [{"status": "DEPROVISIONING"}]}'),
        "FAIL the cluster '.*' is DEPROVISIONING",
        "wait",
    ),
    (
        "cluster denied",
        answered("DescribeClusters", "code:400,AccessDeniedException"),
        "FAIL .*AccessDeniedException",
        "--policy",
    ),
    (
        "no provider",
        set_up(CapacityProviders=["OTHER:1"]),
        "FAIL the cluster has no capacity provider 'OTHER'",
        "put-cluster-capacity-providers",
    ),
]


@mistakes(BAD)
def test_reports_mistakes(place, change, line, remedy):
    os.umask(0o022)
    change(place)
    assert_reported(place, line, remedy)


INSTANCES = [{"capacityProvider": "our-instances", "weight": 2, "base": 1}]


MIXED = [{"capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 0}, *INSTANCES]


SPOT = [
    {"capacityProvider": "FARGATE", "weight": 1, "base": 1},
    {"capacityProvider": "FARGATE_SPOT", "weight": 4, "base": 0},
]


STRATEGIES = [
    # default strategy, EC2 instances, settings, the line
    ([], 0, {}, "ok the cluster has no default capacity .*: jobs ask for launch type FARGATE$"),
    ([], 2, {}, "warn the cluster has no default capacity .*, but has EC2 instances"),
    ([], 2, {"LaunchType": "FARGATE"}, "ok the cluster has no default .*; this configuration"),
    (SPOT, 0, {}, r"ok the cluster's default .* is FARGATE 1 \(base 1\), FARGATE_SPOT 4$"),
    (INSTANCES, 0, {}, r"warn the cluster's default .* is our-instances 2 \(base 1\), which"),
    (MIXED, 0, {}, r"warn the cluster's default .* is FARGATE_SPOT 3, our-instances 2 \(base 1"),
    (INSTANCES, 2, {"Spot": True}, "ok the cluster's default .* is our-instances .*; this conf"),
    (INSTANCES, 2, {"CapacityProviders": ["FARGATE"]}, "ok the cluster's default .*; this conf"),
]


@pytest.mark.parametrize("strategy, instances, settings, line", STRATEGIES)
def test_default_strategy(place, strategy, instances, settings, line):
    answer = place.moto.ecs.describe_clusters(clusters=[place.name])
    (cluster,) = answer["clusters"]
    cluster |= {
        "defaultCapacityProviderStrategy": strategy,
        "registeredContainerInstancesCount": instances,
    }
    reported = {"clusters": [cluster], "failures": []}
    assert aws_model.json_problems("ecs", "DescribeClusters", "output_shape", reported) == []
    place.faults.always["DescribeClusters"] = "body:" + json.dumps(reported)
    place.fargate.update(settings)
    remedy = 'set [Fargate] LaunchType = "FARGATE"' if line.startswith("warn") else ""
    assert_reported(place, line, remedy)


def test_no_calls_without_credentials(place):
    code, out, _ = place.run(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert code == 1 and "FAIL  " in out and "credentials" in out
    for what in ("cluster", "task definition", "subnets and security groups", "permissions"):
        assert f"  skip  {what}\n" in out
    assert place.faults.calls == []


def test_no_configuration_file(berth_driver):
    done = berth_driver.run("doctor", env=berth_driver.environment(), config=False)
    assert "warn  no configuration file: using defaults" in done.stdout.decode()
    assert "-> name a file with --config" in done.stdout.decode()


def findings(top):
    """Each warning and failure in the sources of doctor: place and format."""
    call = re.compile(r"doctor_report\(\s*doctor,([^;]*?)\);", re.S)
    literal = re.compile(r'"((?:[^"\\]|\\.)*)"')
    for path in sorted((top / "driver/commands/doctor").glob("*.c")):
        for found in call.finditer(path.read_text()):
            if re.search(r"DOCTOR_(WARN|FAIL)", found[1]):
                # The remedy stands before the comma that ends it, the format behind it.
                parts = re.split(r',\s*(?=")', found[1])
                text = "".join(literal.findall(parts[-1]))
                if text != "%s":  # an error's message, printed as it is
                    yield f"{path.name}: {text}", text


def test_each_finding_has_a_test(top):
    tests = "".join(p.read_text() for p in (top / "tests/blackbox").rglob("test_*.py"))
    found = list(findings(top))
    assert len(found) > 30
    unseen = []
    for place, text in found:
        pieces = [piece for piece in re.split(r"%[.*l\w]*[sd]", text) if len(piece) > 6]
        # A test may quote the beginning of a piece.
        if not any(" ".join(piece.split()[:3]).strip(" ,:;(") in tests for piece in pieces):
            unseen.append(place)
    assert unseen == []
