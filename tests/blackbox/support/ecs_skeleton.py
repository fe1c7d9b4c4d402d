# SPDX-License-Identifier: MIT
"""A task definition written by hand, as section 9 of the facts has it, and what a RunTask needs.

skeleton(...) is what RegisterTaskDefinition takes; overrides(...) gives both agents their keys.
"""

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
