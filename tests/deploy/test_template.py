# SPDX-License-Identifier: MIT
"""deploy/cloudformation/berth.yaml: cfn-lint on it, and what moto creates from it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cfnlint
import yaml

from deploy.stack import TEMPLATE, TOKEN, parameters, shellcheck, template
from support.ecs_moto import REGION

# What moto's CloudFormation does not create; the rest it does.
NOT_IN_MOTO = {
    "AWS::Budgets::Budget",
    "AWS::CloudFormation::WaitCondition",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::S3::BucketPolicy",
}
ENDPOINTS = {"ecr.api", "ecr.dkr", "logs", "ecs", "ec2", "sts", "ssm", "ssmmessages",
             "secretsmanager"}  # fmt: skip


def test_cfn_lint_has_no_findings():
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--regions", REGION, "us-east-1",
         "eu-central-1", "--include-checks", "I", "--format", "parseable", "--", TEMPLATE],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_words_with_a_colon_are_quoted_in_brackets():
    """Readers of YAML 1.1 differ about them, and CloudFormation's is not ours."""
    depth = 0
    for token in yaml.scan(TEMPLATE.read_text()):
        depth += isinstance(token, (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken))
        depth -= isinstance(token, (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken))
        if isinstance(token, yaml.ScalarToken) and token.plain and depth:
            assert ":" not in token.value, f"line {token.start_mark.line + 1}: {token.value}"


def test_it_needs_no_bucket():
    """'aws cloudformation deploy' sends a template of this size itself."""
    assert TEMPLATE.stat().st_size <= 51200


def test_every_parameter_is_in_a_group_and_described():
    whole = template()
    groups = whole["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(whole["Parameters"])
    assert all(row["Description"] for row in whole["Parameters"].values())
    required = {name for name, row in whole["Parameters"].items() if "Default" not in row}
    assert required == set(parameters("x"))


def test_no_value_can_leave_its_quotes():
    """Values become part of a shell script and of TOML files."""
    for name, row in template()["Parameters"].items():
        if row["Type"] == "Number" or "AllowedValues" in row:
            continue
        pattern = row["AllowedPattern"]
        assert pattern.startswith("^") and pattern.endswith("$"), name
        good = [parameters("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b-1")[name]
                if "Default" not in row else row["Default"]]  # fmt: skip
        for value in good:
            assert re.match(pattern, value), (name, value)
            for bad in "'\"\\$`\n {}":
                for text in (value + bad, bad + value, value[:9] + bad + value[9:]):
                    assert not re.fullmatch(pattern, text), (name, text)


def test_the_script_is_sound(stack):
    assert shellcheck(stack.user_data()) == ""


def test_the_script_fits(stack):
    """EC2 takes 16 KiB; a signed URL may have 2 KiB, and so may the wait condition's."""
    assert len(stack.user_data()) + 4096 < 16384


def test_moto_creates_all_but_these(stack):
    wanted = {logical: row["Type"] for logical, row in template()["Resources"].items()}
    del wanted["ExistingVpcS3Endpoint"]  # for an existing network
    missing = {kind for logical, kind in wanted.items() if logical not in stack.resources}
    assert missing == NOT_IN_MOTO
    assert {kind for kind, _ in stack.resources.values()} == set(wanted.values()) - NOT_IN_MOTO


def test_the_host_waits_for_its_network():
    """By the host itself: CloudFormation refuses updates of a wait condition's handle."""
    whole = template()["Resources"]
    assert set(whole["SetupHandle"]) == {"Type"}
    needed = {"AWS::EC2::Route", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPCEndpoint"}
    named = set(re.findall(r"'Ref': '(\w+)'", str(whole["RunnerHost"]["Metadata"])))
    assert {logical for logical, row in whole.items() if row["Type"] in needed} <= named


def test_each_host_is_waited_for(stack):
    """The creation of the stack by the wait condition, which has a reason, and each host by its
    signal. The condition must not wait for the host, which waits for the same script."""
    whole = template()["Resources"]
    waiting = [logical for logical, row in whole.items() if "CreationPolicy" in row]
    assert waiting == ["RunnerHost"]
    assert whole["RunnerHost"]["CreationPolicy"]["ResourceSignal"]["Count"] == 1
    assert "--logical-resource-id RunnerHost " in stack.user_data()
    needed, seen = {"Setup"}, set()
    while needed - seen:
        logical = (needed - seen).pop()
        seen.add(logical)
        row = whole[logical]
        after = row.get("DependsOn", [])
        needed |= {after} if isinstance(after, str) else set(after)
        needed |= set(re.findall(r"'(?:Ref|Fn::GetAtt)': \[?'(\w+)'", str(row))) & set(whole)
    assert "HostPolicy" in seen and "RunnerHost" not in seen


def test_all_resources_are_allowed_only_where_aws_knows_no_others():
    """By cfn-lint's copy of AWS's reference. ListTasks has the cluster as a condition."""
    data = Path(cfnlint.__file__).with_name("data") / "AdditionalSpecs/Policies.json"
    known = json.loads(data.read_text())
    statements = [
        statement
        for row in template()["Resources"].values()
        if row["Type"] in ("AWS::IAM::Role", "AWS::IAM::Policy")
        for policy in [row["Properties"], *row["Properties"].get("Policies", [])]
        if "PolicyDocument" in policy
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert len(statements) > 15
    everywhere = set()
    for statement in statements:
        if statement["Effect"] == "Allow" and statement["Resource"] in ("*", ["*"]):
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            everywhere |= {(action, "Condition" in statement) for action in actions}
    assert len(everywhere) > 8
    for action, conditional in everywhere:
        service, _, name = action.partition(":")
        of_action = known[service]["Actions"][name.lower()]
        assert not of_action.get("Resources") or conditional, action


def test_the_token_is_nowhere_but_in_its_secret(stack):
    shown = json.dumps([stack.outputs, stack.parameters]) + stack.user_data() + TEMPLATE.read_text()
    assert TOKEN not in shown and TOKEN.removeprefix("glrt-") not in shown


def test_a_new_network_is_public(stack):
    ec2 = stack.moto.ec2
    subnets = [stack.id("SubnetA"), stack.id("SubnetB")]
    assert stack.outputs["Subnets"] == ",".join(subnets)
    found = ec2.describe_subnets(SubnetIds=subnets)["Subnets"]
    assert len({row["AvailabilityZone"] for row in found}) == 2
    assert {row["VpcId"] for row in found} == {stack.outputs["Vpc"]}
    for subnet in subnets:
        filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
        (table,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
        gateways = {r.get("DestinationCidrBlock"): r.get("GatewayId") for r in table["Routes"]}
        assert gateways["0.0.0.0/0"] == stack.id("InternetGateway")


def endpoints(moto, vpc):
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    found = moto.ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    return {row["ServiceName"].removeprefix(f"com.amazonaws.{REGION}."): row for row in found}


def test_endpoints_are_an_option(stack):
    """The stack has them all; the one below has none but that for S3."""
    found = endpoints(stack.moto, stack.outputs["Vpc"])
    assert set(found) == {"s3"} | ENDPOINTS
    assert found["s3"]["RouteTableIds"] == [stack.id("Routes")]
    for name in ENDPOINTS:
        assert found[name]["PrivateDnsEnabled"], name
        assert found[name]["SubnetIds"] == [stack.id("SubnetA"), stack.id("SubnetB")]
    rules = ingress(stack, "EndpointGroup")
    assert {(port, source) for port, source in rules} == {
        ((443, 443), stack.id("HostGroup")),
        ((443, 443), stack.id("TaskGroup")),
    }


def ingress(stack, group):
    found = stack.moto.ec2.describe_security_groups(GroupIds=[stack.id(group)])["SecurityGroups"]
    rules = []
    for rule in found[0]["IpPermissions"]:
        assert rule["IpProtocol"] == "tcp" and not rule["IpRanges"] and not rule.get("Ipv6Ranges")
        for pair in rule["UserIdGroupPairs"]:
            rules.append(((rule["FromPort"], rule["ToPort"]), pair["GroupId"]))
    return rules


def test_jobs_are_reached_by_the_host_alone(stack):
    assert ingress(stack, "HostGroup") == []
    assert ingress(stack, "TaskGroup") == [((22122, 22123), stack.id("HostGroup"))]


def test_the_host(stack):
    host = stack.host()
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert host["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert [group["GroupId"] for group in host["SecurityGroups"]] == [stack.id("HostGroup")]
    assert host["InstanceType"] == "t4g.small" and host["SubnetId"] == stack.id("SubnetA")
    assert host["PublicIpAddress"]
    iam = stack.moto.client("iam")
    profile = iam.get_instance_profile(InstanceProfileName=stack.id("HostProfile"))
    assert host["IamInstanceProfile"]["Arn"] == profile["InstanceProfile"]["Arn"]
    managed = iam.list_attached_role_policies(RoleName=stack.id("HostRole"))["AttachedPolicies"]
    assert [row["PolicyName"] for row in managed] == ["AmazonSSMManagedInstanceCore"]
    (disk,) = template()["Resources"]["HostTemplate"]["Properties"]["LaunchTemplateData"][
        "BlockDeviceMappings"
    ]
    assert disk["Ebs"]["Encrypted"] is True


def test_the_hosts_image_is_of_its_processor(moto):
    """By the public parameters of Amazon Linux 2023."""
    whole, ssm = template(), moto.client("ssm")
    types = whole["Parameters"]["InstanceType"]["AllowedValues"]
    assert set(types) == set(whole["Mappings"]["Processors"])
    name, _ = whole["Resources"]["HostTemplate"]["Properties"]["LaunchTemplateData"]["ImageId"][
        "Fn::Sub"
    ]
    for kind in types:
        processor = whole["Mappings"]["Processors"][kind]["Name"]
        assert processor == ("arm64" if kind.startswith("t4g.") else "x86_64")
        parameter = name.replace("${Processor}", processor)
        assert parameter.startswith("{{resolve:ssm:") and parameter.endswith("}}")
        ssm.get_parameter(Name=parameter[14:-2])


def test_the_cache_is_private_and_expires(stack):
    s3 = stack.moto.client("s3")
    (rule,) = s3.get_bucket_encryption(Bucket=stack.outputs["CacheBucket"])[
        "ServerSideEncryptionConfiguration"
    ]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    # moto's CloudFormation drops the rest.
    bucket = template()["Resources"]["CacheBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled" and rule["ExpirationInDays"] == {"Ref": "CacheDays"}


def test_what_is_deleted_with_the_stack():
    """Nothing is kept; the repository is emptied, the bucket by hand."""
    for logical, row in template()["Resources"].items():
        assert row.get("DeletionPolicy", "Delete") == "Delete", logical
    assert template()["Resources"]["Repository"]["Properties"]["EmptyOnDelete"] is True


def test_cluster_log_and_repository(stack):
    (cluster,) = stack.moto.ecs.describe_clusters(clusters=[stack.outputs["Cluster"]])["clusters"]
    assert sorted(cluster["capacityProviders"]) == ["FARGATE", "FARGATE_SPOT"]
    groups = stack.moto.client("logs").describe_log_groups()["logGroups"]
    kept = {group["logGroupName"]: group["retentionInDays"] for group in groups}
    assert kept[stack.outputs["LogGroup"]] == 14
    name = stack.outputs["Repository"].partition("/")[2]
    (found,) = stack.moto.client("ecr").describe_repositories(repositoryNames=[name])[
        "repositories"
    ]
    assert found["imageTagMutability"] == "IMMUTABLE"


def test_jobs_may_do_nothing_and_their_roles_are_for_this_account(stack):
    iam = stack.moto.client("iam")
    assert stack.policies("TaskRole") == {}
    assert not iam.list_attached_role_policies(RoleName=stack.id("TaskRole"))["AttachedPolicies"]
    for role in ("TaskRole", "ExecutionRole"):
        (trust,) = iam.get_role(RoleName=stack.id(role))["Role"]["AssumeRolePolicyDocument"][
            "Statement"
        ]
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    for statement in stack.policies("ExecutionRole")["execution"]["Statement"]:
        if statement["Action"] != "ecr:GetAuthorizationToken":
            arn = statement["Resource"]
            assert arn.endswith((stack.outputs["Repository"].partition("/")[2],
                                 f"log-group:{stack.outputs['LogGroup']}:*"))  # fmt: skip


def test_an_existing_network(stack, own_network):
    """Nothing of a network is made but the groups, and the endpoint of the route table given."""
    made = {kind for kind, _ in own_network.resources.values() if kind.startswith("AWS::EC2::")}
    assert made == {
        "AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint", "AWS::EC2::LaunchTemplate",
        "AWS::EC2::Instance",
    }  # fmt: skip
    assert "ExistingVpcS3Endpoint" in own_network.resources
    subnets = stack.outputs["Subnets"].split(",")
    assert own_network.host()["SubnetId"] == subnets[1]
    assert not own_network.host().get("PublicIpAddress")
    script = own_network.user_data()
    assert f'Subnets = ["{subnets[1]}", "{subnets[0]}"]' in script
    assert "EnablePublicIP = false" in script and "Spot = true" in script
    assert 'AllowedImages = ["node:*", "r.example/**"]' in script
    assert "CONCURRENT='20'" in script and own_network.outputs["Vpc"] == stack.outputs["Vpc"]
