# SPDX-License-Identifier: MIT
"""'berth-driver doctor': a whole set-up is all green, and each thing that can be wrong is named
with what to do about it. moto plays AWS; what it does not know (IAM's simulation) or does not
refuse is answered by the proxy before it. See support/doctor.py; the image is in
test_doctor_image.py."""

import json
import os
import re

import pytest

from support.doctor import ACCOUNT, answered, assert_told, decision
from support.ecs import KEYS, REGION
from support.http_server import Handler, HttpServer


def test_all_green(place):
    code, out, err = place.run()
    assert (code, err) == (0, ""), out
    assert re.search(r"^\d\d ok, 0 warnings, 0 failures, 0 not checked$", out, re.M), out
    assert {line[:6] for line in out.splitlines() if line.startswith("  ")} == {"  ok  "}, out
    assert place.driver.metadata.is_dir() and not any(place.driver.metadata.iterdir())
    calls = place.faults.calls
    assert all(call.signature == "good" for call in calls)
    assert not {call.operation for call in calls} & {"RunTask", "StopTask"}
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in out


def subnets_answer(place, free):
    return (
        f"body:<DescribeSubnetsResponse><subnetSet><item><subnetId>{place.public}</subnetId>"
        f"<vpcId>{place.vpc}</vpcId><availableIpAddressCount>{free}</availableIpAddressCount></item>"
        "</subnetSet></DescribeSubnetsResponse>"
    )


def definition_answer(**fields):
    definition = {
        "taskDefinitionArn": "arn:aws:ecs:r:1:task-definition/x:1",
        "networkMode": "awsvpc",
        "compatibilities": ["FARGATE"],
        "containerDefinitions": [],
        **fields,
    }
    return "body:" + json.dumps({"taskDefinition": definition})


def set_up(**fargate):
    return lambda place: place.fargate.update(fargate)


def without(*keys):
    return lambda place: [place.fargate.pop(key) for key in keys]


def defined(**how):
    return lambda place: place.define(**how)


def other_subnet(place):
    place.fargate["Subnets"] = [place.public, place.make_vpc()[1]]
    del place.fargate["Subnet"]


def other_group(place):
    place.fargate["SecurityGroup"] = group = place.make_group(place.make_vpc()[0])
    place.let_in(group, IpRanges=[{"CidrIp": "127.0.0.0/8"}])


def closed_group(place):
    place.fargate["SecurityGroup"] = group = place.make_group(place.vpc)
    place.let_in(group, port=2222, IpRanges=[{"CidrIp": "127.0.0.0/8"}])


def open_group(place):
    place.let_in(place.group, IpRanges=[{"CidrIp": "0.0.0.0/0"}])


def far_group(place):
    place.fargate["SecurityGroup"] = group = place.make_group(place.vpc)
    place.let_in(group, IpRanges=[{"CidrIp": "198.51.100.0/24"}])


def other_port(place):
    place.ssh["Port"] = 2022
    place.let_in(place.group, port=2022, IpRanges=[{"CidrIp": "127.0.0.0/8"}])


def private(place):
    place.fargate.update(Subnet=place.private, EnablePublicIP=False)


def world_writable(place):
    place.driver.metadata.chmod(0o777)


def no_directory(place):
    (place.driver.directory / "file").write_text("")
    place.driver.metadata = place.driver.directory / "file" / "below"
    place.driver.settings["TaskMetadata"] = {"Directory": str(place.driver.metadata)}


def exposed_file(place):
    path = place.driver.config()
    path.chmod(0o666)


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
        "FAIL the backend 'moon'",
        "set Backend",
    ),
    ("writable settings", exposed_file, "warn .*fargate.toml' can be changed by others", "chmod"),
    (
        "metadata",
        no_directory,
        "FAIL metadata directory '.*below': '.*file' is no directory",
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
        "FAIL everybody may change files in the metadata",
        "chmod 700",
    ),
    (
        "host key",
        lambda p: p.ssh.clear(),
        "warn SSH: user 'root', port 22; the host key",
        'HostKey = "strict"',
    ),
    ("no region", set_up(Region="no region!"), "FAIL 'no region!' is no AWS region", "eu-west-1"),
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
        "FAIL GetCallerIdentity named no account",
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
    (
        "no definition named",
        without("TaskDefinition"),
        "FAIL no task definition",
        "set [Fargate] TaskDefinition",
    ),
    (
        "no definition",
        set_up(TaskDefinition="nothing"),
        "FAIL .*DescribeTaskDefinition",
        "register-task-definition",
    ),
    (
        "inactive",
        answered("DescribeTaskDefinition", definition_answer(status="INACTIVE")),
        "FAIL task definition '.*' is INACTIVE",
        "register",
    ),
    (
        "bridge",
        answered("DescribeTaskDefinition", definition_answer(networkMode="bridge")),
        "FAIL its network mode is 'bridge'",
        "awsvpc",
    ),
    (
        "EC2 alone",
        answered("DescribeTaskDefinition", definition_answer(compatibilities=["EC2"])),
        "FAIL it is not compatible with Fargate",
        "requiresCompatibilities",
    ),
    (
        "windows",
        defined(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
        "FAIL its operating system is 'WINDOWS",
        "Linux",
    ),
    (
        "container",
        set_up(ContainerName="web"),
        "FAIL it has no container 'web'; there are: 'ci-coordinator'",
        "ContainerName",
    ),
    (
        "port",
        other_port,
        "warn the container maps no TCP port 2022",
        "portMappings",
    ),
    (
        "not essential",
        answered(
            "DescribeTaskDefinition",
            definition_answer(
                containerDefinitions=[{"name": "ci-coordinator", "essential": False}]
            ),
        ),
        "warn the container is not essential",
        "essential",
    ),
    (
        "no health check",
        defined(drop=("healthCheck",)),
        "warn the container has no health check",
        "berth-agent",
    ),
    (
        "no log",
        defined(drop=("logConfiguration",)),
        "warn the container has no log",
        "logConfiguration",
    ),
    (
        "no execution role",
        defined(drop=("executionRoleArn",)),
        "FAIL it has no execution role",
        "AmazonECSTaskExecutionRolePolicy",
    ),
    (
        "no task role for ECS Exec",
        lambda p: (p.fargate.update(EnableExecuteCommand=True), p.define(drop=("taskRoleArn",))),
        "FAIL it has no task role, and EnableExecuteCommand needs one",
        "ssmmessages",
    ),
    (
        "stop timeout",
        defined(container={"stopTimeout": 1}),
        "warn stopTimeout is 1 s: ECS kills",
        "CancelGrace",
    ),
    (
        "spot timeout",
        lambda p: (p.fargate.update(Spot=True), p.define(drop=("stopTimeout",))),
        "warn stopTimeout is 30 s: what a job has",
        "120",
    ),
    ("no subnet named", without("Subnet"), "FAIL no subnet is named", "Subnet"),
    (
        "no subnet",
        set_up(Subnet="subnet-nothing"),
        "FAIL .*InvalidSubnetID",
        "check [Fargate] Subnet",
    ),
    ("two VPCs", other_subnet, "FAIL subnet '.*' is in 'vpc-.*', others are in", "one VPC"),
    (
        "full",
        lambda p: p.faults.always.update(DescribeSubnets=subnets_answer(p, 0)),
        "FAIL subnet '.*' has 0 free",
        "larger subnets",
    ),
    (
        "nearly full",
        lambda p: p.faults.always.update(DescribeSubnets=subnets_answer(p, 4)),
        "warn subnet '.*' has 4 free",
        "larger subnets",
    ),
    (
        "no public address",
        set_up(EnablePublicIP=False),
        "FAIL subnet '.*' leads out by the Internet gateway",
        "EnablePublicIP = true",
    ),
    (
        "no way out",
        private,
        "FAIL subnet '.*' has no way to an image's registry.*ecr.api, ecr.dkr, s3, logs",
        "NAT gateway",
    ),
    (
        "public use",
        lambda p: (private(p), p.fargate.update(UsePublicIP=True)),
        "FAIL UsePublicIP is set",
        "EnablePublicIP",
    ),
    (
        "no group named",
        without("SecurityGroup"),
        "warn no security group is named",
        "set [Fargate] SecurityGroup",
    ),
    (
        "no group",
        set_up(SecurityGroup="sg-nothing"),
        "FAIL .*InvalidGroup",
        "check [Fargate] SecurityGroup",
    ),
    (
        "other VPC",
        other_group,
        "FAIL security group '.*' is in 'vpc-.*', the subnets are in",
        "subnets' VPC",
    ),
    (
        "closed",
        closed_group,
        "FAIL no rule of the security groups lets TCP port 22 in",
        "authorize-security-group-ingress",
    ),
    ("open", open_group, "warn the security groups let the whole world in", "alone"),
    (
        "far",
        far_group,
        "warn port 22 is open for '198.51.100.0/24', where no address",
        "another address",
    ),
    (
        "denied",
        answered("SimulatePrincipalPolicy", decision("implicitDeny")),
        "FAIL ecs:RunTask is not allowed on arn:aws:ecs:.*:task-definition/doctor-.*:\\*",
        "--policy",
    ),
]


@pytest.mark.parametrize(
    "change, line, remedy", [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_says_what_is_wrong(place, change, line, remedy):
    os.umask(0o022)
    change(place)
    assert_told(place, line, remedy)


def test_private_subnet_with_nat(place):
    ec2 = place.moto.ec2
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=place.public, AllocationId=address)
    table = ec2.create_route_table(VpcId=place.vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=place.private)
    ec2.create_route(
        RouteTableId=table,
        DestinationCidrBlock="0.0.0.0/0",
        NatGatewayId=nat["NatGateway"]["NatGatewayId"],
    )
    private(place)
    code, out, _ = place.run()
    assert code == 0 and f"'{place.private}' leads out by 'nat-" in out


def test_private_subnet_with_endpoints(place):
    for service in ("ecr.api", "ecr.dkr", "s3", "logs"):
        place.moto.ec2.create_vpc_endpoint(
            VpcId=place.vpc,
            ServiceName=f"com.amazonaws.{REGION}.{service}",
            VpcEndpointType="Gateway" if service == "s3" else "Interface",
        )
    private(place)
    code, out, _ = place.run()
    assert code == 0 and "no way out, but VPC endpoints" in out


def test_nothing_is_asked_without_credentials(place):
    code, out, _ = place.run(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert code == 1 and "FAIL  " in out and "credentials" in out
    for what in ("cluster", "task definition", "subnets and security groups", "permissions"):
        assert f"  skip  {what}\n" in out
    assert place.faults.calls == []


# --- permissions without IAM's help

TRIED = {
    "ecs:RunTask": "RunTask",
    "ecs:DescribeTasks": "DescribeTasks",
    "ecs:StopTask": "StopTask",
    "ecs:ListTasks": "ListTasks",
    "ec2:DescribeNetworkInterfaces": "DescribeNetworkInterfaces",
}


@pytest.fixture
def secretive(place):
    """IAM tells nothing; a dry run and a task that is not there are answered as by AWS."""
    place.faults.always["StopTask"] = "code:400,InvalidParameterException"
    place.faults.always["SimulatePrincipalPolicy"] = "code:403,AccessDenied"
    place.faults.always["DescribeNetworkInterfaces"] = "code:412,DryRunOperation"
    place.fargate.update(UsePublicIP=True, Tags=["a=b"])
    return place


def test_permissions_are_tried(secretive):
    before = len(secretive.moto.ecs.list_tasks(cluster=secretive.name)["taskArns"])
    code, out, _ = secretive.run()
    assert code == 0, out
    for action in TRIED:
        assert f"  ok    {action} is allowed\n" in out
    for action in ("iam:PassRole", "ecs:TagResource"):
        assert re.search(rf"  skip  {action}: cannot be tried without a launch", out), out
    assert len(secretive.moto.ecs.list_tasks(cluster=secretive.name)["taskArns"]) == before
    (run,) = [call for call in secretive.faults.calls if call.operation == "RunTask"]
    assert json.loads(run.body)["taskDefinition"] == f"{secretive.name}:2147483647"


@pytest.mark.parametrize("action", TRIED)
def test_a_missing_permission_is_seen(secretive, action):
    code = "403,UnauthorizedOperation" if action.startswith("ec2") else "400,AccessDeniedException"
    secretive.faults.always[TRIED[action]] = f"code:{code}"
    status, out, _ = secretive.run()
    assert status == 1 and f"  FAIL  {action} is not allowed\n" in out
    assert "'berth-driver doctor --policy' prints" in out


def test_a_task_without_roles_needs_none_passed(place):
    place.define(drop=("executionRoleArn", "taskRoleArn"))
    _, out, _ = place.run()
    assert "ecs:RunTask is allowed" in out and "iam:PassRole" not in out
    assert "GiveRoles" not in statements(place)[0]


def test_a_pinned_revision_is_not_tried(secretive):
    secretive.fargate["TaskDefinition"] += ":1"
    code, out, _ = secretive.run()
    assert code == 0 and "  skip  ecs:RunTask: cannot be tried" in out
    assert "RunTask" not in [call.operation for call in secretive.faults.calls]


# --- the policy


def statements(place, **env):
    code, out, err = place.run("--policy", **env)
    assert code == 0, err
    policy = json.loads(out)
    assert policy["Version"] == "2012-10-17"
    return {row["Sid"]: row for row in policy["Statement"]}, err


def test_policy_of_this_configuration(place):
    rows, err = statements(place)
    assert err == ""
    ours = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    cluster = {"ArnEquals": {"ecs:cluster": f"{ours}:cluster/{place.name}"}}
    assert rows["Launch"]["Resource"] == [f"{ours}:task-definition/{place.name}:*"]
    assert rows["Launch"]["Condition"] == rows["Find"]["Condition"] == cluster
    assert rows["WatchAndStop"]["Resource"] == [f"{ours}:task/{place.name}/*"]
    assert rows["GiveRoles"]["Resource"] == [
        f"arn:aws:iam::{ACCOUNT}:role/berth-execution",
        f"arn:aws:iam::{ACCOUNT}:role/berth-job",
    ]
    assert "Tag" not in rows and "FindAddress" not in rows
    image = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{place.repository}"
    assert rows["DoctorImage"]["Resource"] == [image]
    assert rows["DoctorImage"]["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    assert all(row["Effect"] == "Allow" for row in rows.values())
    place.fargate.update(
        Tags=["a=b"], UsePublicIP=True, AllowedTaskDefinitions=["ruby*"], TaskRole="special"
    )
    more, _ = statements(place)
    assert f"{ours}:task-definition/ruby*:*" in more["Launch"]["Resource"]
    assert f"arn:aws:iam::{ACCOUNT}:role/special" in more["GiveRoles"]["Resource"]
    assert {"Tag", "FindAddress"} <= set(more)


def test_policy_names_the_repository_of_another_region_and_account(place):
    other = "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"
    place.define(container={"image": f"{other}/team/ci:1"})
    rows, _ = statements(place)
    assert rows["DoctorImage"]["Resource"] == [
        "arn:aws-cn:ecr:cn-north-1:111122223333:repository/team/ci"
    ]


def test_policy_for_an_image_that_is_not_in_ecr(place):
    place.define(container={"image": "ruby:3.3"})
    assert "DoctorImage" not in statements(place)[0]


def test_policy_before_there_is_a_role(place):
    rows, err = statements(place, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert "the account in the policy is '*'" in err
    assert rows["Launch"]["Resource"] == [f"arn:aws:ecs:{REGION}:*:task-definition/{place.name}:*"]
    assert rows["DoctorImage"]["Resource"] == [f"arn:aws:ecr:{REGION}:*:repository/*"]


def test_policy_is_valid_for_iam(place):
    """moto's IAM refuses a document that breaks IAM's grammar."""
    rows, _ = statements(place)
    iam = place.moto.client("iam")
    iam.create_policy(
        PolicyName=place.name,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(rows.values())}),
    )


def test_policy_is_about_aws_alone(berth_driver):
    done = berth_driver.run("doctor", "--policy")
    assert done.returncode == 1 and "the backend 'local' needs nothing of AWS" in done.stderr


def test_policy_is_for_the_role_that_asks(place):
    place.faults.always["GetCallerIdentity"] = (
        "body:<GetCallerIdentityResponse><GetCallerIdentityResult>"
        f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/runner/i-1</Arn><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    rows, _ = statements(place)
    role = f"arn:aws:iam::{ACCOUNT}:role/runner"
    assert rows["DoctorAsks"]["Resource"] == [role]
    assert place.run()[0] == 0
    asked = [c for c in place.faults.calls if c.operation == "SimulatePrincipalPolicy"]
    assert {call.parameters["PolicySourceArn"] for call in asked} == {role}


# --- the backend 'docker', as far as no engine is needed; a real one is in engine/


class OldEngine(Handler):
    """What an engine of 2019 says of itself: there is none to install any more."""

    def on_version(self, _):
        said = {"Version": "19.03.15", "ApiVersion": "1.40", "MinAPIVersion": "1.12"}
        self.reply(json.dumps(said).encode())


class Engine(Handler):
    """As much of an engine as 'doctor' asks for: it has no images."""

    def on_version(self, _):
        self.reply(json.dumps({"Version": "26.1.5", "ApiVersion": "1.45"}).encode())

    def do_GET(self):
        if self.path.endswith("/version"):
            self.on_version(None)
        else:
            self.reply(b'{"message": "no such image"}', 404)


@pytest.mark.parametrize(
    "settings, line, code",
    [
        ({}, "FAIL  there is no image that a job could run in", 1),
        ({"AllowedImages": ["**"]}, "warn  a job without 'image:' will fail", 0),
        ({"Image": "ruby:3.3"}, "ok    image 'ruby:3.3' will be pulled by the first job", 0),
    ],
    ids=["none", "only the jobs'", "to be pulled"],
)
def test_images_of_an_engine(berth_driver, settings, line, code):
    with HttpServer(handler=Engine) as engine:
        url = engine.url.replace("http:", "tcp:")
        status, out = docker_doctor(berth_driver, url, **settings)
    assert status == code and line in out, out
    assert code == 0 or "-> set [Docker] Image" in out


def docker_doctor(driver, url, **settings):
    driver.settings |= {"Backend": "docker", "Docker": {"Host": url, **settings}}
    done = driver.run("doctor", env=driver.environment())
    return done.returncode, done.stdout.decode()


def test_an_engine_that_is_too_old(berth_driver):
    with HttpServer(handler=OldEngine) as engine:
        url = engine.url.replace("http:", "tcp:")
        code, out = docker_doctor(berth_driver, url, Image="x")
        used = berth_driver.run("exec", "--", "true", env=berth_driver.environment())
    assert code == 1
    wanted = "is version '19.03.15', which speaks API 1.40"
    assert wanted in out and "-> it takes 1.41, which is Docker 20.10" in out
    assert used.returncode == 255 and wanted in used.stderr


class NewEngine(Handler):
    """One that has given up the versions of the interface that are older than 1.52."""

    def on_version(self, _):
        said = {"Version": "35.0.1", "ApiVersion": "1.60", "MinAPIVersion": "1.52"}
        self.reply(json.dumps(said).encode())


def test_an_engine_that_has_given_up_old_versions(berth_driver):
    with HttpServer(handler=NewEngine) as engine:
        _, out = docker_doctor(berth_driver, engine.url.replace("http:", "tcp:"), Image="x")
        paths = [path for _, path, _ in engine.requests]
    assert "35.0.1" in out, out
    assert len(paths) > 1 and {path.split("/")[1] for path in paths} == {"version", "v1.52"}


def test_an_engine_that_is_not_there(berth_driver):
    code, out = docker_doctor(berth_driver, "unix:///no/engine", Image="x")
    assert code == 1 and "FAIL  cannot reach the Docker Engine" in out and "-> start it" in out


def test_no_file_at_all(berth_driver):
    done = berth_driver.run("doctor", env=berth_driver.environment(), config=False)
    assert "warn  no configuration file: built-in settings" in done.stdout.decode()
    assert "-> name a file with --config" in done.stdout.decode()


def findings(top):
    """What doctor calls odd or wrong, as the source has it: place and format."""
    call = re.compile(r"doctor_tell\(\s*doctor,([^;]*?)\);", re.S)
    literal = re.compile(r'"((?:[^"\\]|\\.)*)"')
    for path in sorted((top / "driver/doctor").glob("*.c")):
        for found in call.finditer(path.read_text()):
            if re.search(r"DOCTOR_(ODD|WRONG)", found[1]):
                # The remedy stands before the comma that ends it, the format behind it.
                parts = re.split(r',\s*(?=")', found[1])
                text = "".join(literal.findall(parts[-1]))
                if text != "%s":  # an error's message, told as it is
                    yield f"{path.name}: {text}", text


def test_each_finding_is_provoked_by_a_test(top):
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
