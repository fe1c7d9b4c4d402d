# SPDX-License-Identifier: MIT
"""The guide's commands, run in order with the AWS CLI against moto, create what its text says."""

import ipaddress
import json
import re
import subprocess
import tomllib
import urllib.request

import pytest

from docs import guide
from docs.conftest import DRIVER, REGION

# The first test runs the fixture: all commands of the guide.
pytestmark = pytest.mark.timeout(900)


def policy(account, role, name):
    return account.client("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


def allowed(document):
    """(action, resources) of each statement, lists throughout."""
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        actions, resources = statement["Action"], statement["Resource"]
        resources = [resources] if isinstance(resources, str) else resources
        for action in [actions] if isinstance(actions, str) else actions:
            yield action, resources


def routes_of(account, subnet):
    ec2 = account.client("ec2")
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (table,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    return {route.get("DestinationCidrBlock"): route for route in table["Routes"]}


def test_subnets_are_where_the_text_says(account):
    names, ec2 = account.names(), account.client("ec2")
    subnets = [names["PUBLIC_SUBNET"], names["SUBNET_A"], names["SUBNET_B"]]
    found = ec2.describe_subnets(SubnetIds=subnets)["Subnets"]
    by_id = {one["SubnetId"]: one for one in found}
    assert {one["VpcId"] for one in found} == {names["VPC"]}
    a, b = by_id[names["SUBNET_A"]], by_id[names["SUBNET_B"]]
    assert a["AvailabilityZone"] != b["AvailabilityZone"]
    assert ipaddress.ip_network(a["CidrBlock"]).num_addresses == 4096
    assert not any(one["MapPublicIpOnLaunch"] for one in found)


def test_private_subnets_use_the_nat_gateway(account):
    names = account.names()
    for subnet in (names["SUBNET_A"], names["SUBNET_B"]):
        assert routes_of(account, subnet)["0.0.0.0/0"]["NatGatewayId"] == names["NAT_GATEWAY"]
    way_out = routes_of(account, names["PUBLIC_SUBNET"])["0.0.0.0/0"]
    assert way_out["GatewayId"] == names["INTERNET_GATEWAY"]


def test_endpoints_cover_what_tasks_and_host_need(account):
    filters = [{"Name": "vpc-id", "Values": [account.names()["VPC"]]}]
    found = account.client("ec2").describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    services = {e["ServiceName"].removeprefix(f"com.amazonaws.{REGION}."): e for e in found}
    assert set(services) == {
        *("s3", "ecr.api", "ecr.dkr", "logs", "ecs", "ec2", "sts", "ssm", "ssmmessages")
    }
    assert services["s3"]["VpcEndpointType"] == "Gateway"
    assert services["ecr.api"]["PrivateDnsEnabled"]


def test_tasks_accept_the_host_on_three_ports_and_nothing_else(account):
    names, ec2 = account.names(), account.client("ec2")

    def ingress(group):
        found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        return found["IpPermissions"]

    assert ingress(names["HOST_GROUP"]) == []
    rules = ingress(names["TASK_GROUP"])
    assert sorted((rule["FromPort"], rule["ToPort"]) for rule in rules) == [
        (22, 22),
        (22122, 22123),
    ]
    for rule in rules:
        assert rule["IpProtocol"] == "tcp"
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [names["HOST_GROUP"]]
        assert not rule["IpRanges"] and not rule.get("Ipv6Ranges")


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


def test_task_definition_is_one_that_the_driver_can_use(account):
    names, ecs = account.names(), account.client("ecs")
    found = ecs.describe_task_definition(taskDefinition="ruby330-node16181-runner")
    task = found["taskDefinition"]
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


def test_runner_host_has_least_privilege(account):
    document = policy(account, "gitlab-runner-dev-host", "berth-driver")
    for action, resources in allowed(document):
        assert "*" not in action
        if re.match(r"(ecs:(RunTask|StopTask|DescribeTasks)|iam:PassRole)$", action):
            assert "*" not in resources, action
    attached = account.client("iam").list_attached_role_policies(RoleName="gitlab-runner-dev-host")
    names = [one["PolicyName"] for one in attached["AttachedPolicies"]]
    assert names == ["AmazonSSMManagedInstanceCore"]


def test_runner_host_is_private_and_asks_for_imdsv2(account):
    names, ec2 = account.names(), account.client("ec2")
    (reservation,) = ec2.describe_instances(InstanceIds=[names["INSTANCE"]])["Reservations"]
    (host,) = reservation["Instances"]
    assert host["SubnetId"] == names["SUBNET_A"]
    assert [group["GroupId"] for group in host["SecurityGroups"]] == [names["HOST_GROUP"]]
    assert host["IamInstanceProfile"]["Arn"].endswith("/gitlab-runner-dev-host")
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert host["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


def test_printed_commands_download_the_files(account):
    printed = account.output_of(account.guide.block("aws s3 presign")).splitlines()
    wanted = {"berth-driver": DRIVER.read_bytes()}
    for name in ("fargate.toml", "config.toml"):
        wanted[name] = (account.directory / name).read_bytes()
    found = {}
    for line in printed:
        if match := re.match(r'sudo curl -fsS -o /root/([\w.-]+) "(http.+)"$', line):
            with urllib.request.urlopen(match.group(2), timeout=20) as answer:
                found[match.group(1)] = answer.read()
    assert found == wanted


def test_config_toml_names_the_driver_for_every_stage(account):
    config = tomllib.loads((account.directory / "config.toml").read_text())
    (runner,) = config["runners"]
    assert runner["executor"] == "custom"
    assert runner["url"] == "https://gitlab.com/"
    for stage in ("config", "prepare", "run", "cleanup"):
        assert runner["custom"][f"{stage}_exec"] == "/opt/gitlab-runner/fargate"
        arguments = runner["custom"][f"{stage}_args"]
        assert arguments == ["--config", "/etc/gitlab-runner/fargate.toml", "custom", stage]


def test_fargate_toml_names_the_resources(account):
    names = account.names()
    config = tomllib.loads((account.directory / "fargate.toml").read_text())
    assert config["Fargate"]["Subnets"] == [names["SUBNET_A"], names["SUBNET_B"]]
    assert config["Fargate"]["SecurityGroup"] == names["TASK_GROUP"]
    assert config["Fargate"]["Cluster"] == "gitlab-runner-dev"
    assert config["Fargate"]["Region"] == REGION
    assert config["TaskMetadata"]["Directory"] == "/opt/gitlab-runner/metadata"


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
    """The TOML blocks of the later sections, each added to the guide's file."""
    base = (account.directory / "fargate.toml").read_text()
    blocks = [b for b in account.guide.blocks if b.language == "toml"]
    ours = [b for b in blocks if "[[runners]]" not in b.text]
    assert len(ours) >= 4
    for block in ours:
        text = base
        for table, keys in re.findall(r"^\[(\w+)\]\n((?:\w+ = .*\n)+)", block.text, re.M):
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


# --- conditions of real terminals and accounts that moto does not have


def run_block(account, tmp_path, containing, programs="", **env):
    """One block with the guide's names and other variables."""
    (block,) = [b for b in account.guide.blocks if b.runs and containing in b.text]
    environment = account.environment | env
    environment["PATH"] = f"{programs}:{environment['PATH']}" if programs else environment["PATH"]
    keep = guide.Block("sh", "keep() { :; }\n", 0, "", None)
    return guide.run([keep, block], tmp_path, environment, timeout_s=120)


def test_region_of_the_terminal_is_overridden(account):
    """AWS CloudShell sets AWS_REGION, which wins over AWS_DEFAULT_REGION in version 2."""
    shown = subprocess.run(
        ["bash", "-c", f"cd {account.directory} && . ./berth-guide.env && "
         "echo $AWS_REGION $AWS_DEFAULT_REGION"],
        check=True, capture_output=True, text=True, env=account.environment | {"AWS_REGION": "x"},
    )  # fmt: skip
    assert shown.stdout.split() == [REGION, REGION]


def test_the_bucket_can_be_made_in_virginia_too(account, tmp_path):
    """us-east-1 accepts no location constraint."""
    (block,) = [b for b in account.guide.blocks if "aws s3 presign" in b.text]
    made = block.text.partition("for file in")[0]
    env = account.environment | {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}
    env |= {"CLUSTER": "virginia", "ACCOUNT": "1"}
    part = guide.Block("sh", "keep() { :; }\n" + made, 0, "", None)
    done = guide.run([part], tmp_path, env, timeout_s=120)
    assert done.returncode == 0, done.stderr
    account.client("s3").delete_bucket(Bucket="virginia-setup-1")


def test_a_cluster_waits_for_the_service_role(account, tmp_path):
    """ECS cannot assume a new role for some seconds."""
    fake = tmp_path / "aws"
    fake.write_text(
        '#!/bin/sh\n[ "$2" = create-cluster ] || exit 0\n'
        f"echo x >>{tmp_path}/tries\n"
        f"[ $(wc -l <{tmp_path}/tries) -ge 3 ] || "
        '{ echo "Unable to assume the service linked role." >&2; exit 254; }\n'
        "echo arn:aws:ecs:r:1:cluster/c\n"
    )
    fake.chmod(0o755)
    sleep = tmp_path / "sleep"
    sleep.write_text("#!/bin/sh\n")
    sleep.chmod(0o755)
    done = run_block(account, tmp_path, "create-service-linked-role", tmp_path, CLUSTER="c")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tries").read_text() == "x\n" * 3


def test_a_session_starts_where_nothing_can_be_written(english):
    """Session Manager's shell starts in /usr/bin, as a user without write access."""
    on_host = [b for b in english.blocks if b.not_run and "runner host" in b.not_run]
    assert len(on_host) > 3
    for block in on_host:
        for command in block.text.replace("\\\n", " ").splitlines():
            if "curl " in command:
                assert re.search(r"-o /root/", command), f"line {block.line}: {command}"
            if " install -m " in command:
                assert "/root/" in command, f"line {block.line}: {command}"


def test_policy_is_the_one_that_doctor_prints(account):
    done = driver(account, "doctor", "--policy")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    written = policy(account, "gitlab-runner-dev-host", "berth-driver")
    for row, shown in zip(printed["Statement"], written["Statement"], strict=True):
        assert row == shown


def test_cleaning_up_leaves_nothing(cleaned_account):
    account, made = cleaned_account, cleaned_account.made
    ec2, iam, ecs = (account.client(name) for name in ("ec2", "iam", "ecs"))
    of_vpc = [{"Name": "vpc-id", "Values": [made["VPC"]]}]
    assert made["VPC"] not in [v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]]
    assert ec2.describe_subnets(Filters=of_vpc)["Subnets"] == []
    endpoints = ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]
    assert {e["State"] for e in endpoints} <= {"deleted"}
    assert ec2.describe_addresses()["Addresses"] == []
    states = [n["State"] for n in ec2.describe_nat_gateways()["NatGateways"]]
    assert set(states) <= {"deleted"}
    (reservation,) = ec2.describe_instances(InstanceIds=[made["INSTANCE"]])["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "terminated"
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []
    clusters = ecs.describe_clusters(clusters=["gitlab-runner-dev"])["clusters"]
    assert [c["status"] for c in clusters if c["status"] != "INACTIVE"] == []
    roles = [r["RoleName"] for r in iam.list_roles()["Roles"]]
    assert [name for name in roles if name.startswith("gitlab-runner-dev")] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert account.client("ecr").describe_repositories()["repositories"] == []
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    assert account.client("s3").list_buckets()["Buckets"] == []
    left = {p.name for p in account.directory.iterdir() if not p.name.startswith("line-")}
    assert left <= {"build", "guide.sh", "wrong.toml", "other.toml", ".aws"}
