# SPDX-License-Identifier: MIT
"""The guide's commands, pasted in order into shells with the AWS CLI against moto, create what its
text says."""

import ipaddress
import json
import re
import subprocess
import tomllib
import urllib.request

import pytest

from docs import guide
from docs.conftest import DRIVER, OTHER_NAMES, REGION, STRICT, UNINSTALL, Account

# The first test runs the fixture: all commands of the guide.
pytestmark = pytest.mark.timeout(1500)


def policy(account, role, name):
    return account.client("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


def allowed(document, effect="Allow"):
    """(action, resources) of each statement, lists throughout."""
    for statement in document["Statement"]:
        if statement["Effect"] != effect:
            continue
        actions, resources = statement["Action"], statement["Resource"]
        resources = [resources] if isinstance(resources, str) else resources
        for action in [actions] if isinstance(actions, str) else actions:
            yield action, resources


def routes_of(account, subnet):
    ec2, vpc = account.client("ec2"), account.names()["VPC"]
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    tables = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    if not tables:
        filters = [
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": "association.main", "Values": ["true"]},
        ]
        tables = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    (table,) = tables
    return {route.get("DestinationCidrBlock"): route for route in table["Routes"]}


def ingress(account, group):
    found = account.client("ec2").describe_security_groups(GroupIds=[account.names()[group]])
    return found["SecurityGroups"][0]["IpPermissions"]


# --- the network


@pytest.mark.parametrize("which", ["account", "private_account"])
def test_subnets_are_large_and_in_two_zones(which, request):
    account = request.getfixturevalue(which)
    names, ec2 = account.names(), account.client("ec2")
    subnets = [names["SUBNET_A"], names["SUBNET_B"]]
    a, b = ec2.describe_subnets(SubnetIds=subnets)["Subnets"]
    assert {a["VpcId"], b["VpcId"]} == {names["VPC"]}
    assert a["AvailabilityZone"] != b["AvailabilityZone"]
    assert ipaddress.ip_network(a["CidrBlock"]).num_addresses == 4096
    assert not a["MapPublicIpOnLaunch"] and not b["MapPublicIpOnLaunch"]


def test_public_subnets_use_the_internet_gateway(account):
    names = account.names()
    for subnet in (names["SUBNET_A"], names["SUBNET_B"]):
        assert routes_of(account, subnet)["0.0.0.0/0"]["GatewayId"] == names["GATEWAY"]


def test_private_subnets_use_the_nat_gateway(private_account):
    names = private_account.names()
    assert names["SUBNET_A"] == names["PRIVATE_SUBNET_A"] != names["NEW_SUBNET_A"]
    for subnet in (names["SUBNET_A"], names["SUBNET_B"]):
        found = routes_of(private_account, subnet)["0.0.0.0/0"]
        assert found["NatGatewayId"] == names["NAT_GATEWAY"]
    way_out = routes_of(private_account, names["NEW_SUBNET_A"])["0.0.0.0/0"]
    assert way_out["GatewayId"] == names["GATEWAY"]


def test_endpoints_cover_what_tasks_and_host_need(private_account):
    names, ec2 = private_account.names(), private_account.client("ec2")
    filters = [{"Name": "vpc-id", "Values": [names["VPC"]]}]
    found = ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    prefix = f"com.amazonaws.{private_account.region}."
    services = {e["ServiceName"].removeprefix(prefix): e for e in found}
    assert set(services) == {
        *("s3", "ecr.api", "ecr.dkr", "logs", "ecs", "ec2", "sts", "ssm", "ssmmessages")
    }
    assert services["s3"]["VpcEndpointType"] == "Gateway"
    assert services["ecr.api"]["PrivateDnsEnabled"]
    (rule,) = ingress(private_account, "ENDPOINT_GROUP")
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    sources = {pair["GroupId"] for pair in rule["UserIdGroupPairs"]}
    assert sources == {names["HOST_GROUP"], names["TASK_GROUP"]}


def test_tasks_accept_the_host_on_three_ports_and_nothing_else(account):
    assert ingress(account, "HOST_GROUP") == []
    rules = ingress(account, "TASK_GROUP")
    assert sorted((rule["FromPort"], rule["ToPort"]) for rule in rules) == [
        (22, 22),
        (22122, 22123),
    ]
    for rule in rules:
        assert rule["IpProtocol"] == "tcp"
        sources = [pair["GroupId"] for pair in rule["UserIdGroupPairs"]]
        assert sources == [account.names()["HOST_GROUP"]]
        assert not rule["IpRanges"] and not rule.get("Ipv6Ranges")


# --- images, roles, the task


def test_repository_keeps_its_tags_and_scans(account):
    name = account.names()["IMAGE"]
    ecr = account.client("ecr")
    (found,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"]["scanOnPush"]
    assert found["repositoryUri"] == account.names()["REPOSITORY_URI"]


def test_the_agents_image_is_in_ecr_and_in_the_file(account):
    config = tomllib.loads((account.directory / "fargate.toml").read_text())
    repository, _, tag = config["Helper"]["AgentImage"].rpartition(":")
    ecr = account.client("ecr")
    (found,) = ecr.describe_repositories(repositoryNames=["berth-agent"])["repositories"]
    assert found["repositoryUri"] == repository
    images = ecr.list_images(repositoryName="berth-agent")["imageIds"]
    assert tag in [image.get("imageTag") for image in images]


def task_definition(account):
    ecs = account.client("ecs")
    found = ecs.describe_task_definition(taskDefinition=account.names()["FAMILY"])
    return found["taskDefinition"]


def test_task_definition_is_one_that_the_driver_can_use(account):
    names, task = account.names(), task_definition(account)
    assert task["networkMode"] == "awsvpc"
    assert task["requiresCompatibilities"] == ["FARGATE"]
    assert task["runtimePlatform"]["cpuArchitecture"] == "X86_64"
    assert task["executionRoleArn"] == names["EXECUTION_ROLE"]
    assert task["taskRoleArn"] == names["TASK_ROLE"]
    (container,) = task["containerDefinitions"]
    assert container["name"] == "ci-coordinator"
    assert container["image"] == f"{names['REPOSITORY_URI']}:1"
    (port,) = container["portMappings"]
    assert (port["containerPort"], port["protocol"]) == (22, "tcp")
    assert container["stopTimeout"] == 120
    assert container["linuxParameters"]["initProcessEnabled"] is False
    assert container["healthCheck"]["command"][0] == "CMD"
    log = container["logConfiguration"]["options"]
    groups = account.client("logs").describe_log_groups()["logGroups"]
    assert {g["logGroupName"]: g["retentionInDays"] for g in groups} == {log["awslogs-group"]: 14}


def test_health_check_is_a_command_of_the_agent(account):
    text = account.guide.block("cat >task-definition.json").text
    command = json.loads(re.search(r'"command": (\[.*\])', text).group(1))
    agent = DRIVER.parent / "berth-agent"
    # No agent listens here: the error is about that, not about the command line.
    found = subprocess.run(
        [agent, *command[2:]], check=False, capture_output=True, text=True, env={}
    )
    assert found.returncode == 1, found.stderr


def test_cluster_has_both_capacity_providers(account):
    ecs = account.client("ecs")
    (found,) = ecs.describe_clusters(clusters=["gitlab-runner-dev"])["clusters"]
    assert sorted(found["capacityProviders"]) == ["FARGATE", "FARGATE_SPOT"]
    (strategy,) = found["defaultCapacityProviderStrategy"]
    assert strategy["capacityProvider"] == "FARGATE"


def test_execution_role_reaches_two_repositories_and_one_log_group(account):
    document = policy(account, "gitlab-runner-dev-execution", "execution")
    names = account.names()
    for action, resources in allowed(document):
        if action == "ecr:GetAuthorizationToken":
            continue  # knows no resources
        for resource in resources:
            assert resource.endswith(
                (
                    "repository/berth-agent",
                    f"repository/{names['IMAGE']}",
                    "log-group:/berth/gitlab-runner-dev:*",
                )
            )


def test_task_role_allows_nothing(account):
    iam = account.client("iam")
    assert not iam.list_role_policies(RoleName="gitlab-runner-dev-task")["PolicyNames"]
    assert not iam.list_attached_role_policies(RoleName="gitlab-runner-dev-task")[
        "AttachedPolicies"
    ]


def test_only_tasks_of_this_account_get_the_tasks_roles(account):
    iam = account.client("iam")
    for role in ("execution", "task"):
        found = iam.get_role(RoleName=f"gitlab-runner-dev-{role}")["Role"]
        (statement,) = found["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        wanted = {"StringEquals": {"aws:SourceAccount": account.names()["ACCOUNT"]}}
        assert statement["Condition"] == wanted


# --- the runner host


def test_runner_host_has_least_privilege(account):
    document = policy(account, "gitlab-runner-dev-host", "berth-driver")
    for action, resources in allowed(document):
        assert "*" not in action
        if re.match(r"(ecs:(RunTask|StopTask|DescribeTasks)|iam:PassRole)$", action):
            assert "*" not in resources, action
    attached = account.client("iam").list_attached_role_policies(RoleName="gitlab-runner-dev-host")
    names = [one["PolicyName"] for one in attached["AttachedPolicies"]]
    assert names == ["AmazonSSMManagedInstanceCore"]


def test_runner_host_reaches_the_cache_of_its_bucket(account):
    bucket, role = account.names()["BUCKET"], account.names()["HOST_ROLE"]
    document = policy(account, "gitlab-runner-dev-host", "cache")
    # Of AmazonSSMManagedInstanceCore, which could read every parameter.
    denied = {"ssm:GetParameter": ["*"], "ssm:GetParameters": ["*"]}
    assert dict(allowed(document, "Deny")) == denied
    found = dict(allowed(document))
    assert found == {
        "s3:GetObject": [f"arn:aws:s3:::{bucket}/cache/*"],
        "s3:PutObject": [f"arn:aws:s3:::{bucket}/cache/*"],
        "s3:ListBucket": [f"arn:aws:s3:::{bucket}"],
        "iam:SimulatePrincipalPolicy": [role],
    }
    (runner,) = tomllib.loads((account.directory / "config.toml").read_text())["runners"]
    cache = runner["cache"]
    assert (cache["Type"], cache["Path"], cache["s3"]["AuthenticationType"]) == (
        ("s3", "cache", "iam")
    )
    assert (cache["s3"]["BucketName"], cache["s3"]["BucketLocation"]) == (bucket, REGION)
    rules = account.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {(r["Filter"]["Prefix"], r["Expiration"]["Days"]) for r in rules} == {
        ("cache/", 30),
        ("setup/", 1),
    }


@pytest.mark.parametrize("which", ["account", "private_account"])
def test_runner_host_accepts_nothing_and_asks_for_imdsv2(which, request):
    account = request.getfixturevalue(which)
    names, ec2 = account.names(), account.client("ec2")
    (reservation,) = ec2.describe_instances(InstanceIds=[names["INSTANCE"]])["Reservations"]
    (host,) = reservation["Instances"]
    assert host["SubnetId"] == names["SUBNET_A"]
    (interface,) = host["NetworkInterfaces"]
    assert [group["GroupId"] for group in interface["Groups"]] == [names["HOST_GROUP"]]
    assert ("PublicIpAddress" in host) == (which == "account")
    assert host["IamInstanceProfile"]["Arn"].endswith(f"/{names['CLUSTER']}-host")
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert host["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


def test_printed_command_downloads_the_files(account, tmp_path):
    printed = account.output_of(account.guide.block('aws s3 presign "s3://$BUCKET/setup')).split(
        "\n"
    )
    (url,) = re.findall(
        r"^sudo curl -fsS -o /root/setup.tar.gz '(http.+)'$", "\n".join(printed), re.M
    )
    archive = tmp_path / "setup.tar.gz"
    with urllib.request.urlopen(url, timeout=60) as answer:
        archive.write_bytes(answer.read())
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    assert (tmp_path / "berth-driver").read_bytes() == DRIVER.read_bytes()
    for name in ("fargate.toml", "config.toml"):
        assert (tmp_path / name).read_bytes() == (account.directory / name).read_bytes()
    install = account.guide.block("sudo tar -xzf").text
    for path in tmp_path.iterdir():
        assert path == archive or f"/root/{path.name}" in install, path.name


def test_config_toml_names_the_driver_for_every_stage(account):
    config = tomllib.loads((account.directory / "config.toml").read_text())
    (runner,) = config["runners"]
    assert runner["executor"] == "custom"
    assert runner["request_concurrency"] == config["concurrent"]
    assert runner["url"] == "https://gitlab.com/"
    for stage in ("config", "prepare", "run", "cleanup"):
        assert runner["custom"][f"{stage}_exec"] == "/usr/bin/berth-driver"
        arguments = runner["custom"][f"{stage}_args"]
        assert arguments == ["--config", "/etc/gitlab-runner/fargate.toml", "custom", stage]


def test_concurrent_jobs_fit_a_new_accounts_quota(account):
    """6 vCPUs of Fargate."""
    config = tomllib.loads((account.directory / "config.toml").read_text())
    assert 1 < config["concurrent"] * int(task_definition(account)["cpu"]) / 1024 <= 6


@pytest.mark.parametrize("which", ["account", "private_account"])
def test_fargate_toml_names_the_resources(which, request):
    account = request.getfixturevalue(which)
    names = account.names()
    config = tomllib.loads((account.directory / "fargate.toml").read_text())
    fargate = config["Fargate"]
    assert fargate["Subnets"] == [names["SUBNET_A"], names["SUBNET_B"]]
    assert fargate["SecurityGroup"] == names["TASK_GROUP"]
    assert (fargate["Cluster"], fargate["Region"]) == (names["CLUSTER"], account.region)
    assert fargate["ContainerName"] == names["CONTAINER"]
    assert (fargate["EnablePublicIP"], fargate["UsePublicIP"]) == (which == "account", False)
    assert config["TaskMetadata"]["Directory"] == "/var/lib/berth/metadata"


def test_host_keys_are_checked_since_the_image_has_the_agent(account):
    config = tomllib.loads((account.directory / "fargate.toml").read_text())
    assert config["SSH"]["HostKey"] == "strict"


def driver(account, *arguments, config="fargate.toml", **more):
    return subprocess.run(
        [DRIVER, "--config", account.directory / config, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=account.environment | more,
    )


def job_environment(tmp_path):
    response = tmp_path / "response.json"
    response.write_text('{"id": 1, "token": "glcbt-example"}')
    return {
        "JOB_RESPONSE_FILE": str(response),
        "BUILD_FAILURE_EXIT_CODE": "1",
        "SYSTEM_FAILURE_EXIT_CODE": "2",
        "CUSTOM_ENV_CI_JOB_ID": "1",
        "TMPDIR": str(tmp_path),
    }


def test_driver_takes_fargate_toml_without_a_warning(account, tmp_path):
    done = driver(account, "custom", "config", **job_environment(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["driver"]["name"]


def test_driver_takes_every_other_setting_of_the_guide(account, tmp_path):
    """The TOML blocks of the later sections, each in the guide's file instead of its own keys."""
    base = (account.directory / "fargate.toml").read_text()
    blocks = [b for b in account.guide.blocks if b.language == "toml"]
    ours = [b for b in blocks if "[[runners]]" not in b.text]
    assert len(ours) >= 5
    for block in ours:
        text = base
        for table, keys in re.findall(r"^\[(\w+)\]\n((?:\w+ = .*\n)+)", block.text, re.M):
            for key in re.findall(r"^\w+ = ", keys, re.M):
                text = re.sub(rf"^{key}.*\n", "", text, flags=re.M)
            text = (
                text.replace(f"[{table}]\n", f"[{table}]\n{keys}")
                if f"[{table}]\n" in text
                else f"{text}\n[{table}]\n{keys}"
            )
        assert text != base and tomllib.loads(text)
        (account.directory / "other.toml").write_text(text)
        done = driver(account, "custom", "config", config="other.toml", **job_environment(tmp_path))
        assert (done.returncode, done.stderr) == (0, ""), f"line {block.line}: {done.stderr}"


def test_a_misspelt_key_would_be_noticed(account, tmp_path):
    text = (account.directory / "fargate.toml").read_text()
    (account.directory / "wrong.toml").write_text(text.replace("Subnets", "Subnetz"))
    done = driver(account, "custom", "config", config="wrong.toml", **job_environment(tmp_path))
    assert "Subnetz" in done.stderr


@pytest.mark.parametrize("which", ["account", "private_account"])
def test_policy_is_the_one_that_doctor_prints(which, request):
    account = request.getfixturevalue(which)
    done = driver(account, "doctor", "--policy")
    assert done.returncode == 0, done.stderr
    written = policy(account, f"{account.names()['CLUSTER']}-host", "berth-driver")
    assert json.loads(done.stdout) == written


@pytest.mark.parametrize("which", ["account", "private_account"])
def test_doctor_misses_only_the_image_that_docker_pushes(which, request):
    account = request.getfixturevalue(which)
    done = driver(account, "doctor")
    found = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line[:2] == "  "]
    problems = [rest for result, rest in found if result in ("FAIL", "warn")]
    assert len(problems) == 1, done.stdout
    assert "there is no image '1' in the ECR repository" in problems[0]
    assert done.returncode == 1


def test_the_token_of_the_template_is_stored_as_it_was_typed(english, moto, aws, tmp_path):
    """In bash and in zsh: no newline is added, and the terminal's next line is the token. The
    second one replaces a token that was wrong."""
    block = english.block("aws secretsmanager create-secret")
    secrets = moto.client("secretsmanager")
    for shell in guide.SHELLS:
        environment = guide.environment(tmp_path, moto.url, aws.programs)
        guide.paste([block], shell, tmp_path, environment)
        found = secrets.get_secret_value(SecretId="berth-runner-token")
        assert found["SecretString"] == guide.TYPED
        secrets.put_secret_value(SecretId="berth-runner-token", SecretString="wrong")
    secrets.delete_secret(SecretId="berth-runner-token", ForceDeleteWithoutRecovery=True)


# --- names, pasting again, removal


def test_names_are_set_once(private_account):
    """With other names, none of the guide's own is in a file or an identifier."""
    texts = {
        path.name: path.read_text()
        for path in private_account.directory.iterdir()
        if path.suffix in (".json", ".toml", ".env", ".ids")
    }
    assert {"fargate.toml", "config.toml", "task-definition.json", "berth-guide.ids"} <= set(texts)
    for name, text in texts.items():
        for old in OTHER_NAMES:
            assert old not in text.replace("/usr/local/bin/berth-agent", ""), f"{name}: {old}"


def test_pasting_everything_again_creates_and_erases_nothing(private_account):
    account, before = private_account, private_account.names()
    account.paste(account.by_hand(), before=STRICT)
    assert account.names() == before
    ec2 = account.client("ec2")
    own = [{"Name": "tag:Name", "Values": [before["CLUSTER"]]}]
    assert len(ec2.describe_vpcs(Filters=own)["Vpcs"]) == 1
    assert len(ec2.describe_subnets(Filters=own)["Subnets"]) == 4
    assert len(ec2.describe_instances(Filters=own)["Reservations"]) == 1
    assert len(ec2.describe_addresses(Filters=own)["Addresses"]) == 1


# The first of each kind of call is made, and its shell is killed before it reads the answer. Of
# what has neither name nor place, another would be created.
CUT = """#!/bin/sh
name=$1-$2
case "$*" in
"ec2 create-vpc "* | *create-internet-gateway* | *create-nat-gateway* | *create-route-table*) ;;
*create-cluster* | *create-service-linked-role*) ;;
"ec2 create-"* | "iam create-"* | *create-repository* | *create-log-group* | "s3 mb"* | \\
    *attach-internet-gateway* | *authorize-* | *associate-route-table* | *add-role-to-*)
    [ -e "$CUTS/$name" ] || {
        "$AWS" "$@" >"$CUTS/$name" && kill -KILL $PPID
        exit
    } ;;
esac
exec "$AWS" "$@"
"""


def test_pasting_again_after_interrupted_calls_finds_what_they_made(english, moto, aws, tmp_path):
    """And then nothing is left over."""
    names = {"gitlab-runner-dev": "cut-ci", "ap-northeast-1": "eu-west-1"}
    directory, cuts, program = (tmp_path / name for name in ("cut", "cuts", "bin/aws"))
    for path in (directory, cuts, program.parent):
        path.mkdir()
    program.write_text(CUT)
    program.chmod(0o755)
    account = Account(english, moto, aws, directory, "zsh", names)
    whole = dict(account.environment)
    account.environment |= {
        "PATH": f"{program.parent}:{whole['PATH']}",
        "AWS": str(aws.programs / "aws"),
        "CUTS": str(cuts),
    }
    for block in account.by_hand():
        for _ in range(20):
            (directory / "statuses").write_text("")
            text = STRICT + guide.pasted([block], directory)
            done = guide.type_into("zsh", text, directory, account.environment)
            if (directory / "statuses").read_text() == f"{block.line} 0\n":
                break
        else:
            pytest.fail(f"{block}: {done.stderr[-3000:]}")
    assert len(list(cuts.iterdir())) == 13
    made = account.names()
    ec2 = account.client("ec2")
    own = [{"Name": "tag:Name", "Values": [made["CLUSTER"]]}]
    assert len(ec2.describe_subnets(Filters=own)["Subnets"]) == 4
    assert len(ec2.describe_security_groups(Filters=own)["SecurityGroups"]) == 3
    endpoints = ec2.describe_vpc_endpoints(Filters=own)["VpcEndpoints"]
    assert len(endpoints) == len({e["ServiceName"] for e in endpoints}) == 9
    account.environment = whole
    account.paste(account.blocks_of(UNINSTALL), before=STRICT)
    check_removed(account, made)


def test_own_networks_stay_and_what_is_missing_is_skipped(english, moto, aws, tmp_path):
    """A VPC of the reader, of which the guide went on to the security groups, one of them deleted
    in the console since."""
    ec2 = moto.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{i}.0/24")["Subnet"]["SubnetId"]
        for i in (1, 2)
    ]
    directory = tmp_path / "own"
    directory.mkdir()
    account = Account(english, moto, aws, directory, "zsh", {"gitlab-runner-dev": "own-vpc"})
    own = english.block("keep VPC vpc-")
    text = own.text.replace("vpc-0123456789abcdef0", vpc)
    for old, new in zip(("0123456789abcdef0", "0123456789abcdef1"), subnets, strict=True):
        text = text.replace(f"subnet-{old}", new)
    own = guide.Block("sh", text, own.line, own.heading, None)
    names, groups = [
        next(b for b in account.by_hand() if word in b.text)
        for word in ("cat >berth-guide.env", "once TASK_GROUP")
    ]
    account.paste([names, own, groups])
    made = account.names()
    assert made["VPC"] == vpc
    ec2.delete_security_group(GroupId=made["TASK_GROUP"])
    account.paste(account.blocks_of(UNINSTALL), before=STRICT)
    assert len(ec2.describe_subnets(SubnetIds=subnets)["Subnets"]) == 2
    own_groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    assert [g["GroupName"] for g in own_groups["SecurityGroups"]] == ["default"]
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_region_of_the_terminal_is_overridden(account):
    """AWS CloudShell sets AWS_REGION, which wins over AWS_DEFAULT_REGION in version 2."""
    shown = subprocess.run(
        ["sh", "-c", ". deploy/guide.sh && echo $AWS_REGION $AWS_DEFAULT_REGION"],
        check=True, capture_output=True, text=True, cwd=account.directory,
        env=account.environment | {"AWS_REGION": "x"},
    )  # fmt: skip
    assert shown.stdout.split() == [REGION, REGION]


def test_a_session_starts_where_nothing_can_be_written(english):
    """Session Manager's shell starts in /usr/bin, as a user without write access."""
    on_host = [b for b in english.blocks if b.on_host]
    assert len(on_host) > 3
    for block in on_host:
        for command in block.text.replace("\\\n", " ").splitlines():
            if "curl " in command:
                assert re.search(r"-o /root/", command), f"{block}: {command}"
            if " install -m " in command:
                assert "/root/" in command, f"{block}: {command}"


def check_removed(account, made):
    ec2, iam, ecs = (account.client(name) for name in ("ec2", "iam", "ecs"))
    of_vpc = [{"Name": "vpc-id", "Values": [made["VPC"]]}]
    assert made["VPC"] not in [v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]]
    assert ec2.describe_subnets(Filters=of_vpc)["Subnets"] == []
    endpoints = ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]
    assert {e["State"] for e in endpoints} <= {"deleted"}
    own = [{"Name": "tag:Name", "Values": [made["CLUSTER"]]}]
    assert ec2.describe_addresses(Filters=own)["Addresses"] == []
    states = [n["State"] for n in ec2.describe_nat_gateways()["NatGateways"]]
    assert set(states) <= {"deleted"}
    (reservation,) = ec2.describe_instances(InstanceIds=[made["INSTANCE"]])["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "terminated"
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []
    clusters = ecs.describe_clusters(clusters=[made["CLUSTER"]])["clusters"]
    assert [c["status"] for c in clusters if c["status"] != "INACTIVE"] == []
    roles = [r["RoleName"] for r in iam.list_roles()["Roles"]]
    assert [name for name in roles if name.startswith(made["CLUSTER"])] == []
    profiles = iam.list_instance_profiles()["InstanceProfiles"]
    assert [p for p in profiles if p["InstanceProfileName"].startswith(made["CLUSTER"])] == []
    assert account.client("ecr").describe_repositories()["repositories"] == []
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    buckets = [b["Name"] for b in account.client("s3").list_buckets()["Buckets"]]
    assert made["BUCKET"] not in buckets
    left = {p.name for p in account.directory.iterdir() if not p.name.startswith("line-")}
    assert left <= {"build", "deploy", "statuses", "wrong.toml", "other.toml"}


def test_uninstalling_leaves_nothing_in_zsh(private_account):
    made = private_account.names()
    private_account.paste(private_account.blocks_of(UNINSTALL), before=STRICT)
    check_removed(private_account, made)


def test_uninstalling_leaves_nothing(cleaned_account):
    check_removed(cleaned_account, cleaned_account.made)
