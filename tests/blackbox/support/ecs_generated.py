# SPDX-License-Identifier: MIT
"""A job with an image of its own on the play of ECS (ecs_play.py).

The images are directories: the agent's with nothing else, the helper with what this machine has
(git) and a stand-in for gitlab-runner-helper, and a busybox for the job. No registry has their
names, so that look-ups find nothing.
"""

import json

import pytest

from support.ecs import EcsJob

AGENT, HELPER, JOB = "nowhere.invalid/agent:1", "nowhere.invalid/helper:1", "nowhere.invalid/job:1"
RUNNER_HELPER = '#!/bin/sh\necho "stand-in for gitlab-runner-helper: $*"\n'


class GeneratedJob(EcsJob):
    """ecs_job with AllowedImages, an agent's image and a helper's; image() is what the job asks
    for, 'response' the rest of the job as GitLab sends it."""

    def __init__(self, driver, directory, cloud, job_id=4711):
        super().__init__(driver, directory, cloud, job_id)
        self.response = json.loads(self.response_file.read_text())
        self.fargate["AllowedImages"] = ["nowhere.invalid/*"]
        self.helper = driver.settings.setdefault("Helper", {})
        self.helper |= {"AgentImage": AGENT, "Image": HELPER}
        driver.settings["SSH"]["Username"] = "root"
        self.image(JOB)

    def image(self, name, **more):
        self.response["image"] = {"name": name, **more}
        self.env["CUSTOM_ENV_CI_JOB_IMAGE"] = name
        self.write()

    def services(self, *services):
        self.response["services"] = list(services)
        self.write()

    def variables(self, *rows):
        """(key, value), and what else GitLab says of it: public=True, masked=True."""
        self.response["variables"] = [
            {"key": key, "value": value, "public": False, "masked": False, **more}
            for key, value, more in rows
        ]
        self.env |= {f"CUSTOM_ENV_{key}": value for key, value, _ in rows}
        self.write()

    def start_prepare(self):
        return self.driver.start("custom", "prepare", env=self.env)

    def nothing_kept(self):
        return [path for path in super().nothing_kept() if path.name != ".registries"]

    def write(self):
        self.response_file.write_text(json.dumps(self.response))


def add_images(cloud, directory):
    images = cloud.containers.images
    script = directory / "gitlab-runner-helper"
    script.write_text(RUNNER_HELPER)
    script.chmod(0o755)
    images.add_agent(AGENT)
    images.add(HELPER, "/", files={"/usr/bin/gitlab-runner-helper": script})
    images.add_busybox(JOB)
    return images


@pytest.fixture
def generated_job(berth_driver, cloud, tmp_path):
    """A job with an image; cleanup must succeed and leave no task."""
    cloud.containers.check()
    add_images(cloud, tmp_path)
    cloud.provisioning_s = cloud.pending_s = cloud.running_s = 0.02
    directory = tmp_path / "job"
    directory.mkdir()
    instance = GeneratedJob(berth_driver, directory, cloud)
    yield instance
    instance.finish()
