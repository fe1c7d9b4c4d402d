# SPDX-License-Identifier: MIT
"""A task definition written by hand, what a RunTask needs, and AWS's own client to run it.

skeleton(...) is what RegisterTaskDefinition takes; overrides(...) gives both agents their keys.
"""

import boto3

from support.ecs_moto import KEYS, REGION
from support.waiting import until

JOB, HELPER, INJECT = "ci-coordinator", "berth-helper", "berth-inject"
JOB_PORT, HELPER_PORT = 22122, 22123
AGENT = "/.berth/berth-agent"
PLACE = ["/berth-agent", "place", "/.berth", "--builds", "/builds"]
COPY = [
    "/busybox",
    "sh",
    "-c",
    "/busybox cp /berth-agent /.berth/berth-agent && /busybox chmod 0755 /.berth/berth-agent && "
    "/busybox chmod 1777 /builds",
]


def mounts(*rows):
    """("berth", "/.berth", True) is read-only."""
    return [
        {"sourceVolume": name, "containerPath": path, "readOnly": read_only}
        for name, path, read_only in rows
    ]


def skeleton(
    family="berth-test",
    job="example/job:1",
    helper="example/helper:1",
    agent="example/agent:1",
    inject=PLACE,
    services=(),
    **more,
):
    """agent, inject: image and command line of berth-inject; services: container definitions that
    are added."""
    after = [{"containerName": INJECT, "condition": "SUCCESS"}]
    own = mounts(("berth", "/.berth", True), ("builds", "/builds", False))
    containers = [
        {
            "name": INJECT,
            "image": agent,
            "essential": False,
            "user": "0",
            "entryPoint": inject,
            "mountPoints": mounts(("berth", "/.berth", False), ("builds", "/builds", False)),
        },
        {
            "name": HELPER,
            "image": helper,
            "user": "0",
            "entryPoint": [AGENT, "--listen", f":{HELPER_PORT}"],
            "dependsOn": after,
            "mountPoints": own,
        },
        {
            "name": JOB,
            "image": job,
            "entryPoint": [AGENT, "--listen", f":{JOB_PORT}"],
            "dependsOn": after,
            "mountPoints": own,
        },
        *services,
    ]
    return {
        "family": family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "volumes": [{"name": "berth"}, {"name": "builds"}],
        "containerDefinitions": containers,
        **more,
    }


def overrides(client_key, job_key, helper_key):
    """Of RunTask: a key that logs in to both, and a host key each (support/keys.py)."""
    return {
        "containerOverrides": [
            {
                "name": name,
                "environment": [
                    {"name": "SSH_PUBLIC_KEY", "value": client_key.public},
                    {"name": "BERTH_HOST_KEY_SEED", "value": host_key.seed_base64},
                ],
            }
            for name, host_key in ((JOB, job_key), (HELPER, helper_key))
        ]
    }


def ecs_client(cloud, **more):
    """AWS's client for a Cloud (ecs.py)."""
    return boto3.client(
        "ecs",
        endpoint_url=cloud.url,
        region_name=REGION,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        **more,
    )


class Play:
    """Runs definitions in a Cloud whose tasks start at once. 'images': what the test put there;
    'client': AWS's own."""

    def __init__(self, cloud, images, deadline_s=100):
        self.cloud, self.client, self.images = cloud, ecs_client(cloud), images
        self.deadline_s = deadline_s
        cloud.provisioning_s = cloud.pending_s = cloud.running_s = 0.02

    def run(self, definition, **more):
        """Its task."""
        registered = self.client.register_task_definition(**definition)["taskDefinition"]
        network = {"subnets": [self.cloud.subnets[0]], "securityGroups": [self.cloud.group]}
        answer = self.client.run_task(
            cluster=self.cloud.cluster,
            taskDefinition=registered["taskDefinitionArn"],
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": network},
            **more,
        )
        return self.cloud.tasks[answer["tasks"][0]["taskArn"]]

    def described(self, task):
        answer = self.client.describe_tasks(cluster=self.cloud.cluster, tasks=[task.arn])
        (found,) = answer["tasks"]
        return found

    def ended(self, task):
        """(description, {name: its container}) once the task is STOPPED."""
        until(lambda: self.described(task)["lastStatus"] == "STOPPED", self.deadline_s)
        found = self.described(task)
        return found, {row["name"]: row for row in found["containers"]}
