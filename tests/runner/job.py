# SPDX-License-Identifier: MIT
"""A CI job as GitLab would send it: variables, repository, script, artifacts, cache."""

from dataclasses import dataclass, field


@dataclass
class Job:
    """What the stand-in needs to know of a job.

    repository_url, sha, ref   what get_sources fetches; an empty URL: GIT_STRATEGY=none
    variables                  the user's own; file_variables become files, their paths exported
    artifacts, cache           paths below the project directory
    cache_urls                 presigned (GET, PUT) of the cache, as the runner makes them for S3
    artifact_server            URL that the job's 'gitlab-runner' uploads to
    dependencies               ids of jobs whose artifacts are downloaded from there
    submodules                 whether GIT_SUBMODULE_STRATEGY is recursive
    runner_command             that 'gitlab-runner' inside the job's container
    """

    script: list
    after_script: list = field(default_factory=list)
    variables: dict = field(default_factory=dict)
    file_variables: dict = field(default_factory=dict)
    artifacts: list = field(default_factory=list)
    artifacts_when: str = "on_success"
    cache: list = field(default_factory=list)
    cache_urls: tuple = ()
    artifact_server: str = ""
    dependencies: list = field(default_factory=list)
    submodules: bool = False
    runner_command: str = "gitlab-runner"
    repository_url: str = ""
    sha: str = ""
    ref: str = "main"
    id: int = 4711
    name: str = "build"
    stage: str = "test"
    project_path: str = "group/project"
    image: str = ""
    services: list = field(default_factory=list)
    token: str = "job-token-not-a-secret"
    timeout_s: float = 3600.0

    def predefined(self, builds_dir, cache_dir, project_dir):
        """The variables that GitLab and the runner define, as one dictionary."""
        namespace, _, project = self.project_path.rpartition("/")
        server = "https://gitlab.example"
        return {
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_SERVER": "yes",
            "CI_SERVER_NAME": "GitLab",
            "CI_SERVER_URL": server,
            "CI_SERVER_HOST": "gitlab.example",
            "CI_SERVER_VERSION": "18.4.0",
            "CI_API_V4_URL": f"{server}/api/v4",
            "CI_JOB_ID": str(self.id),
            "CI_JOB_NAME": self.name,
            "CI_JOB_STAGE": self.stage,
            "CI_JOB_TOKEN": self.token,
            "CI_JOB_URL": f"{server}/{self.project_path}/-/jobs/{self.id}",
            "CI_JOB_IMAGE": self.image,
            "CI_JOB_TIMEOUT": str(int(self.timeout_s)),
            "CI_PIPELINE_ID": "815",
            "CI_PROJECT_ID": "42",
            "CI_PROJECT_NAME": project,
            "CI_PROJECT_NAMESPACE": namespace,
            "CI_PROJECT_PATH": self.project_path,
            "CI_PROJECT_URL": f"{server}/{self.project_path}",
            "CI_COMMIT_SHA": self.sha,
            "CI_COMMIT_SHORT_SHA": self.sha[:8],
            "CI_COMMIT_REF_NAME": self.ref,
            "CI_REPOSITORY_URL": self.repository_url,
            "CI_RUNNER_ID": "7",
            "CI_RUNNER_DESCRIPTION": "stand-in",
            "CI_RUNNER_SHORT_TOKEN": "t1_standin",
            "CI_CONCURRENT_ID": "0",
            "CI_CONCURRENT_PROJECT_ID": "0",
            "CI_BUILDS_DIR": builds_dir,
            "CI_CACHE_DIR": cache_dir,
            "CI_PROJECT_DIR": project_dir,
            "RUNNER_TEMP_PROJECT_DIR": f"{project_dir}.tmp",
            "FF_USE_NEW_BASH_EVAL_STRATEGY": "true",
        }

    def response(self, variables):
        """The job as JOB_RESPONSE_FILE carries it: what GitLab sent, which users cannot forge."""
        steps = [
            {
                "name": "script",
                "script": self.script,
                "timeout": int(self.timeout_s),
                "when": "on_success",
                "allow_failure": False,
            }
        ]
        if self.after_script:
            steps.append(
                {
                    "name": "after_script",
                    "script": self.after_script,
                    "timeout": 300,
                    "when": "always",
                    "allow_failure": True,
                }
            )
        return {
            "id": self.id,
            "token": self.token,
            "allow_git_fetch": True,
            "job_info": {
                "name": self.name,
                "stage": self.stage,
                "project_id": 42,
                "project_name": self.project_path.rpartition("/")[2],
            },
            "git_info": {
                "repo_url": self.repository_url,
                "ref": self.ref,
                "sha": self.sha,
                "ref_type": "branch",
                "depth": 20,
            },
            "runner_info": {"timeout": int(self.timeout_s)},
            "variables": [
                {
                    "key": key,
                    "value": value,
                    "public": True,
                    "masked": False,
                    "file": key in self.file_variables,
                }
                for key, value in variables.items()
            ],
            "steps": steps,
            "image": {"name": self.image},
            "services": self.services,
            "artifacts": [{"name": self.name, "paths": self.artifacts, "when": self.artifacts_when}]
            if self.artifacts
            else [],
            "cache": [{"key": "default", "paths": self.cache}] if self.cache else [],
        }
