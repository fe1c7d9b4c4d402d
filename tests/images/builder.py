# SPDX-License-Identifier: MIT
"""Builds dockerfiles/ on an engine, with the stand-ins of standins.py for what is out of reach."""

import standins

TOP = standins.TOP
RUNNER = "ruby3.3.0-node16.18.1"
RUNNER_TAG = f"{RUNNER}-runner"
DEBIAN, ALPINE = "debian:bookworm-slim", "alpine:3.22"
GITLAB_RUNNER = "gitlab/gitlab-runner:alpine-v18.11.3"
BUILD_DEADLINE_S = 3000


class Builder:
    def __init__(self, engine):
        self.engine = engine

    def bases(self):
        """The base images under the names that the Dockerfiles use."""
        archive = standins.debian_tar()
        # Imported under a name of its own first, so that a newer archive is noticed.
        mark = f"berth-test/{archive.stem}"
        if not self.engine.has_image(mark):
            with open(archive, "rb") as tar:
                self.engine.import_image(mark, tar, ['CMD ["bash"]'])
        self.engine.docker("tag", mark, DEBIAN)
        if not self.engine.has_image(ALPINE):
            self.engine.import_image(
                ALPINE, standins.alpine_tar(), ["ENV PATH=/bin:/usr/local/bin"]
            )
        self.engine.import_image(GITLAB_RUNNER, standins.gitlab_runner_tar())

    def agent_image(self, program, tag="berth-agent"):
        """What dockerfiles/agent makes, around an agent that is built already."""
        self.build(
            "-", tag, text="FROM scratch\nCOPY berth-agent /berth-agent\n", top=program.parent
        )

    def build(self, dockerfile, tag, arguments=None, text=None, top=TOP, buildkit=True, words=()):
        """docker build; returns what it wrote. 'text' is the Dockerfile itself."""
        command = ["build", "--platform=linux/amd64", "--progress=plain", "-t", tag, *words]
        if not buildkit:
            command.remove("--progress=plain")
        command += ["-f", dockerfile]
        for name, value in (arguments or {}).items():
            command += ["--build-arg", f"{name}={value}"]
        done = self.engine.docker(
            *command, top, cwd=top, buildkit=buildkit, input=text, timeout=BUILD_DEADLINE_S
        )
        return done.stdout + done.stderr

    def runner(self, tag=RUNNER_TAG, top=TOP, certificate=None, buildkit=True, **arguments):
        """The runner image: the README's command with the stand-ins as build arguments. They come
        by HTTPS when there is a (certificate, key) for them."""
        root = standins.downloads()
        with standins.served(root, certificate) as address:
            given = {
                "BASE_DIGEST": "",
                "GITLAB_RUNNER_DIGEST": "",
                "NODE_MIRROR": address,
                "NODE_SHA256_AMD64": standins.sha256(
                    root / f"v{standins.NODE}/node-v{standins.NODE}-linux-x64.tar.gz"
                ),
                "RBENV_MIRROR": address,
                "RBENV_RELEASE": standins.RBENV,
                "RBENV_SHA256": standins.sha256(root / f"v{standins.RBENV}.tar.gz"),
                "RUBY_BUILD_MIRROR": address,
                "RUBY_MIRROR": address,
                "RUBY_SHA256": standins.sha256(root / "ruby-3.3.0.tar.gz"),
            }
            return self.build(
                f"dockerfiles/{RUNNER}/Dockerfile", tag, {**given, **arguments}, top=top,
                buildkit=buildkit, words=["--network=host"],
            )  # fmt: skip
