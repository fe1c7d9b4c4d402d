# SPDX-License-Identifier: MIT
"""A complete account in moto for 'berth-driver doctor'.

The fixture 'place' is one; tests change what they are about and call place.run(). Every request and
every answer of moto is checked against AWS's model at the end.
"""

import hashlib
import json
import re
import secrets

import pytest

from . import aws_model
from .aws_faults import AwsFaults
from .ecs_moto import KEYS, REGION

ACCOUNT = "123456789012"
OPEN_PORT = 22
OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker.distribution.manifest"


def decision(word):
    return (
        "body:<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>"
        f"<member><EvalActionName>a</EvalActionName><EvalDecision>{word}</EvalDecision></member>"
        "</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )


def sha256(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def single_manifest(config, kind=f"{OCI}.manifest.v1+json"):
    return {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {
            "mediaType": f"{OCI}.config.v1+json",
            "digest": sha256(config),
            "size": len(config),
        },
        "layers": [{"mediaType": "x", "digest": sha256(secrets.token_hex(8)), "size": 1}],
    }


def index_of(*platforms, kind=f"{OCI}.index.v1+json"):
    return {
        "schemaVersion": 2,
        "mediaType": kind,
        "manifests": [
            {
                "mediaType": "x",
                "digest": sha256(str(i)),
                "size": 1,
                **({"platform": p} if p else {}),
            }
            for i, p in enumerate(platforms)
        ],
    }


def platform(name):
    os_name, _, architecture = name.partition("/")
    return {"os": os_name, "architecture": architecture}


class Place:
    """A VPC with a public and a private subnet, a cluster and a valid task definition, and a driver
    whose configuration names them."""

    def __init__(self, moto, driver, faults):
        self.moto, self.driver, self.faults = moto, driver, faults
        self.name = f"doctor-{secrets.token_hex(4)}"
        self._make_network()
        moto.ecs.create_cluster(
            clusterName=self.name, capacityProviders=["FARGATE", "FARGATE_SPOT"]
        )
        self.registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
        self.repository = f"ci/{self.name}"
        moto.client("ecr").create_repository(repositoryName=self.repository)
        self.push("1", index_of(platform("linux/amd64")))
        self.define()
        faults.always["SimulatePrincipalPolicy"] = decision("allowed")
        self.fargate = {
            "Cluster": self.name,
            "Region": REGION,
            "Subnet": self.public,
            "SecurityGroup": self.group,
            "TaskDefinition": self.name,
            "EnablePublicIP": True,
        }
        self.ssh = {"HostKey": "strict"}
        driver.settings.pop("Backend")
        driver.metadata.mkdir(mode=0o700)

    def _make_network(self):
        ec2 = self.moto.ec2
        self.vpc, self.public, self.public_routes = self.make_vpc()
        self.private = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.0.2.0/24")["Subnet"][
            "SubnetId"
        ]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        ec2.create_route(
            RouteTableId=self.public_routes,
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=gateway,
        )
        self.group = self.make_group(self.vpc)
        self.let_in(self.group, UserIdGroupPairs=[{"GroupId": self.make_group(self.vpc)}])

    def make_vpc(self):
        ec2 = self.moto.ec2
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return vpc, subnet, table

    def make_group(self, vpc):
        name = secrets.token_hex(4)
        made = self.moto.ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)
        return made["GroupId"]

    def let_in(self, group, port=OPEN_PORT, **whom):
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **whom}
        self.moto.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])

    def image(self, tag):
        return f"{self.registry}/{self.repository}{tag}"

    def push(self, tag, manifest):
        made = self.moto.client("ecr").put_image(
            repositoryName=self.repository, imageTag=tag, imageManifest=json.dumps(manifest)
        )
        return made["image"]["imageId"]["imageDigest"]

    def push_single(self, tag, config, fetched=None, key="config"):
        """An image for one platform, with its configuration in moto's S3, since moto has no layer
        URLs."""
        s3, bucket = self.moto.client("s3"), self.name
        self.push(tag, single_manifest(config))
        where = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        s3.put_object(Bucket=bucket, Key="config", Body=(fetched or config).encode())
        address = s3.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=600
        )
        answer = {
            "downloadUrl": address.replace(self.moto.url, self.faults.url),
            "layerDigest": sha256(config),
        }
        kind = ("ecr", "GetDownloadUrlForLayer", "output_shape")
        assert aws_model.json_problems(*kind, answer) == []
        self.faults.always["GetDownloadUrlForLayer"] = "body:" + json.dumps(answer)

    def define(self, family=None, container=None, drop=(), **more):
        one = {
            "name": "ci-coordinator",
            "image": self.image(":1"),
            "essential": True,
            "portMappings": [{"containerPort": OPEN_PORT, "protocol": "tcp"}],
            "stopTimeout": 120,
            "healthCheck": {"command": ["CMD", "/usr/local/bin/berth-agent", "health"]},
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "x"}},
            **(container or {}),
        }
        whole = {
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "1024",
            "memory": "2048",
            "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/berth-execution",
            "taskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/berth-job",
            "containerDefinitions": [{k: v for k, v in one.items() if k not in drop}],
            **more,
        }
        self.moto.ecs.register_task_definition(
            family=family or self.name, **{k: v for k, v in whole.items() if k not in drop}
        )

    def run(self, *words, **env):
        self.driver.settings["Fargate"] = self.fargate
        self.driver.settings["SSH"] = self.ssh
        aws = {
            **KEYS,
            "AWS_ENDPOINT_URL": self.faults.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_MAX_ATTEMPTS": "2",
        }
        environment = self.driver.environment(**{**aws, **env})
        done = self.driver.run("doctor", *words, env=environment)
        return done.returncode, done.stdout.decode(), done.stderr


@pytest.fixture
def place(moto, berth_driver):
    with AwsFaults(
        moto.url, secrets={KEYS["AWS_ACCESS_KEY_ID"]: KEYS["AWS_SECRET_ACCESS_KEY"]}
    ) as f:
        yield Place(moto, berth_driver, f)
        assert f.model_problems() == []
        assert answer_problems(f) == []


def answer_problems(faults):
    """Successful answers of moto that do not match AWS's model."""
    return [
        text
        for call, (status, body) in faults.passed
        if status == 200 and call.service
        for text in (
            aws_model.json_problems(call.service, call.operation, "output_shape", json.loads(body))
            if call.service in aws_model.JSON_SERVICES
            else aws_model.xml_problems(call.service, call.operation, body)
        )
    ]


def answered(operation, answer):
    return lambda place: place.faults.always.update({operation: answer})


def mistakes(rows):
    """Parametrizes a test by rows: name, change of the place, the line, what to do."""
    return pytest.mark.parametrize(
        "change, line, remedy", [row[1:] for row in rows], ids=[row[0] for row in rows]
    )


def assert_reported(place, line, remedy):
    """A line that matches, the remedy below it, and the right exit status."""
    code, out, _ = place.run()
    lines = [re.sub(r"^  (\w+) +", r"\1 ", text) for text in out.splitlines()]
    found = [i for i, text in enumerate(lines) if re.match(line, text)]
    assert found, out
    reported = lines[found[0] + 1] if found[0] + 1 < len(lines) else ""
    assert remedy in reported and (remedy == "" or reported.startswith("        -> ")), out
    assert code == (1 if line.startswith("FAIL") else 0), out
