# SPDX-License-Identifier: MIT
"""Endpoint, region, attempts and CA bundle of calls, compared with botocore."""

import os

import botocore.session
import pytest
from botocore.endpoint_provider import EndpointProvider

from support.aws_account import ENV_KEYS

REGIONS = [
    "eu-west-1", "ap-northeast-1", "us-east-1", "cn-north-1", "cn-northwest-1", "us-gov-west-1",
    "us-gov-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1",
    "eusc-de-east-1", "xx-nowhere-1",
]  # fmt: skip


def their_endpoints(service):
    loader = botocore.session.Session().get_component("data_loader")
    provider = EndpointProvider(
        loader.load_service_model(service, "endpoint-rule-set-1"), loader.load_data("partitions")
    )

    def resolve(region, fips, dualstack):
        found = provider.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dualstack)
        schemes = found.properties.get("authSchemes") or [{}]
        return found.url, schemes[0].get("signingRegion", region)

    return resolve


@pytest.mark.parametrize("service", ["ecs", "ecr", "ec2", "sts", "iam", "logs"])
def test_endpoints_are_those_of_botocore(account, service, monkeypatch):
    monkeypatch.setenv("HOME", str(account.home))
    account.env.pop("AWS_ENDPOINT_URL_STS")
    resolve = their_endpoints(service)
    wrong = []
    for region in REGIONS:
        for fips in (False, True):
            for dualstack in (False, True):
                account.env |= {
                    "AWS_REGION": region,
                    "AWS_USE_FIPS_ENDPOINT": str(fips).lower(),
                    "AWS_USE_DUALSTACK_ENDPOINT": str(dualstack),
                }
                ours = account.probe("endpoint", service)
                theirs = resolve(region, fips, dualstack)
                if (ours["url"], ours["signing_region"]) != theirs:
                    wrong.append((region, fips, dualstack, ours, theirs))
    assert not wrong, wrong


def test_an_image_may_be_in_another_region(account):
    """Calls of ECR in another region: the address and the region of the signature."""
    account.env.pop("AWS_ENDPOINT_URL_STS")
    account.env |= {"AWS_REGION": "eu-west-1"}
    found = account.probe("endpoint", "ecr", "us-east-1")
    assert (found["url"], found["signing_region"]) == their_endpoints("ecr")(
        "us-east-1", False, False
    )
    assert found["region"] == "eu-west-1"


SERVICES = (
    "[default]\nservices = mine\nendpoint_url = http://profile\nregion = us-west-2\n"
    "[services mine]\necs =\n  endpoint_url = http://service\nec2 =\n  other = x\n"
)


@pytest.mark.parametrize(
    "config,env,service,url",
    [
        (SERVICES, {}, "ecs", "http://service"),
        (SERVICES, {}, "ec2", "http://profile"),
        (SERVICES, {"AWS_ENDPOINT_URL": "http://all"}, "ecs", "http://all"),
        (SERVICES, {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_ECS": "http://one"}, "ecs", "http://one"),
        (SERVICES, {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_ECS": "http://one"}, "ec2", "http://all"),
        (SERVICES, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "ecs", "https://ecs.eu-west-1.amazonaws.com"),
        ("", {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_ECR": "http://one"}, "ecr", "http://one"),
        (SERVICES.replace("ec2 =", "ecr ="), {}, "ecr", "http://profile"),
        (SERVICES.replace("ecs =", "ecr ="), {}, "ecr", "http://service"),
        ("[default]\nuse_fips_endpoint = true\n", {}, "ecs", "https://ecs-fips.eu-west-1.amazonaws.com"),
        ("[default]\nuse_dualstack_endpoint = true\n", {}, "ecs", "https://ecs.eu-west-1.api.aws"),
        ("[default]\nuse_fips_endpoint = true\n", {"AWS_USE_FIPS_ENDPOINT": "false"}, "ecs", "https://ecs.eu-west-1.amazonaws.com"),
    ],
)  # fmt: skip
def test_configured_endpoints(account, monkeypatch, config, env, service, url):
    account.env.pop("AWS_ENDPOINT_URL_STS")
    account.write(config)
    account.env |= env
    assert account.probe("endpoint", service)["url"] == url
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", account.env | ENV_KEYS)
        client = botocore.session.Session().create_client(service, region_name="eu-west-1")
        assert client.meta.endpoint_url == url


@pytest.mark.parametrize(
    "own,env,region",
    [
        ("eu-north-1", {"AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1"}, "eu-north-1"),
        (None, {"AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1"}, "a-1"),
        (None, {"AWS_DEFAULT_REGION": "b-1"}, "b-1"),
        (None, {}, "us-west-2"),
        (None, {"AWS_PROFILE": "other"}, None),
    ],
)
def test_region(account, tmp_path, own, env, region):
    account.write(SERVICES + "[profile other]\noutput = json\n")
    del account.env["AWS_REGION"], account.env["AWS_DEFAULT_REGION"]
    account.env |= env
    if own:
        account.own = str(tmp_path / "own.toml")
        (tmp_path / "own.toml").write_text(f'[Fargate]\nRegion = "{own}"\n')
    answer = account.probe("endpoint", "ecs")
    assert answer.get("region") == region
    if region is None:
        assert "no AWS region" in answer["message"]


@pytest.mark.parametrize(
    "text,attempts",
    [("1", 1), pytest.param("5", 5, marks=pytest.mark.waits), ("0", None), ("x", None)],
)
def test_number_of_attempts(account, sts, text, attempts):
    account.env |= ENV_KEYS | {"AWS_MAX_ATTEMPTS": text, "AWS_ENDPOINT_URL": sts.url}
    sts.then(*["status:503"] * 6)
    answer = account.probe("ecs", "ListTasks", "{}", deadline_ms=60000 if attempts != 5 else 59000)
    assert len(sts.calls) == (attempts or 0)
    assert ("is not from 1 to 20" in answer["message"]) == (attempts is None)


def test_ca_bundle_of_variable_and_profile(account, tmp_path):
    from support.certificates import Authority
    from support.http_server import HttpServer

    authority = Authority(tmp_path)
    account.env |= ENV_KEYS
    with HttpServer(certificate=authority.issue("server")) as server:
        account.env["AWS_ENDPOINT_URL"] = f"{server.url}"
        assert "AWS_CA_BUNDLE" in account.probe("ecs", "ListTasks", "{}")["message"]
        account.write(f"[default]\nca_bundle = {authority.ca_file}\n")
        account.probe("ecs", "ListTasks", "{}")
        assert len(server.requests) > 0
        account.write("[default]\n")
        account.env["AWS_CA_BUNDLE"] = str(authority.ca_file)
        before = len(server.requests)
        account.probe("ecs", "ListTasks", "{}")
        assert len(server.requests) > before
