# SPDX-License-Identifier: MIT
"""'berth-driver doctor': the image of the task definition in moto's ECR. moto has no layer URLs;
those of the tests lead to moto's S3."""

import json

import pytest

from support.doctor import (
    ACCOUNT,
    DOCKER,
    OCI,
    answered,
    assert_reported,
    index_of,
    mistakes,
    platform,
    sha256,
)
from support.ecs_moto import REGION

SINGLE = '{"architecture": "amd64", "os": "linux"}'


def image(name):
    return lambda place: place.define(container={"image": name})


def pushed(manifest, **more):
    def change(place):
        place.push("2", manifest)
        place.define(container={"image": place.image(":2")}, **more)

    return change


def pushed_single(config, **how):
    def change(place):
        place.push_single("2", config, **how)
        place.define(container={"image": place.image(":2")})

    return change


WRONG = [
    # name, change, the line, what to do
    (
        "no tag in ECR",
        lambda p: p.define(container={"image": p.image(":nothing")}),
        "FAIL there is no image 'nothing' in the ECR repository 'ci/doctor-.*' of account ",
        "push it: docker push",
    ),
    (
        "no tag, which means latest",
        lambda p: p.define(container={"image": p.image("")}),
        "FAIL there is no image 'latest' in the ECR repository",
        "push it: docker push",
    ),
    (
        "no digest in ECR",
        lambda p: p.define(container={"image": p.image("@" + sha256("x"))}),
        f"FAIL there is no image '{sha256('x')}' in the ECR repository",
        "push it again to 'ci/doctor-",
    ),
    (
        "no repository in ECR",
        image(f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/nowhere:1"),
        f"FAIL there is no ECR repository 'nowhere' in account {ACCOUNT} in {REGION}",
        "aws ecr create-repository --repository-name nowhere",
    ),
    (
        "no execution role for a registry of FIPS",
        lambda p: p.define(
            container={"image": f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com/ci:1"},
            drop=("executionRoleArn", "logConfiguration"),
        ),
        "FAIL it has no execution role: ECS cannot pull '.*ecr-fips",
        "AmazonECSTaskExecutionRolePolicy",
    ),
    (
        "no name of an image",
        image("ci:1:2"),
        "FAIL 'ci:1:2' is not a valid image name",
        "REPOSITORY:TAG",
    ),
    (
        "built for ARM",
        pushed(index_of(platform("linux/arm64"))),
        "FAIL image '.*:2' is built for linux/arm64, and the task definition requires linux/amd64",
        "docker build --platform=linux/amd64' and push it, or register the task definition with "
        '"runtimePlatform": {"cpuArchitecture": "ARM64"}',
    ),
    (
        "built for AMD",
        pushed(
            index_of(platform("linux/amd64"), kind=f"{DOCKER}.list.v2+json"),
            runtimePlatform={"cpuArchitecture": "ARM64"},
        ),
        "FAIL image '.*:2' is built for linux/amd64, and the task definition requires linux/arm64",
        "docker build --platform=linux/arm64",
    ),
    (
        "built for others",
        pushed(index_of(platform("linux/s390x"), platform("windows/amd64"))),
        "FAIL image '.*:2' is built for linux/s390x, windows/amd64, and",
        "docker build --platform=linux/amd64' and push it",
    ),
    (
        "attestations alone",
        pushed(index_of(platform("unknown/unknown"))),
        "FAIL image '.*:2' is built for no known platform, and",
        "docker build --platform=linux/amd64' and push it",
    ),
    (
        "built for ARM alone",
        pushed_single('{"architecture": "arm64", "os": "linux"}'),
        "FAIL image '.*:2' is built for linux/arm64, and the task definition requires linux/amd64",
        "docker build --platform=linux/amd64",
    ),
]


@mistakes(WRONG)
def test_reports_image_mistakes(place, change, line, remedy):
    change(place)
    assert_reported(place, line, remedy)


@pytest.mark.parametrize(
    "change, wanted",
    [
        (pushed(index_of(platform("linux/arm64"), platform("linux/amd64"))), "linux/amd64"),
        (pushed(index_of(None, platform("linux/amd64"))), "linux/amd64"),
        (
            pushed(
                index_of({**platform("linux/arm64"), "variant": "v8"}, platform("unknown/unknown")),
                runtimePlatform={"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
            ),
            "linux/arm64",
        ),
        (pushed_single(SINGLE), "linux/amd64"),
    ],
    ids=["of two", "one that does not say", "ARM", "a single one"],
)
def test_image_for_the_platform(place, change, wanted):
    change(place)
    code, out, err = place.run()
    assert (code, err) == (0, "")
    assert f"  ok    image '{place.image(':2')}' exists, for {wanted}\n" in out, out
    assert "0 warnings, 0 failures, 0 not checked" in out
    (call,) = [call for call in place.faults.calls if call.operation == "BatchGetImage"]
    request = json.loads(call.body)
    assert request["registryId"] == ACCOUNT and request["imageIds"] == [{"imageTag": "2"}]
    assert {f"{OCI}.index.v1+json", f"{DOCKER}.v2+json"} <= set(request["acceptedMediaTypes"])


def test_image_by_digest(place):
    digest = place.push("2", index_of(platform("linux/arm64"), platform("linux/amd64")))
    place.define(container={"image": place.image(f":1@{digest}")})
    code, out, _ = place.run()
    assert code == 0 and f"@{digest}' exists, for linux/amd64" in out, out
    (call,) = [call for call in place.faults.calls if call.operation == "BatchGetImage"]
    assert json.loads(call.body)["imageIds"] == [{"imageDigest": digest}]


def test_a_configuration_is_fetched_without_credentials(place):
    pushed_single(SINGLE)(place)
    assert place.run(AWS_SESSION_TOKEN="session")[0] == 0
    (call,) = [call for call in place.faults.calls if call.operation == ""]
    assert call.signature == "none" and call.token == "" and call.body == b""
    assert not {"authorization", "x-amz-date", "x-amz-security-token"} & set(call.headers)
    assert "session" not in json.dumps(call.headers)


def test_the_image_of_another_region_and_account(place):
    """Signed for the region in the registry's name."""
    other = "111122223333.dkr.ecr-fips.us-east-2.amazonaws.com"
    place.faults.always["BatchGetImage"] = "code:400,RepositoryNotFoundException"
    place.define(container={"image": f"{other}/ci:1"})
    _, out, _ = place.run()
    assert "no ECR repository 'ci' in account 111122223333 in us-east-2" in out
    (call,) = [call for call in place.faults.calls if call.operation == "BatchGetImage"]
    assert (call.region, call.service, call.signature) == ("us-east-2", "ecr", "good")
    assert json.loads(call.body)["registryId"] == "111122223333"


def layer_answered(what):
    """The image exists, and its configuration is fetched."""
    return lambda place: (
        pushed_single(SINGLE)(place),
        answered("GetDownloadUrlForLayer", what)(place),
    )


def refused(code):
    answer = {"images": [], "failures": [{"failureCode": code, "failureReason": "so it is"}]}
    return answered("BatchGetImage", "body:" + json.dumps(answer))


IS_THERE = "exists, but its platform was not checked: "
NOT_CHECKED = [
    # name, change, what the line says, what to do
    ("elsewhere", image("ruby:3.3"), "not checked: it is not in ECR, and no other registry", ""),
    (
        "a host like ECR's",
        image(f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com.example.net/ci:1"),
        "not checked: it is not in ECR",
        "",
    ),
    (
        "denied",
        answered("BatchGetImage", "code:400,AccessDeniedException"),
        "not checked: ecr:BatchGetImage is not allowed",
        "--policy",
    ),
    ("no way to ECR", answered("BatchGetImage", "reset"), "not checked: ecr BatchGetImage", ""),
    (
        "ECR's own reason",
        refused("ImageInaccessible"),
        "not checked: ECR says ImageInaccessible: so it is",
        "",
    ),
    (
        "no reason",
        answered("BatchGetImage", 'body:{"images": []}'),
        "not checked: ECR returned neither the image nor a reason",
        "",
    ),
    ("an index without platforms", pushed(index_of(None)), IS_THERE + "it does not name", ""),
    (
        "an unknown kind",
        pushed({"mediaType": "x", "fsLayers": []}),
        IS_THERE + "its manifest has an unknown",
        "",
    ),
    (
        "no JSON",
        answered("BatchGetImage", 'body:{"images": [{"imageManifest": "[[["}]}'),
        IS_THERE + "its manifest has an unknown",
        "",
    ),
    (
        "layers denied",
        layer_answered("code:400,AccessDeniedException"),
        IS_THERE + "ecr:GetDownloadUrlForLayer is not allowed",
        "--policy",
    ),
    (
        "layers gone",
        layer_answered("code:400,LayersNotFoundException"),
        IS_THERE + "ecr GetDownloadUrlForLayer: LayersNotFoundException",
        "",
    ),
    (
        "no address",
        layer_answered("body:{}"),
        IS_THERE + "ECR returned no URL",
        "",
    ),
    (
        "no file",
        pushed_single(SINGLE, key="other"),
        IS_THERE + "its configuration cannot be fetched: HTTP 404",
        "",
    ),
    (
        "a file too large",
        pushed_single(SINGLE, fetched=SINGLE + " " * (1 << 20)),
        IS_THERE + "its configuration cannot be fetched: the response of http://127.0.0.1:",
        "",
    ),
    (
        "another file",
        pushed_single(SINGLE, fetched=SINGLE + " "),
        IS_THERE + "the digest of its configuration does not match",
        "",
    ),
    ("no object", pushed_single("[1]"), IS_THERE + "its configuration is not a JSON object", ""),
    ("no platform", pushed_single('{"os": ""}'), IS_THERE + "it does not name its platform", ""),
    (
        "a digest that is none",
        pushed({"mediaType": "x", "config": {"digest": "sha256:../../x"}}),
        IS_THERE + "its manifest has an unknown",
        "",
    ),
    (
        "Windows",
        lambda p: p.define(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
        IS_THERE + "the task definition has a platform that Berth does not run on",
        "",
    ),
]


@pytest.mark.parametrize(
    "change, line, remedy",
    [row[1:] for row in NOT_CHECKED],
    ids=[row[0] for row in NOT_CHECKED],
)
def test_image_that_cannot_be_checked(place, change, line, remedy):
    change(place)
    code, out, err = place.run()
    lines = out.splitlines()
    (at,) = [i for i, text in enumerate(lines) if text.startswith("  skip  image '")]
    assert line in lines[at], out
    assert remedy in lines[at + 1] and lines[at + 1].startswith("        -> ") == (remedy != "")
    assert "1 not checked" in out and "X-Amz-" not in out + err
    assert code == (1 if "Berth does not run on" in line else 0)


@pytest.mark.parametrize("name", ["ruby:3.3", "public.ecr.aws/docker/library/ruby:3.3"])
def test_no_other_registry_is_contacted(place, name):
    place.define(container={"image": name})
    assert place.run()[0] == 0
    assert {call.service for call in place.faults.calls} <= {"ecs", "ec2", "sts", "iam"}
