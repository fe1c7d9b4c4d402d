# SPDX-License-Identifier: MIT
"""moto's server with CloudFormation, as deploy/cloudformation/berth.yaml needs it.

moto's CloudFormation drops most properties of some resources. What the template gives is passed on
here: zones, task definitions and clusters whole, instances by their launch template, names of hosts
in a VPC, route tables of subnets, policies of roles, lower-case names of repositories, and outputs.
"""

import json
import sys
import types
from pathlib import Path

import botocore

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))


def stub(name, **members):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)


# CloudFormation imports all services; API Gateway wants a package for OpenAPI documents.
stub("openapi_spec_validator", validate=None)
stub("openapi_spec_validator.validation")
stub("openapi_spec_validator.validation.exceptions", OpenAPIValidationError=Exception)

from moto import server  # noqa: E402
from moto.cloudformation import parsing  # noqa: E402
from moto.cloudformation.models import ChangeSet  # noqa: E402
from moto.ec2.models import ec2_backends  # noqa: E402
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend  # noqa: E402
from moto.ec2.models.instances import Instance  # noqa: E402
from moto.ec2.models.route_tables import RouteTable  # noqa: E402
from moto.ec2.models.subnets import SubnetRouteTableAssociation  # noqa: E402
from moto.ec2.models.vpcs import VPC  # noqa: E402
from moto.ecr.models import Repository  # noqa: E402
from moto.ecs.models import Cluster, TaskDefinition, ecs_backends  # noqa: E402
from moto.iam.models import Role, iam_backends  # noqa: E402
from moto.ssm.models import ssm_backends  # noqa: E402

from support import moto_server  # noqa: E402
from support.ecs_moto import REGION  # noqa: E402

motos_clean_json = parsing.clean_json


def clean_json(value, resources):
    """moto's zones are 'a' to 'd' in every region."""
    if isinstance(value, dict) and "Fn::GetAZs" in value:
        return [zone.name for zone in RegionsAndZonesBackend.zones[REGION]]
    return motos_clean_json(value, resources)


parsing.clean_json = clean_json
motos_apply = ChangeSet.apply


def apply(change_set):
    """'aws cloudformation deploy' makes a change set. moto's new stack would have no outputs."""
    stack = change_set.stack
    if change_set.change_set_type != "CREATE":
        motos_apply(change_set)
        return
    stack.template, stack.template_dict = change_set.template, change_set.template_dict
    stack.resource_map = stack._create_resource_map()
    stack.output_map = stack._create_output_map()
    stack.resource_map.create(stack.template_dict)


ChangeSet.apply = apply


def camel(value):
    """Names as the API has them; those of a log's options begin with a small letter anyway."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: camel(item) for name, item in value.items()}
    return value


def arguments(properties):
    return {botocore.xform_name(name): camel(value) for name, value in properties.items()}


def replaces(kind):
    """The function makes resources of this kind: (name, properties, account, region, moto's)."""

    def change(make):
        motos = kind.create_from_cloudformation_json

        def create(name, cloudformation_json, account_id, region_name, **more):
            def before(name=name):
                return motos(name, cloudformation_json, account_id, region_name, **more)

            return make(name, cloudformation_json["Properties"], account_id, region_name, before)

        kind.create_from_cloudformation_json = staticmethod(create)
        return make

    return change


@replaces(TaskDefinition)
def task_definition(_name, properties, account, region, _motos):
    return ecs_backends[account][region].register_task_definition(**arguments(properties))


@replaces(Cluster)
def cluster(name, properties, account, region, _motos):
    return ecs_backends[account][region].create_cluster(cluster_name=name, **arguments(properties))


@replaces(Repository)
def repository(name, _properties, _account, _region, motos):
    return motos(name.lower())


@replaces(VPC)
def vpc(_name, properties, _account, _region, motos):
    made = motos()
    made.enable_dns_hostnames = bool(properties["EnableDnsHostnames"])
    return made


@replaces(Role)
def role(_name, properties, account, _region, motos):
    made = motos()
    for arn in properties.get("ManagedPolicyArns", []):
        iam_backends[account]["aws"].attach_role_policy(arn, made.name)
    for policy in properties.get("Policies", []):
        made.put_policy(policy["PolicyName"], json.dumps(policy["PolicyDocument"]))
    return made


@replaces(SubnetRouteTableAssociation)
def association(_name, properties, account, region, motos):
    ec2_backends[account][region].associate_route_table(
        properties["RouteTableId"], subnet_id=properties["SubnetId"]
    )
    return motos()


@replaces(Instance)
def instance(_name, properties, account, region, _motos):
    backend = ec2_backends[account][region]
    wanted = properties["LaunchTemplate"]
    data = (
        backend.get_launch_template(wanted["LaunchTemplateId"]).get_version(wanted["Version"]).data
    )
    (network,) = data["NetworkInterfaces"]
    parameter = data["ImageId"].removeprefix("{{resolve:ssm:").removesuffix("}}")
    reservation = backend.run_instances(
        image_id=ssm_backends[account][region].get_parameter(parameter).value,
        count=1,
        user_data=data["UserData"],
        security_group_names=[],
        security_group_ids=network["Groups"],
        subnet_id=network["SubnetId"],
        associate_public_ip=network["AssociatePublicIpAddress"] == "true",
        instance_type=data["InstanceType"],
        is_instance_type_default=False,
        metadata_options=data["MetadataOptions"],
        block_device_mappings=data["BlockDeviceMappings"],
        region_name=region,
    )
    (made,) = reservation.instances
    backend.associate_iam_instance_profile(
        made.id, iam_instance_profile_arn=data["IamInstanceProfile"]["Arn"]
    )
    return made


def delete_route_table(table, _account, _region):
    """moto's CloudFormation keeps it, and so the VPC."""
    table.ec2_backend.route_tables.pop(table.id)


RouteTable.delete = delete_route_table
motos_delete_role = Role.delete_from_cloudformation_json


def delete_role(name, resource, account, region):
    backend = iam_backends[account]["aws"]
    for arn in list(backend.get_role(name).managed_policies):
        backend.detach_role_policy(arn, name)
    motos_delete_role(name, resource, account, region)


Role.delete_from_cloudformation_json = staticmethod(delete_role)


if __name__ == "__main__":
    server.DomainDispatcherApplication = moto_server.OneAtATime
    server.main()
