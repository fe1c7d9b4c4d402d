# SPDX-License-Identifier: MIT
"""The helper container: whole jobs in images that have neither git nor gitlab-runner."""

import json
import os
import secrets
import signal

import pytest

from support import processes
from support.docker_engine import busybox_tar
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.git_server import private_server
from support.helper_jobs import HELPER, TAG, RunnerJob
from support.host_image import Tree, helper_tar


@pytest.fixture
def job(helper_job):
    return helper_job


def container_of(engine, job, which=""):
    return engine.good("GET", f"/containers/berth-{job.metadata()['job']}{which}/json")


def test_stages_are_routed(job, engine):
    job.prepare()
    assert job.run("command -v git gitlab-runner\n", "get_sources").returncode == 0
    for stage in ("step_script", "build_script", "after_script", "step_unknown"):
        assert job.run("command -v git || echo none\n", stage).stdout == b"none\n"
    done = job.run("gitlab-runner --version; umask; id -u; echo x >/builds/f; ls -l /builds/f\n",
                   "archive_cache")  # fmt: skip
    assert done.stdout.startswith(b"gitlab-runner-helper stand-in\n0000\n0\n-rw-rw-rw-")
    assert job.run("cat /builds/f\n").stdout == b"x\n"


def test_umask_of_the_feature_flag(job):
    job.env["CUSTOM_ENV_FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR"] = "true"
    job.prepare()
    assert job.run("umask\n", "get_sources").stdout == b"0022\n"


def test_the_helper_has_the_limits_but_no_rights(job, engine, tmp_path):
    (tmp_path / "host").mkdir()
    job.driver.settings["Docker"] |= {
        "Memory": "64MiB",
        "CPUs": 1.5,
        "PidsLimit": 60,
        "Privileged": True,
        "CapAdd": ["SYS_ADMIN"],
        "CapDrop": ["NET_RAW", "cap_chown"],
        "User": "77:78",
        "Environment": ["HTTP_PROXY=http://proxy.example"],
        "Volumes": [
            f"{tmp_path}/host:/host",
            f"{tmp_path}/host:/cache/inside",
            f"{tmp_path}/host:/builds/../etc/x",
            f"{tmp_path}/host:/builds-of-others",
            f"{tmp_path}/host:/cached",
            f"named-{job.token.lower()}:/named",
        ],
    }
    job.prepare()
    found = container_of(engine, job, "-helper")
    host = found["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 << 20, 1_500_000_000, 60)
    assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (False, None, ["NET_RAW"])
    assert found["Config"]["User"] == "0:0"
    assert "HTTP_PROXY=http://proxy.example" in found["Config"]["Env"]
    places = {mount["Destination"] for mount in found["Mounts"]}
    assert places == {"/builds", "/cache/inside", "/named"}
    job.stage("cleanup")
    engine.call("DELETE", f"/volumes/named-{job.token.lower()}")


def test_a_helper_with_all_capabilities_dropped(job, engine):
    job.driver.settings["Docker"] |= {"CapDrop": ["ALL"], "User": "1000:1000"}
    job.prepare()
    done = job.run("mkdir /builds/p && chmod 700 /builds/p && grep CapEff /proc/self/status\n",
                   "get_sources")  # fmt: skip
    assert done.stdout.split()[-1] == b"000000000000000b"
    assert job.run("touch /builds/p/mine\n").returncode == 0


def test_two_host_keys(job, engine):
    job.prepare()
    environments = [
        dict(entry.split("=", 1) for entry in container_of(engine, job, which)["Config"]["Env"])
        for which in ("", "-helper")
    ]
    seeds = {environment["BERTH_HOST_KEY_SEED"] for environment in environments}
    keys = {environment["SSH_PUBLIC_KEY"] for environment in environments}
    assert (len(seeds), len(keys)) == (2, 1)


def test_the_helper_outlives_a_long_script(job, engine):
    """Its agent is idle until the script has ended; the default would end it after an hour."""
    job.prepare()
    words = container_of(engine, job, "-helper")["Config"]["Cmd"]
    assert words[words.index("--idle-timeout") + 1] == f"{7 * 86400}000ms"
    assert "--idle-timeout" not in container_of(engine, job)["Config"]["Cmd"]


def test_nothing_of_it_is_left(job, engine):
    job.prepare()
    key = job.metadata()["job"]
    left = engine.labelled(job.driver.label)
    assert left["volumes"] == [f"berth-{key}-builds"] and len(left["containers"]) == 2
    assert job.stage("cleanup").returncode == 0
    assert engine.labelled(job.driver.label) == {"containers": [], "networks": [], "volumes": []}


def test_cleanup_and_gc_find_the_volume_alone(job, engine):
    """Of a prepare that was killed before it created a container."""
    job.prepare()
    key = job.metadata()["job"]
    for which in ("", "-helper"):
        engine.good("DELETE", f"/containers/berth-{key}{which}?force=1")
    (path,) = job.driver.metadata.glob("*.json")
    path.unlink()
    assert b"volume only" in job.driver.run("gc", env=job.env).stdout
    assert job.driver.run("gc", "--stop", env=job.env).returncode == 0
    assert engine.labelled(job.driver.label)["volumes"] == []


def test_a_whole_job_without_git_in_its_image(runner, server, engine, docker_driver, busybox):
    """Clone with a submodule, a service, artifacts whose bytes must not change, their download."""
    docker_driver.settings["Docker"]["AllowedServices"] = ["berth-test/*"]
    service = {
        "name": busybox,
        "alias": "echo",
        "entrypoint": ["/bin/nc", "-ll", "-p", "5432", "-e", "cat"],
        "variables": [{"key": "HEALTHCHECK_TCP_PORT", "value": "5432"}],
    }
    payload = bytes(range(256)) * 4096
    library = server.repository("group/library", {"lib.txt": "from the submodule\n"})
    sha = server.repository(
        "group/project", {"blob": payload}, submodules={"lib": ("../library.git", library)}
    )
    first = RunnerJob(
        script=["! command -v git", "cat lib/lib.txt", "cp blob out.bin", "id -u",
                "echo by name | nc -w 1 echo 5432"],
        repository_url=server.url("group/project"), sha=sha, submodules=True, services=[service],
        artifacts=["out.bin"], artifact_server=server.base,
    )  # fmt: skip
    result, log = runner(first)
    assert result.status == "success", log
    assert "from the submodule\n" in log and f"Checking out {sha[:8]}" in log
    assert "\nby name\n" in log and "is not ready" not in log, log
    second = RunnerJob(
        script=["cmp blob out.bin && echo the same"],
        repository_url=server.url("group/project"), sha=sha, dependencies=[first.id],
        artifact_server=server.base,
    )  # fmt: skip
    result, log = runner(second)
    assert result.status == "success" and "the same\n" in log, log
    assert payload in server.artifacts[str(first.id)]
    left = engine.labelled(docker_driver.label)
    assert left == {"containers": [], "networks": [], "volumes": []}


def test_a_cache_between_two_jobs(runner, docker_driver, engine):
    volume = "cache-" + docker_driver.label.partition("=")[2]
    docker_driver.settings["Docker"]["Volumes"] = [f"{volume}:/cache"]
    make = "test -f kept/k && cat kept/k || { mkdir kept; echo made once >kept/k; }"
    for found in (False, True):
        job = RunnerJob(script=[make], cache=["kept"])
        result, log = runner(job)
        assert result.status == "success", log
        assert ("\nmade once\n" in log) == found, log
    assert engine.call("DELETE", f"/volumes/{volume}")[0] == 204


def test_a_private_ca(runner, engine, tmp_path):
    """CI_SERVER_TLS_CA_FILE, though the image's ENTRYPOINT, which adds CAs, does not run."""
    address = engine.address.partition("/")[0]
    with private_server(tmp_path, address) as (place, ca):
        job = RunnerJob(script=["cat file"], file_variables={"CI_SERVER_TLS_CA_FILE": ca}, **place)
        result, log = runner(job)
    assert result.status == "success" and "\ncloned\n" in log, log


@pytest.fixture(scope="module")
def images(engine):
    node = busybox_tar(extra=[("etc/group", 0o644, b"node:x:1000:\n")])
    user = Tree()
    user.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n")
    user.busybox()
    wrapped = Tree()
    wrapped.busybox()
    wrapped.text("wrap", '#!/bin/sh\necho "wrapped $1"\nshift\nexec "$@"\n', 0o755)
    made = {
        "node": (user.tar(), ["ENV PATH=/bin", "USER node"]),
        "number": (node, ["ENV PATH=/bin", "USER 4321"]),
        "git": (helper_tar(runner=False), ["ENV PATH=/usr/bin:/bin", "USER 4321"]),
        "wrapped": (wrapped.tar(), ["ENV PATH=/bin", 'ENTRYPOINT ["/bin/false"]']),
        "volume": (
            busybox_tar(extra=[("builds/own", 0o600, b"x")]),
            ["ENV PATH=/bin", "VOLUME /builds"],
        ),
        "below": (busybox_tar(), ["ENV PATH=/bin", "VOLUME /builds/group"]),
    }
    for name, (tar, changes) in made.items():
        engine.import_image(f"berth-test/{name}:{TAG}", tar, changes)
    yield {name: f"berth-test/{name}:{TAG}" for name in made}
    for name in made:
        engine.remove_image(f"berth-test/{name}:{TAG}")


@pytest.mark.parametrize(("name", "uid"), [("node", "1000"), ("number", "4321"), ("git", "4321")])
def test_a_job_whose_user_is_not_root(runner, server, docker_driver, images, name, uid):
    """Its user owns the clone, so that git takes it, and can write file variables, GITLAB_ENV and
    HOME."""
    sha = server.repository("group/project", {"file": "cloned\n", "sub/file": "x"})
    docker_driver.settings["Docker"]["Image"] = images[name]
    git = ["git status --short", "git log --format=%s"] if name == "git" else []
    job = RunnerJob(
        script=["id -u", "stat -c %u:%a . file sub", *git, "echo more >>file", "cat $SECRET",
                "echo new >$SECRET", "echo x >~/kept && echo HOME is $HOME", "touch made",
                'echo "MADE=by the job" >>$GITLAB_ENV'],
        after_script=["cat ~/kept", 'echo "after: $MADE"'],
        file_variables={"SECRET": "the content\n"},
        variables={
            "FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR": "true",
            "GITLAB_ENV": "/builds/group/project.tmp/gitlab_runner_env",
        },
        repository_url=server.url("group/project"), sha=sha, artifacts=["made"],
        artifact_server=server.base,
    )  # fmt: skip
    result, log = runner(job)
    assert result.status == "success", log
    assert f"\n{uid}\n" in log and f"\n{uid}:755\n{uid}:644\n{uid}:755\n" in log, log
    assert "the content\n" in log and "HOME is /builds/" in log, log
    assert "\nafter: by the job\n" in log and "dubious" not in log, log
    assert ("\none\n" in log) == (name == "git"), log
    assert b"made" in server.artifacts[str(job.id)]


def test_git_in_a_builds_volume_of_several_jobs(runner, server, engine, docker_driver, images):
    """Its files stay root's: the guide's variables make git take them."""
    volume = "builds-" + docker_driver.label.partition("=")[2]
    sha = server.repository("group/project", {"file": "cloned\n"})
    docker_driver.settings["Docker"] |= {"Image": images["git"], "Volumes": [f"{volume}:/builds"]}
    safe = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    for variables, status in (({}, "failed"), (safe, "success")):
        job = RunnerJob(
            script=["git log --format=%s", "echo more >>file"],
            variables=variables, repository_url=server.url("group/project"), sha=sha,
        )  # fmt: skip
        result, log = runner(job)
        assert result.status == status and ("dubious" in log) == (variables == {}), log
    assert engine.call("DELETE", f"/volumes/{volume}")[0] == 204


def test_git_in_the_helper_after_the_hand_over(job, images):
    """'artifacts: untracked' asks it, in a directory that is the job's user's by then."""
    job.driver.settings["Docker"]["Image"] = images["number"]
    job.prepare()
    job.run("git init -q /builds/p\n", "get_sources")
    assert job.run("touch /builds/p/new\n").returncode == 0
    done = job.run("cd /builds/p; git ls-files -o\n", "upload_artifacts_on_success")
    assert done.stdout == b"new\n", done.stderr


def test_the_files_are_handed_over_once(job):
    """Before the first script of the job's own container."""
    job.driver.settings["Docker"]["User"] = "4321:5432"
    job.prepare()
    assert job.run("echo x >/builds/first\n", "get_sources").returncode == 0
    assert job.run("stat -c %u:%g /builds/first\n").stdout == b"4321:5432\n"
    assert job.run("echo x >/builds/second\n", "archive_cache").returncode == 0
    assert job.run("stat -c %u:%g /builds/second\n", "after_script").stdout == b"0:0\n"


@pytest.mark.parametrize("place", ["/builds/host", "/builds"])
def test_directories_of_the_host_keep_their_owner(job, images, tmp_path, place):
    """A mount below the builds volume, or in its place, is not the job's to give away."""
    (tmp_path / "host").mkdir(mode=0o777)
    (tmp_path / "host/file").write_text("x")
    os.chmod(tmp_path / "host", 0o777)
    job.driver.settings["Docker"] |= {
        "Image": images["number"],
        "Volumes": [f"{tmp_path}/host:{place}"],
    }
    job.prepare()
    assert job.run("echo x >/builds/own; echo x >/builds/host/made\n" if place != "/builds"
                   else "echo x >/builds/own\n", "get_sources").returncode == 0  # fmt: skip
    done = job.run("stat -c %u /builds/own\n")
    assert done.stdout == (b"0\n" if place == "/builds" else b"4321\n"), done.stderr
    found = [tmp_path / "host", *(tmp_path / "host").iterdir()]
    assert len(found) == 3 and {path.stat().st_uid for path in found} == {0}


@pytest.mark.parametrize("kind", ["named", "host", "none"])
def test_home_where_builds_is_not_of_the_job_alone(job, engine, images, tmp_path, kind):
    """Not in a volume that other jobs mount, too; what jobs leave there keeps its owner."""
    volume = "builds-" + job.token.lower()
    (tmp_path / "host").mkdir()
    source = {"named": volume, "host": f"{tmp_path}/host"}.get(kind)
    job.driver.settings["Docker"] |= {"Image": images["number"]}
    if source is None:
        job.driver.settings["Helper"]["Use"] = "never"
    else:
        job.driver.settings["Docker"]["Volumes"] = [f"{source}:/builds"]
    job.prepare()
    if source is not None:
        assert job.run("echo x >/builds/file\n", "get_sources").returncode == 0
        assert job.run("stat -c %u:%a /builds/file\n").stdout == b"0:666\n"
    home = "/builds/.berth-home/4321" if source is None else "/.berth-home/4321"
    done = job.run("echo $HOME; touch ~/made; ls ~\n")
    assert done.stdout == f"{home}\nmade\n".encode(), done.stderr
    job.stage("cleanup")
    if kind == "named":
        assert engine.call("DELETE", f"/volumes/{volume}")[0] == 204


def test_the_helper_shares_the_networks(job, engine, busybox):
    """With a service, and a configured network beside the job's own."""
    network = "net-" + job.token.lower()
    engine.good("POST", "/networks/create", {"Name": network})
    serve = ["sh", "-c", "httpd -f -p 8080 -h /builds"]
    service = {"name": busybox, "alias": "web", "command": serve}
    service["variables"] = {"HEALTHCHECK_TCP_PORT": "8080"}
    job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps([service])
    job.driver.settings["Docker"] |= {"AllowedServices": ["berth-test/*"], "Network": network}
    job.prepare()
    key = job.metadata()["job"]
    for which in ("", "-helper"):
        networks = container_of(engine, job, which)["NetworkSettings"]["Networks"]
        assert sorted(networks) == sorted([network, f"berth-{key}"])
    fetch = "wget -q -O - http://web:8080/f\n"
    assert job.run(f"echo made >/builds/f; {fetch}", "get_sources").stdout == b"made\n"
    assert job.run(fetch).stdout == b"made\n"
    job.stage("cleanup")
    engine.good("DELETE", f"/networks/{network}")


def test_what_the_image_has_at_builds_is_not_copied(job, images):
    job.driver.settings["Docker"]["Image"] = images["volume"]
    assert "VOLUME" not in job.stage("prepare").stderr
    assert job.run("ls -A /builds\n", "get_sources").stdout == b""


def test_a_volume_of_the_image_that_hides_the_sources(job, images, engine):
    """The engine mounts it in the job's container alone, unless the configuration mounts one."""
    job.driver.settings["Docker"]["Image"] = images["below"]
    warning = f"the image '{images['below']}' has a VOLUME '/builds/group', which hides"
    done = job.stage("prepare")
    assert done.returncode == 0 and done.stderr.count(warning) == 1, done.stderr
    make = "mkdir -p /builds/group/project && echo x >/builds/group/project/f\n"
    assert job.run(make, "get_sources").returncode == 0
    assert job.run("ls /builds/group\n").stdout == b"", "it is hidden"
    job.stage("cleanup")
    volume = "volume-" + job.token.lower()
    job.driver.settings["Docker"]["Volumes"] = [f"{volume}:/builds/group"]
    done = job.stage("prepare")
    assert done.returncode == 0 and "VOLUME" not in done.stderr, done.stderr
    assert job.run(make, "get_sources").returncode == 0
    assert job.run("cat /builds/group/project/f\n").stdout == b"x\n"
    job.stage("cleanup")
    engine.good("DELETE", f"/volumes/{volume}")


@pytest.mark.parametrize(
    ("entrypoint", "wrapped"), [(["/wrap", "once"], True), ([""], False), (None, False)]
)
def test_the_jobs_entrypoint(job, images, entrypoint, wrapped):
    """It wraps the shell of the job's own stages; the image's does not run."""
    response = json.loads(job.response_file.read_text())
    response["image"] = {"name": images["wrapped"]}
    if entrypoint is not None:
        response["image"]["entrypoint"] = entrypoint
    job.response_file.write_text(json.dumps(response))
    job.driver.settings["Docker"]["Image"] = images["wrapped"]
    assert "ignored" not in job.stage("prepare").stderr
    assert job.run("echo ran\n", "get_sources").stdout == b"ran\n"
    done = job.run("echo ran\n", "step_script")
    assert (done.stdout, "wrapped once\n" in done.stderr) == (b"ran\n", wrapped), done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["/bin/true", "x"],
            "the job's entrypoint '/bin/true' exited with status 0 first; it must",
        ),
        (["/no"], "cannot execute the shell through the entrypoint '/no': No such file"),
    ],
)
def test_an_entrypoint_that_does_not_start_the_script(job, images, words, message):
    job.driver.settings["Docker"]["Image"] = images["wrapped"]
    response = json.loads(job.response_file.read_text())
    response["image"] = {"name": images["wrapped"], "entrypoint": words}
    job.response_file.write_text(json.dumps(response))
    job.prepare()
    for stage in ("step_script", "after_script"):
        done = job.run("echo ran\n", stage)
        assert done.returncode == BUILD_FAILURE and done.stdout == b""
        assert message in done.stderr and "interrupted" not in done.stderr, done.stderr


def test_an_entrypoint_that_hangs_is_named_when_the_job_is_stopped(job, images, until):
    job.driver.settings["Docker"]["Image"] = images["wrapped"]
    response = json.loads(job.response_file.read_text())
    response["image"] = {"name": images["wrapped"], "entrypoint": ["sh", "-c", "echo in; sleep 99"]}
    job.response_file.write_text(json.dumps(response))
    job.prepare()
    process = job.start("echo ran\n", "step_script")
    assert process.stderr.readline() == b"in\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert "the job's entrypoint 'sh' had not started the script" in errors.decode()


def test_without_a_helper_the_entrypoint_is_ignored(job, images):
    job.driver.settings["Helper"]["Use"] = "never"
    response = json.loads(job.response_file.read_text())
    response["image"] = {"name": images["wrapped"], "entrypoint": ["/wrap", "once"]}
    job.response_file.write_text(json.dumps(response))
    job.driver.settings["Docker"]["Image"] = images["wrapped"]
    done = job.stage("prepare")
    assert "'entrypoint' is ignored without a helper" in done.stderr, done.stderr
    assert job.run("echo ran\n", "step_script").stdout == b"ran\n"


# ---- the helper's image


def test_a_helper_image_that_cannot_be_had(job):
    """One warning, and the image has git: all stages in the job's container."""
    job.driver.settings["Docker"]["Image"] = HELPER
    job.driver.settings["Docker"]["PullPolicy"] = "never"
    job.driver.settings["Helper"] |= {"Use": "auto", "Image": "no/such:1"}
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no helper container: ") == 1 and "has no image" in done.stderr
    assert not job.metadata().get("has_helper")
    assert job.run("command -v git\n", "get_sources").returncode == 0


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (None, "CI_RUNNER_VERSION is '', not a version such as 19.4.0"),
        ("19.4.0/../../evil", "CI_RUNNER_VERSION is '19.4.0/../../evil', not a version"),
        ("19.4.0", "gitlab-runner-helper:x86_64-v19.4.0'"),
    ],
)
def test_neither_a_helper_nor_git(job, engine, version, words):
    job.driver.settings["Docker"]["PullPolicy"] = "never"
    job.driver.settings["Helper"] = {"Use": "auto"}
    if version is not None:
        job.env["CUSTOM_ENV_CI_RUNNER_VERSION"] = version
    done = job.stage("prepare")
    assert done.returncode == BUILD_FAILURE and words in done.stderr, done.stderr
    assert "the job's image has no git, and there is no helper container" in done.stderr
    assert engine.labelled(job.driver.label) == {"containers": [], "networks": [], "volumes": []}


def test_a_registry_that_is_away_is_a_system_failure(job, engine, free_port):
    """GitLab Runner tries 'prepare' again, and 'retry: runner_system_failure' works."""
    job.driver.settings["Helper"] |= {"Use": "auto", "Image": f"127.0.0.1:{free_port()}/helper:1"}
    done = job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert "the job's image has no git, and there is no helper container" in done.stderr
    assert engine.labelled(job.driver.label) == {"containers": [], "networks": [], "volumes": []}


@pytest.mark.parametrize(
    ("part", "code"), [("artifacts", BUILD_FAILURE), ("cache", BUILD_FAILURE), ("services", 0)]
)
def test_neither_a_helper_nor_gitlab_runner(job, engine, part, code):
    """Its artifacts would be missing from a job that passes."""
    image = f"berth-test/git-alone:{TAG}"
    engine.import_image(image, helper_tar(runner=False), ["ENV PATH=/usr/bin:/bin"])
    job.driver.settings["Docker"] |= {"Image": image, "PullPolicy": "never"}
    job.driver.settings["Helper"] |= {"Use": "auto", "Image": "no/such:1"}
    response = json.loads(job.response_file.read_text())
    response[part] = [{"name": "x", "paths": ["out"]}] if code else []
    job.response_file.write_text(json.dumps(response))
    done = job.stage("prepare")
    assert done.returncode == code, done.stderr
    assert code == 0 or "the job's image has no gitlab-runner, and there is no" in done.stderr
    job.stage("cleanup")
    engine.remove_image(image)


def test_a_job_without_sources_needs_no_git(job):
    job.driver.settings["Docker"]["PullPolicy"] = "never"
    job.driver.settings["Helper"] = {"Use": "auto", "Image": "no/such:1"}
    job.env["CUSTOM_ENV_GIT_STRATEGY"] = "none"
    assert job.prepare().run("echo ran\n").stdout == b"ran\n"


def test_use_always_fails_without_the_image(job, engine):
    """Also where all stages could run in the job's container, as its image has git."""
    job.driver.settings["Docker"] |= {"Image": HELPER, "PullPolicy": "never"}
    job.driver.settings["Helper"]["Image"] = "no/such:$CI_RUNNER_VERSION"
    job.env["CUSTOM_ENV_CI_RUNNER_VERSION"] = "19.4.0"
    done = job.stage("prepare")
    assert done.returncode == BUILD_FAILURE
    assert "helper container: the Docker Engine" in done.stderr
    assert "has no image 'no/such:19.4.0'" in done.stderr
    assert "no helper container" not in done.stderr


@pytest.mark.parametrize(
    ("lacks", "words"),
    [("git", "cannot run 'git --version'"), ("runner", "cannot run 'gitlab-runner --version'")],
)
def test_a_helper_that_lacks_a_program(job, engine, lacks, words):
    image = f"berth-test/no-{lacks}:{TAG}"
    engine.import_image(image, helper_tar(**{lacks: False}), ["ENV PATH=/usr/bin:/bin"])
    job.driver.settings["Helper"]["Image"] = image
    done = job.stage("prepare")
    engine.remove_image(image)
    assert done.returncode == BUILD_FAILURE and words in done.stderr, done.stderr
    assert engine.labelled(job.driver.label) == {"containers": [], "networks": [], "volumes": []}


def test_a_helper_that_was_killed_is_a_system_failure(job, engine):
    job.prepare()
    engine.good("POST", f"/containers/berth-{job.metadata()['job']}-helper/kill")
    done = job.run("echo no\n", "get_sources")
    assert done.returncode == SYSTEM_FAILURE and done.stdout == b""
    assert "the helper's container exited with code 137" in done.stderr


def test_cancel_in_the_helper(job):
    job.prepare()
    process = job.start("echo up; sleep 300 & wait\n", "get_sources")
    assert process.stdout.readline() == b"up\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == BUILD_FAILURE
    assert b"sleep" not in job.run("ps\n", "get_sources").stdout


def test_what_a_killed_driver_left_in_the_helper_ends(job):
    """Before the next stage, which runs in the other container."""
    job.prepare()
    process = job.start("echo up; sleep 300\n", "restore_cache")
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.wait()
    assert job.run("echo next\n").stdout == b"next\n"
    assert b"sleep" not in job.run("ps\n", "archive_cache").stdout


def test_published_ports(job):
    job.driver.settings["Docker"]["Publish"] = True
    job.prepare()
    assert job.run("gitlab-runner --version\n", "get_sources").returncode == 0
    assert job.run("echo ran\n").stdout == b"ran\n"


@pytest.mark.waits
@pytest.mark.parametrize("use", ["always", "never"])
def test_readiness_of_services_behind_published_ports(job, busybox, use):
    """The task itself connects to them, since this machine may not reach their addresses."""
    serve = "mkdir /w; sleep 1; exec httpd -f -p 8080 -h /w"
    services = [
        {"name": busybox, "alias": alias, "command": ["sh", "-c", command],
         "variables": {"HEALTHCHECK_TCP_PORT": port}}
        for alias, command, port in (("web", serve, "8080"), ("none", "sleep 300", "8081"))
    ]  # fmt: skip
    job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps(services)
    job.driver.settings["Docker"] |= {"AllowedServices": ["berth-test/*"], "Publish": True}
    job.driver.settings["Docker"]["ServiceTimeout"] = "15s"
    job.driver.settings["Helper"]["Use"] = use
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "does not accept connections on port 8081, continuing without it" in done.stderr
    assert "on port 8080" not in done.stderr
    assert job.run("nc -w 2 web 8080 </dev/null >/dev/null && echo ready\n").stdout == b"ready\n"


def test_a_request_to_stop_ends_the_wait_behind_published_ports(job, engine, busybox, until):
    """Although the check inside the task, which it interrupts, has acknowledged it."""
    port = secrets.randbelow(40000) + 20000
    service = {"name": busybox, "alias": "none", "command": ["sleep", "300"]}
    service["variables"] = {"HEALTHCHECK_TCP_PORT": str(port)}
    job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps([service])
    job.driver.settings["Docker"] |= {"AllowedServices": ["berth-test/*"], "Publish": True}
    job.driver.settings["Docker"]["ServiceTimeout"] = "10m"
    job.driver.settings["Helper"]["Use"] = "never"
    process = job.driver.start("custom", "prepare", env=job.env)

    def checks():
        lines = (processes.command_line(pid) for pid in processes.all_pids())
        return any(" await --timeout " in line and f":{port}" in line for line in lines)

    until(checks, 60, "a check inside the task")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == SYSTEM_FAILURE
    text = process.stderr.read().decode()
    assert (
        "warning: stage 'prepare' was stopped on request" in text
        and "continuing without it" not in text
    ), text
    assert engine.labelled(job.driver.label) == {"containers": [], "networks": [], "volumes": []}


def test_exec_has_no_helper(docker_driver, helper, engine):
    docker_driver.settings["Helper"] = {"Use": "always", "Image": helper, "Busybox": "none"}
    done = docker_driver.run("exec", "--no-mount", "--", "echo", "ran")
    assert done.stdout == b"ran\n", done.stderr


def test_a_prepared_image_is_unchanged(runner, server, docker_driver):
    """With git and gitlab-runner, and without a helper: as before there were helpers."""
    docker_driver.settings["Helper"]["Use"] = "never"
    docker_driver.settings["Docker"]["Image"] = HELPER
    sha = server.repository("group/project", {"file": "cloned\n"})
    job = RunnerJob(
        script=["cat file", "command -v git"], repository_url=server.url("group/project"), sha=sha,
        artifacts=["file"], artifact_server=server.base, runner_command="gitlab-runner-helper",
    )  # fmt: skip
    result, log = runner(job)
    assert result.status == "success" and "\ncloned\n" in log, log
    assert result.config["builds_dir"] == "/builds" and b"cloned" in server.artifacts[str(job.id)]
