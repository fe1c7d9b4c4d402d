# SPDX-License-Identifier: MIT
"""What ECS refuses, and fills in, and moto does not: rules over requests (ecs.py).

Each rule is a generator of messages over a request; the first one is the answer. Texts marked
[seen] were copied from public reports of real answers; the others are in their manner, so that a
test may rely on their error code and not on their words. Limits: fact sheet of issue 16, sections
1 and 8 (botocore's model, Developer Guide).
"""

import copy
import itertools
import json
import re

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
ECR_IMAGE = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com")
DEFINITION_BYTES = 65536
CONTAINERS = 10
OVERRIDES = 8192
TAGS = 50
TOKEN = 64
GIB = 1024
# CPU units: MiB of memory that Fargate has with them
FARGATE_SIZES = {
    256: (512, 1 * GIB, 2 * GIB),
    512: range(1 * GIB, 4 * GIB + 1, GIB),
    1024: range(2 * GIB, 8 * GIB + 1, GIB),
    2048: range(4 * GIB, 16 * GIB + 1, GIB),
    4096: range(8 * GIB, 30 * GIB + 1, GIB),
    8192: range(16 * GIB, 60 * GIB + 1, 4 * GIB),
    16384: range(32 * GIB, 120 * GIB + 1, 8 * GIB),
}
# Of a container definition on Fargate, section 1 of the facts
NOT_ON_FARGATE = (
    "disableNetworking", "dnsServers", "dnsSearchDomains", "dockerSecurityOptions", "extraHosts",
    "links", "hostname", "privileged", "resourceRequirements",
)  # fmt: skip
NOT_IN_LINUX_PARAMETERS = ("devices", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness")
CONDITIONS = ("START", "COMPLETE", "SUCCESS", "HEALTHY")
LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
AWSLOGS_OPTIONS = ("awslogs-group", "awslogs-region", "awslogs-stream-prefix")


def json_length(value):
    """Characters of a value as JSON without blanks."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def size_number(text, unit):
    """ "1024", "1 vCPU", "2GB" as CPU units or MiB; None: not a size."""
    match = re.fullmatch(rf"\s*([\d.]+)\s*({unit})?\s*", str(text), re.IGNORECASE)
    if match is None:
        return None
    return int(float(match[1]) * (1024 if match[2] else 1))


def size_problems(cpu, memory):
    """Of a task on Fargate."""
    for name, value in (("cpu", cpu), ("memory", memory)):
        if not value:
            yield f"Fargate requires that '{name}' be defined at the task level."
    units, mib = size_number(cpu, "vCPU"), size_number(memory, "GB")
    if mib not in FARGATE_SIZES.get(units, ()):
        yield "No Fargate configuration exists for given values."  # [seen]


def _on_fargate(request):
    return "FARGATE" in request.get("requiresCompatibilities", [])


def _repeated(names):
    seen = set()
    return [name for name in names if name in seen or seen.add(name)]


def _name_problems(request):
    if not NAME.match(request["family"]):
        yield "Family contains invalid characters."
    named = [(c.get("name", ""), "Container name") for c in request["containerDefinitions"]]
    named += [(v.get("name", ""), "Volume name") for v in request.get("volumes", [])]
    for name, what in named:
        if not NAME.match(name):
            yield f"{what} '{name}' contains invalid characters."
    for name, what in _repeated(named):
        yield f"{what} '{name}' must be unique."


def _whole_problems(request):
    length = json_length({k: v for k, v in request.items() if k != "tags"})
    if length > DEFINITION_BYTES:
        # [seen] awsdocs/amazon-ecs-developer-guide#149
        yield f"Actual length: '{length}'. Max allowed length is '{DEFINITION_BYTES}' bytes."
    containers = request["containerDefinitions"]
    if len(containers) > CONTAINERS:
        yield "Too many containers."  # [seen] amazon-ecs-cli#184
    if not any(container.get("essential", True) for container in containers):
        yield "TaskDefinition must have at least one essential container."


def _image_problems(request):
    for container in request["containerDefinitions"]:
        image = container.get("image", "")
        if not image:
            yield "Container.image should not be null or empty."
        if len(image) > 255:
            yield "Container.image should be 255 characters or less"  # [seen] terraform#22629


def _dependency_problems(request):
    containers = {c["name"]: c for c in request["containerDefinitions"]}
    for container in containers.values():
        for row in container.get("dependsOn", []):
            on, condition = row["containerName"], row["condition"]
            if condition not in CONDITIONS:
                yield f"Invalid container dependency condition '{condition}'."
            if on not in containers:
                # [seen] eagletmt/hako#99
                yield f"Cannot depend on container + '{on}' because it does not exist"
                return
            if condition in ("SUCCESS", "COMPLETE") and containers[on].get("essential", True):
                yield (  # [seen] boto3#2436
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an "
                    "essential container"
                )
            if condition == "HEALTHY" and "healthCheck" not in containers[on]:
                yield "A dependency container with HEALTHY condition must have a health check"
    if not start_order(containers.values()):
        yield "Container dependencies have a cycle"


def start_order(containers):
    """Names in an order in which they can start; empty if there is none."""
    waiting = {c["name"]: {d["containerName"] for d in c.get("dependsOn", [])} for c in containers}
    order = []
    while waiting:
        ready = [name for name, on in waiting.items() if on <= set(order)]
        if not ready:
            return []
        order += ready
        for name in ready:
            del waiting[name]
    return order


def _mount_problems(request):
    volumes = {volume["name"] for volume in request.get("volumes", [])}
    names = {container["name"] for container in request["containerDefinitions"]}
    for container in request["containerDefinitions"]:
        for mount in container.get("mountPoints", []):
            if mount.get("sourceVolume") not in volumes:
                yield f"Unknown volume '{mount.get('sourceVolume')}'."
            if not mount.get("containerPath", "").startswith("/"):
                yield f"Invalid container path '{mount.get('containerPath')}'."
        for row in container.get("volumesFrom", []):
            if row.get("sourceContainer") not in names:
                yield f"Unknown container '{row.get('sourceContainer')}' in volumesFrom."


def _variable_problems(request):
    for container in request["containerDefinitions"]:
        names = [row["name"] for row in container.get("environment", [])]
        secrets = [row["name"] for row in container.get("secrets", [])]
        for name in _repeated(secrets + names):
            if name in secrets:
                yield (  # [seen]
                    "The secret name must be unique and not shared with any new or existing "
                    f"environment variables set on the container, such as '{name}'."
                )


def _range_problems(request):
    ranges = {"startTimeout": (2, 120), "stopTimeout": (2, 120)}
    health = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
    for container in request["containerDefinitions"]:
        rows = [(container, ranges), (container.get("healthCheck", {}), health)]
        rows.append((container.get("restartPolicy", {}), {"restartAttemptPeriod": (60, 1800)}))
        for at, limits in rows:
            for name, (low, high) in limits.items():
                if name in at and not low <= at[name] <= high:
                    yield f"Invalid {name} '{at[name]}': it must be from {low} to {high}."
        if len(container.get("restartPolicy", {}).get("ignoredExitCodes", [])) > 50:
            yield "Too many ignoredExitCodes."
    storage = request.get("ephemeralStorage", {}).get("sizeInGiB", 21)
    if not 21 <= storage <= 200:
        yield "Invalid ephemeral storage setting: it must be from 21 to 200 GiB."


def _fargate_problems(request):
    if request.get("networkMode", "awsvpc") != "awsvpc" or "networkMode" not in request:
        yield "Fargate only supports network mode ‘awsvpc’."  # [seen]
    yield from size_problems(request.get("cpu"), request.get("memory"))
    if "ipcMode" in request:
        # [seen] cn-terraform/terraform-aws-ecs-fargate#2
        yield "Tasks using the Fargate launch type do not support ipcMode."
    if request.get("pidMode", "task") != "task":
        yield "Tasks using the Fargate launch type only support pidMode 'task'."
    for name in ("placementConstraints", "inferenceAccelerators"):
        if request.get(name):
            yield f"Tasks using the Fargate launch type do not support {name}."
    for volume in request.get("volumes", []):
        if volume.get("host", {}).get("sourcePath"):
            yield "host.sourcePath should not be set for volumes in Fargate."  # [seen]
        if "dockerVolumeConfiguration" in volume:
            yield "dockerVolumeConfiguration should not be set for volumes in Fargate."


def _fargate_container_problems(request):
    for container in request["containerDefinitions"]:
        for name in NOT_ON_FARGATE:
            if container.get(name):
                yield f"Fargate compatible task definitions do not support {name}"
        linux = container.get("linuxParameters", {})
        for name in NOT_IN_LINUX_PARAMETERS:
            if linux.get(name) is not None and linux[name] != []:
                yield f"Fargate compatible task definitions do not support {name}"
        if set(linux.get("capabilities", {}).get("add", [])) - {"SYS_PTRACE"}:
            yield "Fargate compatible task definitions only support adding SYS_PTRACE"
        for port in container.get("portMappings", []):
            if port.get("hostPort", port["containerPort"]) not in (0, port["containerPort"]):
                yield (  # [seen]
                    "When networkMode=awsvpc, the host ports and container ports in port mappings "
                    "must match."
                )
        log = container.get("logConfiguration")
        if log and log["logDriver"] not in LOG_DRIVERS:
            yield f"Fargate does not support the log driver {log['logDriver']}."
        if log and log["logDriver"] == "awslogs":
            for name in AWSLOGS_OPTIONS:
                if name not in log.get("options", {}):
                    yield f"Log driver awslogs requires options: {name}"  # [seen]


def _fargate_sum_problems(request):
    for name, unit in (("cpu", "vCPU"), ("memory", "GB")):
        total = sum(c.get(name, 0) for c in request["containerDefinitions"])
        if total > (size_number(request.get(name, "0"), unit) or 0):
            yield f"The sum of all container '{name}' is greater than the task's '{name}'."


def _role_problems(request):
    if "executionRoleArn" in request:
        return
    for container in request["containerDefinitions"]:
        if container.get("logConfiguration", {}).get("logDriver") == "awslogs":
            yield (  # [seen] virtual-kubelet#193
                "Fargate requires task definition to have execution role ARN to support log "
                "driver awslogs."
            )
        if ECR_IMAGE.match(container["image"]):
            yield (  # [seen]
                "Fargate requires task definition to have execution role ARN to support ECR images."
            )
        if "repositoryCredentials" in container:
            yield "Fargate requires execution role ARN to support private registry authentication."
        if container.get("secrets"):
            yield (  # [seen]
                "When you are specifying container secrets, you must also specify a value for "
                "'executionRoleArn'."
            )


RULES = (
    _whole_problems, _name_problems, _image_problems, _dependency_problems, _mount_problems,
    _variable_problems, _range_problems,
)  # fmt: skip
FARGATE_RULES = (
    _fargate_problems, _fargate_container_problems, _fargate_sum_problems, _role_problems,
)  # fmt: skip


def tag_problem(tags):
    """(code, message), or None."""
    if len(tags) > TAGS:
        return "InvalidParameterException", "Too many tags."
    for tag in tags:
        if not 1 <= len(tag["key"]) <= 128 or len(tag.get("value", "")) > 256:
            return "InvalidParameterException", "Invalid tag length."
        if tag["key"].lower().startswith("aws:"):
            return "InvalidParameterException", "Tag keys must not begin with aws:."
    for key in _repeated([tag["key"] for tag in tags]):
        return "InvalidParameterException", f"Duplicate tag key {key}."
    return None


def definition_problem(request):
    """(code, message) of RegisterTaskDefinition, or None."""
    if not request["containerDefinitions"]:
        return "ClientException", "Container list cannot be empty."
    rules = RULES + (FARGATE_RULES if _on_fargate(request) else ())
    for text in itertools.chain.from_iterable(rule(request) for rule in rules):
        return "ClientException", text
    return tag_problem(request.get("tags", []))


def _run_problems(request):
    overrides = request.get("overrides", {})
    if overrides and json_length(overrides) > OVERRIDES:
        # [seen] convox/rack#1906 and others
        yield f"Container Overrides length must be at most {OVERRIDES}"
    if not 1 <= request.get("count", 1) <= 10:
        yield "Invalid task count: it must be from 1 to 10."
    if len(request.get("clientToken", "")) > TOKEN:
        yield f"clientToken must have at most {TOKEN} characters."
    if len(request.get("startedBy", "")) > 128:
        yield "startedBy length should be less than or equal to 128."
    if request.get("launchType") and request.get("capacityProviderStrategy"):
        yield (  # [seen]
            "Specifying both a launch type and capacity provider strategy is not supported. "
            "Remove one and try again."
        )
    network = request.get("networkConfiguration", {}).get("awsvpcConfiguration")
    if network is None:
        yield (  # [seen]
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    elif not 1 <= len(network["subnets"]) <= 16:
        yield "subnets must have 1 to 16 members."
    elif len(network.get("securityGroups", [])) > 5:
        yield "securityGroups can have at most 5 items."


def _run_of_definition_problems(request, definition):
    overrides = request.get("overrides", {})
    names = {container["name"] for container in definition["containerDefinitions"]}
    rows = overrides.get("containerOverrides", [])
    for row in rows:
        if row.get("name") not in names:
            yield (  # [seen]
                f"Override for container named {row.get('name')} is not a container in the "
                "TaskDefinition."
            )
    for name in _repeated([row.get("name") for row in rows]):
        yield f"Container {name} has more than one override."
    launch_type = request.get("launchType")
    if launch_type and launch_type not in definition.get("requiresCompatibilities", [launch_type]):
        yield f"Task definition does not support launch_type {launch_type}."  # [seen]
    if _on_fargate(definition):
        sizes = [overrides.get(name, definition.get(name)) for name in ("cpu", "memory")]
        yield from size_problems(*sizes)
    storage = overrides.get("ephemeralStorage", {}).get("sizeInGiB", 21)
    if not 21 <= storage <= 200:
        yield "Invalid ephemeral storage setting: it must be from 21 to 200 GiB."


def run_problem(request, definition=None):
    """(code, message) of RunTask, or None. 'definition': as it was registered, if known."""
    rules = _run_problems(request)
    if definition is not None:
        rules = itertools.chain(rules, _run_of_definition_problems(request, definition))
    for text in rules:
        return "InvalidParameterException", text
    return tag_problem(request.get("tags", []))


COMPATIBILITIES = {"MANAGED_INSTANCES": "MANAGED_INSTANCES", "EC2_AUTOSCALING": "EC2"}


def capacity_problem(request, definition, providers):
    """(code, message) of RunTask about the strategy, or None. 'providers': kinds by name of those
    beside Fargate's."""
    names = [item["capacityProvider"] for item in request.get("capacityProviderStrategy", [])]
    found = {COMPATIBILITIES[providers[n]] if n in providers else "FARGATE" for n in names}
    if len(found) > 1:
        return "InvalidParameterException", (
            "A capacity provider strategy cannot contain a mix of capacity providers."
        )
    if not found & set(COMPATIBILITIES.values()):
        return None
    if "platformVersion" in request:
        return "InvalidParameterException", "The platform version must be null."
    network = request["networkConfiguration"]["awsvpcConfiguration"]
    if network.get("assignPublicIp") == "ENABLED":
        return "InvalidParameterException", (  # [seen]
            "Assign public IP is not supported for this launch type."
        )
    allowed = (definition or {}).get("requiresCompatibilities", found)
    if not found & set(allowed):
        (kind,) = found
        return "InvalidParameterException", f"Task definition does not support launch_type {kind}."
    return None


def _read_back_container(container):
    """As it is described: AWS fills in, and has its own order."""
    found = {"cpu": 0, "portMappings": [], "essential": True, "environment": [], "mountPoints": []}
    found |= {"volumesFrom": [], "systemControls": []} | copy.deepcopy(container)
    found["environment"].sort(key=lambda row: row["name"], reverse=True)
    for port in found["portMappings"]:
        port.setdefault("hostPort", port["containerPort"])
        port.setdefault("protocol", "tcp")
    if "healthCheck" in found:
        found["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3} | found["healthCheck"]
    if "logConfiguration" in found:
        found["logConfiguration"].setdefault("secretOptions", [])
    return found


def read_back(request):
    """A registered definition as AWS describes it, without what names the revision."""
    found = copy.deepcopy({name: value for name, value in request.items() if name != "tags"})
    found["containerDefinitions"] = [
        _read_back_container(container) for container in request["containerDefinitions"]
    ]
    found["volumes"] = [{"host": {}, **volume} for volume in found.get("volumes", [])]
    for volume in found["volumes"]:
        if len(volume) > 2:
            del volume["host"]
    found.setdefault("placementConstraints", [])
    attribute = "com.amazonaws.ecs.capability.docker-remote-api.1.18"
    found["requiresAttributes"] = [{"name": attribute}, {"name": "ecs.capability.task-eni"}]
    found["compatibilities"] = sorted({"EC2", *found.get("requiresCompatibilities", [])})
    return found
