# SPDX-License-Identifier: MIT
"""Whole jobs on ECS through a stand-in for GitLab Runner: clone, submodule, cache, artifacts.

Their containers are those of the play (ecs_play.py): the job's images have no git; the helper's is
made of this machine's git, git-lfs and bash, with a stand-in for gitlab-runner-helper that does
real uploads and downloads (host_image.py). The cache is in moto's S3.
"""

import io
import json
import subprocess
import tarfile
import types

import pytest

from runner import job as runner_job
from runner.gitlab_runner import Runner
from support.ecs import CONTAINER
from support.ecs_generated import HELPER, JOB
from support.git_server import GitServer, private_server
from support.host_image import helper_tar, installed
from support.proxy import Proxy

BUILDS = "/builds/group/project"
BYTES = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def helper_root(tmp_path_factory):
    """The root directory of the helper's image."""
    root = tmp_path_factory.mktemp("helper-image")
    root.chmod(0o755)
    subprocess.run(["tar", "-x", "-C", root], input=helper_tar(), check=True)
    return root


@pytest.fixture
def job(generated_job, cloud, helper_root):
    """Its helper is the image of helper_root."""
    cloud.containers.images.add(HELPER, helper_root, env={"PATH": "/usr/bin:/bin"})
    return generated_job


@pytest.fixture
def server(cloud, tmp_path):
    (tmp_path / "repositories").mkdir()
    with GitServer(tmp_path / "repositories", cloud.containers.host) as instance:
        yield instance


@pytest.fixture
def project(server):
    """(URL, commit) of a repository with a submodule."""
    library = server.repository("group/library", {"lib.txt": "from the submodule\n"})
    sha = server.repository(
        "group/project", {"blob": BYTES, "sub/file": "x"},
        submodules={"lib": ("../library.git", library)},
    )  # fmt: skip
    return {"repository_url": server.url("group/project"), "sha": sha, "submodules": True}


@pytest.fixture
def run(job, cloud):
    """run(script, ...): a whole job; its id, log and result, which must be 'status'."""
    ids = iter(range(4711, 4800))

    def whole(script, image=JOB, status="success", **how):
        log, number = [], next(ids)
        wanted = runner_job.Job(
            script=script, image=image, id=number, token=f"glcbt-{number}", timeout_s=90, **how
        )
        command = [job.driver.program, "--config", job.driver.config(), "custom"]
        env = job.driver.environment(**cloud.environment())
        result = Runner(command, wanted, log.append, env=env, prepare_pause_s=0).run()
        text = b"".join(log).decode(errors="replace")
        assert result.status == status, text
        assert cloud.running() == [] and job.nothing_kept() == []
        return types.SimpleNamespace(id=number, log=text, result=result)

    return whole


def artifact(server, job, name):
    """Bytes of a file that the job uploaded."""
    with tarfile.open(fileobj=io.BytesIO(server.artifacts[str(job.id)])) as tar:
        return tar.extractfile(name).read()


def test_sources_artifacts_and_a_service(job, run, server, project):
    """The second job gets the first one's bytes."""
    job.fargate["AllowedServices"] = ["nowhere.invalid/*"]
    service = {
        "name": JOB,
        "alias": "echo",
        "entrypoint": ["/bin/nc", "-ll", "-p", "5432", "-e", "cat"],
        "variables": [{"key": "HEALTHCHECK_TCP_PORT", "value": "5432"}],
    }
    first = run(
        ["! type git gitlab-runner", "cat lib/lib.txt", "cat blob blob >out.bin",
         "echo by name | nc -w 1 echo 5432"],
        services=[service], artifacts=["out.bin"], artifact_server=server.base, **project,
    )  # fmt: skip
    assert "from the submodule\n" in first.log and "\nby name\n" in first.log, first.log
    assert f"Checking out {project['sha'][:8]}" in first.log
    config = first.result.config
    assert (config["builds_dir"], config["cache_dir"]) == ("/builds", "/cache")
    assert artifact(server, first, "out.bin") == BYTES * 2
    second = run(
        ["cp out.bin again.bin"], dependencies=[first.id],
        artifacts=["again.bin"], artifact_server=server.base, **project,
    )  # fmt: skip
    assert artifact(server, second, "again.bin") == BYTES * 2


def test_a_private_ca(job, run, cloud, helper_root, tmp_path):
    """CI_SERVER_TLS_CA_FILE, though the helper's ENTRYPOINT, which adds CAs, does not run."""
    environment = {"PATH": "/usr/bin:/bin"}
    cloud.containers.images.add(HELPER, helper_root, entrypoint=["/bin/false"], env=environment)
    with private_server(tmp_path, cloud.containers.host) as (place, ca):
        trusted = {"CI_SERVER_TLS_CA_FILE": ca}
        done = run(["cat file"], file_variables=trusted, **place)
        assert "\ncloned\n" in done.log, done.log
        failed = run(["cat file"], status="failed", **place)
        assert "certificate" in failed.log and "\ncloned\n" not in failed.log, failed.log


def test_a_job_that_fails(run, server, project):
    """Its code is reported; artifacts for failures are uploaded by the helper."""
    job = run(
        ["echo kept >out", "(exit 7)"], after_script=["echo after $CI_JOB_STATUS"], status="failed",
        artifacts=["out"], artifacts_when="on_failure", artifact_server=server.base, **project,
    )  # fmt: skip
    assert (job.result.reason, job.result.exit_code) == ("script_failure", 7), job.log
    assert "\nafter failed\n" in job.log and artifact(server, job, "out") == b"kept\n"


def test_large_files_of_git(job, server):
    """git-lfs of the helper; the job sees the content."""
    if not installed("/usr/bin/git-lfs"):
        pytest.skip("not installed: git-lfs")
    files = {".gitattributes": "*.bin filter=lfs -text\n", "a.bin": server.large_file(BYTES)}
    server.repository("group/large", files)
    assert job.stage("prepare").returncode == 0
    script = f"git clone -q {server.url('group/large')} /builds/p; cd /builds/p; cat a.bin\n"
    script += "git lfs install --local && git lfs pull\n"
    done = job.run(script, "get_sources")
    assert done.returncode == 0 and b"oid sha256:" in done.stdout, done.stderr
    assert job.run("cat /builds/p/a.bin\n").stdout == BYTES


@pytest.fixture
def cache(cloud, moto):
    """A bucket: .urls as the runner presigns them for the scripts, .content()."""
    proxy = Proxy(moto.port, address=cloud.containers.host, server="127.0.0.1")
    place = {"Bucket": cloud.cluster, "Key": "project/42/default"}
    s3 = moto.client("s3")
    s3.create_bucket(
        Bucket=cloud.cluster,
        CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name},
    )
    urls = tuple(
        s3.generate_presigned_url(method, Params=place).replace(
            moto.url, f"http://{cloud.containers.host}:{proxy.port}"
        )
        for method in ("get_object", "put_object")
    )

    def content():
        return s3.get_object(**place)["Body"].read()

    yield types.SimpleNamespace(urls=urls, content=content)
    proxy.close()


def test_a_cache_in_s3_between_two_jobs(run, cache):
    """Each job has a task, and so a /cache, of its own."""
    make = "test -f kept/k && cat kept/k || { mkdir kept; echo made once >kept/k; }"
    for found in (False, True):
        job = run([make], cache=["kept"], cache_urls=cache.urls)
        assert ("\nmade once\n" in job.log) == found, job.log
        assert ("No cache file found" in job.log) != found, job.log
    with tarfile.open(fileobj=io.BytesIO(cache.content())) as tar:
        assert tar.extractfile("kept/k").read() == b"made once\n"


@pytest.fixture
def user_image(cloud, helper_root, programs):
    """With git and a user of its own."""
    if programs.sanitized:
        pytest.skip("the leak checker cannot look at a process of another user there")
    name = "nowhere.invalid/user:1"
    cloud.containers.images.add(name, helper_root, user="4321:4321", env={"PATH": "/usr/bin:/bin"})
    return name


def test_a_job_whose_user_is_not_root(run, server, project, user_image):
    """It owns the clone, so that git takes it; it writes file variables, GITLAB_ENV and HOME."""
    job = run(
        ["id -u", "stat -c %u:%a . sub .git blob lib/lib.txt", "git status --short",
         "git -C lib log --format=%s", "cat $SECRET", "echo new >$SECRET",
         'echo "MADE=by the job" >>$GITLAB_ENV', "echo x >~/kept && echo HOME is $HOME",
         "echo more >>sub/file", "touch made"],
        after_script=["cat ~/kept", 'echo "after: $MADE"'],
        file_variables={"SECRET": "the content\n"},
        variables={
            "GITLAB_ENV": f"{BUILDS}.tmp/gitlab_runner_env",
            "FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR": "true",
        },
        image=user_image, artifacts=["made", "sub"], artifact_server=server.base, **project,
    )  # fmt: skip
    modes = "".join(f"4321:{mode}\n" for mode in (755, 755, 755, 644, 644))
    assert "\n4321\n" in job.log and f"\n{modes}" in job.log, job.log
    assert "dubious" not in job.log and "the content\n" in job.log, job.log
    assert "\none\n" in job.log and "HOME is /builds/" in job.log, job.log
    assert "\nafter: by the job\n" in job.log, job.log
    assert artifact(server, job, "sub/file") == b"xmore\n"


def test_git_in_the_helper_after_the_hand_over(job, user_image):
    """'artifacts: untracked' asks it, in a directory that is the job's user's by then."""
    job.image(user_image)
    assert job.stage("prepare").returncode == 0
    assert job.run("git init -q /builds/p\n", "get_sources").returncode == 0
    assert job.run("touch /builds/p/new; stat -c %u /builds/p\n").stdout == b"4321\n"
    own = "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=a.b GIT_CONFIG_VALUE_0=c"  # the job's variables
    for variables in ("", f"export {own}\n"):
        script = f"{variables}cd /builds/p; id -u; git ls-files -o\n"
        done = job.run(script, "upload_artifacts_on_success")
        assert done.stdout == b"0\nnew\n", done.stderr


def test_a_scratch_image_with_one_program(run, cloud, server, project, programs):
    """Its user is not root."""
    user = "" if programs.sanitized else "4321:4321"
    name = "nowhere.invalid/one:1"
    cloud.containers.images.add_scratch(name, {"/app": programs.agent}, user=user)
    job = run(
        ["cat lib/lib.txt", "/app identity | tee out"],
        image=name, artifacts=["out"], artifact_server=server.base, **project,
    )  # fmt: skip
    assert "from the submodule\n" in job.log, job.log
    assert artifact(server, job, "out") == (b"4321 4321\n" if user else b"0 0\n")


def test_a_prepared_image_is_unchanged(job, run, cloud, server, project, helper_root, programs):
    """Without AllowedImages: the configured definition with its one container, and no helper. What
    the job names is ignored."""
    agent = "/usr/local/bin/berth-agent"
    cloud.containers.images.add(
        "nowhere.invalid/prepared:1", helper_root, entrypoint=[agent],
        command=["--listen", ":2222"], env={"PATH": "/usr/bin:/bin"}, files={agent: programs.agent},
    )  # fmt: skip
    cloud.definitions.define(
        family="prepared", cpu="256", memory="512", networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        containerDefinitions=[{"name": CONTAINER, "image": "nowhere.invalid/prepared:1"}],
    )  # fmt: skip
    del job.fargate["AllowedImages"]
    del job.driver.settings["Helper"]
    job.fargate["TaskDefinition"] = "prepared"
    job.driver.settings["SSH"]["Port"] = 2222
    done = run(
        ["cat lib/lib.txt", "type git", "cp blob out.bin"], runner_command="gitlab-runner-helper",
        artifacts=["out.bin"], artifact_server=server.base, **project,
    )  # fmt: skip
    assert "from the submodule\n" in done.log and "builds_dir" not in done.result.config, done.log
    assert artifact(server, done, "out.bin") == BYTES
    (request,) = cloud.requests("RunTask")
    assert request["taskDefinition"] == "prepared"
    (row,) = request["overrides"]["containerOverrides"]
    assert row["name"] == CONTAINER and "nowhere.invalid/job" not in json.dumps(request)
    assert cloud.count("RegisterTaskDefinition") == cloud.count("DescribeTaskDefinition") == 0
