# SPDX-License-Identifier: MIT
"""'berth-driver doctor': mistakes in subnets, routes and security groups."""

import os

from support.doctor import assert_reported, mistakes
from support.ecs_moto import REGION


def without(*keys):
    return lambda place: [place.fargate.pop(key) for key in keys]


def set_up(**fargate):
    return lambda place: place.fargate.update(fargate)


def subnets_answer(place, free):
    return (
        f"body:<DescribeSubnetsResponse><subnetSet><item><subnetId>{place.public}</subnetId>"
        f"<vpcId>{place.vpc}</vpcId><availableIpAddressCount>{free}</availableIpAddressCount></item>"
        "</subnetSet></DescribeSubnetsResponse>"
    )


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


def private(place):
    place.fargate.update(Subnet=place.private, EnablePublicIP=False)


BAD = [
    # name, change, the line, what to do
    ("no subnet named", without("Subnet"), "FAIL no subnet is set", "Subnet"),
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
        "FAIL subnet '.*' routes to the Internet gateway",
        "EnablePublicIP = true",
    ),
    (
        "no way out",
        private,
        "FAIL subnet '.*' cannot reach an image registry.*ecr.api, ecr.dkr, s3, logs",
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
        "warn no security group is set",
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
        "FAIL no security group rule allows TCP port 22",
        "authorize-security-group-ingress",
    ),
    ("open", open_group, "warn the security groups allow 0.0.0.0/0", "allow only"),
    (
        "far",
        far_group,
        "warn port 22 is open for '198.51.100.0/24', which contains no address",
        "another address",
    ),
]


@mistakes(BAD)
def test_reports_network_mistakes(place, change, line, remedy):
    os.umask(0o022)
    change(place)
    assert_reported(place, line, remedy)


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
    assert code == 0 and f"'{place.private}' has a default route to 'nat-" in out
    assert "and no VPC endpoints for ecr.api, ecr.dkr, s3" in out and "endpoint for S3" in out
    for service in ("ecr.api", "ecr.dkr", "s3"):
        place.moto.ec2.create_vpc_endpoint(
            VpcId=place.vpc, ServiceName=f"com.amazonaws.{REGION}.{service}"
        )
    code, out, _ = place.run()
    assert code == 0 and "has a default route to 'nat-" in out and "no VPC endpoints" not in out


def test_private_subnet_with_endpoints(place):
    for service in ("ecr.api", "ecr.dkr", "s3", "logs"):
        place.moto.ec2.create_vpc_endpoint(
            VpcId=place.vpc,
            ServiceName=f"com.amazonaws.{REGION}.{service}",
            VpcEndpointType="Gateway" if service == "s3" else "Interface",
        )
    private(place)
    code, out, _ = place.run()
    assert code == 0 and "has no default route, but VPC endpoints" in out
