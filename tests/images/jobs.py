# SPDX-License-Identifier: MIT
"""A whole job for an image: what it does in the runner's image and in one without Ruby and Node."""

from runner.job import Job


class WholeJob:
    """Its volumes for the container, the job, and whether it went as it should.

    'repository' is (path, hash of its one commit); 'full': the image has Node and Ruby.
    """

    def __init__(self, repository, directory, full):
        self.source, self.sha = repository
        self.out = directory / "artifacts"
        self.out.mkdir()
        self.full = full
        script = ["pwd >result.txt", "git log --oneline", 'test -z "$SSH_PUBLIC_KEY"']
        if full:
            script += ["npm run t", "ruby -e 'puts \"from ruby\"' >>result.txt"]
        self.volumes = [f"{self.source}:/source:ro", f"{self.out}:/artifacts"]
        self.job = Job(
            script=script,
            repository_url="file:///source",
            sha=self.sha,
            artifacts=["result.txt"],
            artifact_server="file:///artifacts",
        )

    def check(self, result, log):
        assert result.status == "success", log
        assert f"Checking out {self.sha[:8]}" in log
        if self.full:  # the other has no gitlab-runner for artifacts either
            assert "\n42\n" in log
            wanted = "/builds/group/project\nfrom ruby\n"
            assert (self.out / "4711/result.txt").read_text() == wanted
