# SPDX-License-Identifier: MIT
"""Jobs in containers: config, prepare, run, cleanup, with unusual images."""

import json
import os
import signal

import pytest

from runner.gitlab_runner import Runner
from runner.job import Job as RunnerJob
from support.docker_engine import busybox_tar
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.engine_front import Front


def container_of(engine, job):
    return engine.good("GET", f"/containers/{job.metadata()['state']['id']}/json")


def test_config(docker_job):
    answer = json.loads(docker_job.stage("config").stdout)
    assert (answer["builds_dir"], answer["cache_dir"]) == ("/builds", "/cache")


def test_a_job_from_prepare_to_cleanup(docker_job, engine):
    docker_job.prepare()
    assert docker_job.run("cd /builds && echo made > file\n", "prepare_script").returncode == 0
    done = docker_job.run("cat /builds/file; echo err >&2; echo $IMAGE_SAYS\n", "build_script")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"made\nerr\nhello\n", "")
    found = container_of(engine, docker_job)
    assert found["Config"]["Labels"]["berth.job"] == docker_job.metadata()["job"]
    assert not found["HostConfig"]["Privileged"]
    done = docker_job.run("exit 42\n")
    assert (done.returncode, docker_job.exit_code()) == (BUILD_FAILURE, "42\n")
    assert docker_job.stage("cleanup").returncode == 0
    assert engine.labelled(docker_job.driver.label)["containers"] == []


def test_a_whole_job_of_the_runner(docker_driver, engine, programs):
    log = []
    job = RunnerJob(script=["echo in $IMAGE_SAYS", "id -u", "test -d $CI_PROJECT_DIR"])
    job.variables = {"GIT_STRATEGY": "none"}
    runner = Runner(
        [programs.driver, "--config", docker_driver.config(), "custom"],
        job, log.append, env=docker_driver.environment(),
    )  # fmt: skip
    result = runner.run()
    text = b"".join(log).decode()
    assert result.status == "success", text
    assert "in hello\n" in text and "reached by SSH at" in text
    assert engine.labelled(docker_driver.label)["containers"] == []


def test_the_host_key_seed_is_not_in_the_job(docker_job, engine):
    docker_job.prepare()
    done = docker_job.run("env; tr '\\0' '\\n' </proc/1/environ; cat /proc/1/cmdline\n")
    seed = docker_job.metadata()["host_key_seed"]
    assert b"IMAGE_SAYS=hello" in done.stdout
    assert b"BERTH_" not in done.stdout and seed.encode() not in done.stdout


@pytest.fixture(scope="module")
def images(engine):
    """Unusual images by name, each with the id of its USER."""
    made = {
        "no-passwd": (busybox_tar(passwd=False), ["ENV PATH=/bin"], 0),
        "user": (busybox_tar(), ["ENV PATH=/bin", "USER 1234:99"], 1234),
        "user-no-passwd": (busybox_tar(passwd=False), ["ENV PATH=/bin", "USER 1234"], 1234),
        "workdir": (busybox_tar(), ["ENV PATH=/bin", "WORKDIR /some/where"], 0),
        "entrypoint": (
            busybox_tar(),
            ["ENV PATH=/bin", 'ENTRYPOINT ["/bin/false"]', 'CMD ["no"]'],
            0,
        ),
        "health": (busybox_tar(), ["ENV PATH=/bin", "HEALTHCHECK CMD false"], 0),
        "own-builds": (
            busybox_tar(extra=[("builds/own", 0o600, b"x")]),
            ["ENV PATH=/bin", "VOLUME /builds"],
            0,
        ),
    }
    tag = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # workers share the engine
    for name, (tar, changes, _) in made.items():
        engine.import_image(f"berth-test/{name}:{tag}", tar, changes)
    yield {name: (f"berth-test/{name}:{tag}", uid) for name, (_, _, uid) in made.items()}
    for name in made:
        engine.remove_image(f"berth-test/{name}:{tag}")


@pytest.mark.parametrize(
    "name",
    ["no-passwd", "user", "user-no-passwd", "workdir", "entrypoint", "health", "own-builds"],
)
def test_any_image_will_do(docker_job, images, name):
    image, uid = images[name]
    docker_job.driver.settings["Docker"]["Image"] = image
    docker_job.prepare()
    script = "id -u; mkdir -p /builds/group/project && cd /builds/group/project && echo ok > f\n"
    done = docker_job.run(script + "mkdir -p /cache/c && cat f\n")
    assert (done.returncode, done.stdout.split()) == (0, [str(uid).encode(), b"ok"])


def test_an_image_with_the_agent_as_its_entrypoint(docker_job, engine, programs):
    agent = os.environ.get("BERTH_AGENT", programs.agent)
    tar = busybox_tar(extra=[("usr/local/bin/berth-agent", 0o755, open(agent, "rb").read())])
    changes = ["ENV PATH=/bin", 'ENTRYPOINT ["/usr/local/bin/berth-agent"]', "EXPOSE 22"]
    engine.import_image("berth-test/agent:1", tar, changes)
    docker_job.driver.settings["Docker"]["Image"] = "berth-test/agent:1"
    assert docker_job.prepare().run("echo ran\n").stdout == b"ran\n"
    docker_job.stage("cleanup")
    engine.remove_image("berth-test/agent:1")


def test_an_image_without_a_shell(docker_job, engine):
    """Without busybox too, which the agent would use."""
    root = busybox_tar(programs=[], place="opt/tool")
    engine.import_image("berth-test/empty:1", root, ["ENV PATH=/bin"])
    docker_job.driver.settings["Docker"]["Image"] = "berth-test/empty:1"
    done = docker_job.prepare().run("echo ran\n")
    assert done.returncode == BUILD_FAILURE and done.stdout == b""
    assert "a retry cannot fix it" in done.stderr
    assert "cannot execute the shell" in done.stderr
    docker_job.stage("cleanup")
    engine.remove_image("berth-test/empty:1")


def test_limits_labels_capabilities(docker_job, engine):
    docker_job.driver.settings["Docker"] |= {
        "Memory": "64MiB",
        "CPUs": 1.5,
        "PidsLimit": 40,
        "CapDrop": ["ALL"],
        "CapAdd": ["CHOWN"],
        "User": "77:78",
        "Environment": ["FROM_CONFIG=a b"],
    }
    docker_job.env["CUSTOM_ENV_CI_JOB_URL"] = "https://gitlab.example/j/1"
    docker_job.prepare()
    host = container_of(engine, docker_job)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 64 << 20)
    assert (host["NanoCpus"], host["PidsLimit"]) == (1_500_000_000, 40)
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["CHOWN"])
    labels = container_of(engine, docker_job)["Config"]["Labels"]
    assert labels["berth.url"] == "https://gitlab.example/j/1" and "berth.version" in labels
    done = docker_job.run("id -u; id -g; echo $FROM_CONFIG; grep CapEff /proc/self/status\n")
    assert done.stdout.decode().split("\n")[:3] == ["77", "78", "a b"]
    assert done.stdout.decode().split()[-1] == "0" * 16


def test_out_of_memory_is_not_success(docker_job):
    docker_job.driver.settings["Docker"]["Memory"] = "48MiB"
    done = docker_job.prepare().run("set -e; tail /dev/zero; echo no\n")
    assert done.returncode == BUILD_FAILURE and b"no\n" not in done.stdout
    assert b"out of memory: the kernel killed 1 process" in done.stdout
    assert docker_job.exit_code() == "137\n"


def test_volumes(docker_job, engine, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("from the host\n")
    volume = "cache-" + docker_job.token.lower()
    docker_job.driver.settings["Docker"]["Volumes"] = [
        f"{tmp_path}/shared:/shared:ro",
        f"{volume}:/cache",
    ]
    docker_job.prepare()
    done = docker_job.run("cat /shared/file; echo kept > /cache/k; echo x > /shared/new\n")
    assert done.stdout.startswith(b"from the host\n") and b"Read-only" in done.stdout
    assert docker_job.stage("cleanup").returncode == 0
    done = docker_job.prepare().run("cat /cache/k\n")
    assert done.stdout == b"kept\n"
    assert docker_job.stage("cleanup").returncode == 0
    assert engine.call("DELETE", f"/volumes/{volume}")[0] == 204


@pytest.mark.parametrize("mode", ["", ":ro"])
def test_directories_of_the_host_keep_owner_and_mode(docker_job, tmp_path, mode):
    """Bind mounts at the builds and cache directories; the cache is read-only."""
    places = {"cache": "/cache" + mode, "builds": "/builds/"}
    for name in places:
        (tmp_path / name).mkdir(mode=0o750)
        os.chown(tmp_path / name, 1234, 1235)
    volumes = [f"{tmp_path / name}:{to}" for name, to in places.items()]
    docker_job.driver.settings["Docker"]["Volumes"] = volumes
    docker_job.prepare()
    assert docker_job.run("echo made > /builds/file && ls /cache\n").returncode == 0
    assert (tmp_path / "builds/file").read_text() == "made\n"
    for name in places:
        found = (tmp_path / name).stat()
        assert (oct(found.st_mode & 0o7777), found.st_uid, found.st_gid) == ("0o750", 1234, 1235)


def test_the_anonymous_volume_goes_too(docker_job, engine):
    docker_job.prepare()
    (mount,) = container_of(engine, docker_job)["Mounts"]
    assert mount["Destination"] == "/builds"
    docker_job.stage("cleanup")
    assert engine.call("GET", f"/volumes/{mount['Name']}")[0] == 404


@pytest.mark.parametrize(
    ("allowed", "wanted", "good"),
    [
        ([], "berth-test/busybox:1", True),  # the configured one needs no pattern
        ([], "berth-test/other:1", False),
        (["berth-test/*"], "berth-test/other:1", True),
        (["berth-test/*"], "other/berth-test/x:1", False),
        (["berth-test/*:2"], "berth-test/other:1", False),
    ],
)
def test_the_jobs_image(docker_job, engine, busybox, allowed, wanted, good):
    if "other:1" in wanted:
        engine.good("POST", f"/images/{busybox}/tag?repo=berth-test/other&tag=1")
    docker_job.driver.settings["Docker"]["AllowedImages"] = allowed
    docker_job.env["CUSTOM_ENV_CI_JOB_IMAGE"] = wanted
    done = docker_job.stage("prepare")
    assert done.returncode == (0 if good else BUILD_FAILURE), done.stderr
    if good:
        assert container_of(engine, docker_job)["Config"]["Image"] == wanted
    else:
        assert f"image '{wanted}' is not allowed" in done.stderr
        assert engine.labelled(docker_job.driver.label)["containers"] == []


@pytest.mark.parametrize("form", ["all", "begins", "bare"])
def test_a_pattern_allows_no_image_by_its_id(docker_job, engine, busybox, form):
    """An id can name any image on the engine, also a private one of another project."""
    digest = engine.good("GET", f"/images/{busybox}/json")["Id"]
    forms = {"all": digest, "begins": digest[:19], "bare": digest.removeprefix("sha256:")[:12]}
    wanted = forms[form]
    docker_job.driver.settings["Docker"] |= {"Image": "other/one:1", "AllowedImages": ["*"]}
    docker_job.env["CUSTOM_ENV_CI_JOB_IMAGE"] = wanted
    done = docker_job.stage("prepare")
    docker_job.driver.settings["Docker"]["Image"] = busybox
    assert done.returncode == BUILD_FAILURE, done.stderr
    assert f"image '{wanted}' may be an image id" in done.stderr
    assert engine.labelled(docker_job.driver.label)["containers"] == []


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"PullPolicy": "sometimes"}, BUILD_FAILURE, "PullPolicy: 'sometimes' is not one of"),
        ({"PullPolicy": "never", "Image": "no/such:1"}, BUILD_FAILURE, "has no image 'no/such:1'"),
        ({"Image": "Bad Name"}, BUILD_FAILURE, "'Bad Name' is not a valid image name"),
        ({"Volumes": ["nocolon"]}, BUILD_FAILURE, "volume 'nocolon' has no ':'"),
        ({"Volumes": [":/to"]}, BUILD_FAILURE, "volume ':/to' has an empty FROM"),
        ({"Volumes": ["/" + "a" * 9000 + ":/to"]}, BUILD_FAILURE, "is too long; use FROM:TO"),
        ({"Labels": ["build"]}, BUILD_FAILURE, "Labels: 'build' is not NAME=VALUE\n"),
        ({"Volumes": ["/nowhere/at/all:/x"]}, BUILD_FAILURE, "/nowhere/at/all"),
        ({"Network": "host"}, BUILD_FAILURE, "Docker.Network: 'host'"),
        ({"Network": "no-such-net"}, BUILD_FAILURE, "no-such-net"),
        ({"Agent": "/nonexistent"}, BUILD_FAILURE, "Docker.Agent: cannot read '/nonexistent'"),
        ({"Host": "unix:///nonexistent.sock"}, SYSTEM_FAILURE, "start it, or set [Docker]"),
        ({"Host": "ssh://host"}, BUILD_FAILURE, "neither unix://PATH nor tcp://"),
        ({"Host": "tcp://127.0.0.1:1"}, SYSTEM_FAILURE, "Docker Engine at 'tcp://127.0.0.1:1'"),
        (
            {"Environment": ["SSH_PUBLIC_KEY=x"]},
            BUILD_FAILURE,
            "cannot be the name of a job's variable",
        ),
        (
            {"Environment": ["SSH_PUBLIC_KEY"]},
            BUILD_FAILURE,
            "cannot be the name of a job's variable",
        ),
        ({"Environment": ["A=1", "BERTH_HOST_KEY_SEED=x"]}, BUILD_FAILURE, "'BERTH_HOST_KEY_SEED'"),
        (
            {"Environment": ["BERTH_LISTEN"]},
            BUILD_FAILURE,
            "'BERTH_LISTEN' cannot be the name of a",
        ),
        ({"Labels": ["berth.job=x"]}, BUILD_FAILURE, "is not NAME=VALUE of your own"),
    ],
)
def test_mistakes_are_reported(docker_job, engine, settings, code, words):
    before = dict(docker_job.driver.settings["Docker"])
    docker_job.driver.settings["Docker"] |= settings
    if "Agent" in settings:
        docker_job.env.pop("BERTH_AGENT", None)  # it would win
    done = docker_job.stage("prepare")
    docker_job.driver.settings["Docker"] = before
    assert words in done.stderr and done.returncode == code, done.stderr
    assert engine.labelled(docker_job.driver.label)["containers"] == []


def test_no_image_at_all(docker_job):
    image = docker_job.driver.settings["Docker"].pop("Image")
    docker_job.driver.settings["Docker"]["AllowedImages"] = ["**"]
    done = docker_job.stage("prepare")
    docker_job.driver.settings["Docker"]["Image"] = image
    assert done.returncode == BUILD_FAILURE and "no image; set" in done.stderr


def test_prepare_again_replaces_the_container(docker_job, engine):
    first = docker_job.prepare().metadata()["state"]["id"]
    second = docker_job.prepare().metadata()["state"]["id"]
    assert first != second and len(engine.labelled(docker_job.driver.label)["containers"]) == 1
    assert docker_job.run("echo ran\n").stdout == b"ran\n"


def test_a_lost_metadata_file_does_not_block_the_name(docker_job, engine):
    docker_job.prepare()
    (path,) = docker_job.driver.metadata.iterdir()
    path.unlink()
    docker_job.prepare()
    assert len(engine.labelled(docker_job.driver.label)["containers"]) == 1
    assert docker_job.run("echo ran\n").stdout == b"ran\n"


@pytest.mark.parametrize("labels", [{}, {"berth.job": "job-1-0123456789abcdef"}])
def test_a_container_of_another_with_the_jobs_name_stays(docker_job, engine, busybox, labels):
    name = f"berth-{docker_job.prepare().metadata()['job']}"
    assert docker_job.stage("cleanup").returncode == 0
    body = {"Image": busybox, "Cmd": ["true"], "Labels": labels}
    made = engine.good("POST", f"/containers/create?name={name}", body)["Id"]
    done = docker_job.stage("prepare")
    assert docker_job.stage("cleanup").returncode == 0
    found = engine.call("GET", f"/containers/{made}/json")[0]
    engine.call("DELETE", f"/containers/{made}?force=1&v=1")
    assert done.returncode == SYSTEM_FAILURE and "does not belong to this job" in done.stderr
    assert found == 200


def test_cleanup_finds_what_a_killed_prepare_made(docker_job, engine, until):
    """Killed when the container exists, before its address is known."""
    process = docker_job.driver.start("custom", "prepare", env=docker_job.env)
    until(lambda: engine.labelled(docker_job.driver.label)["containers"], 60)
    process.kill()
    process.wait()
    assert docker_job.stage("cleanup").returncode == 0
    assert engine.labelled(docker_job.driver.label)["containers"] == []


def test_cleanup_finds_what_the_engine_makes_a_moment_later(
    docker_job, engine, busybox, until, tmp_path
):
    """Prepare was killed during a request, which the engine still completes."""
    label = docker_job.driver.label
    process = docker_job.driver.start("custom", "prepare", env=docker_job.env)
    until(lambda: engine.labelled(label)["containers"], 60)
    process.kill()
    process.wait()
    found = engine.good("GET", "/containers/json?all=1")
    (made,) = [one for one in found if label in [f"{k}={v}" for k, v in one["Labels"].items()]]
    body = {"Image": busybox, "Cmd": ["true"], "Labels": made["Labels"]}
    late = []

    def make(networks):
        """Once cleanup has removed the containers that there were."""
        if not late:
            name = made["Names"][0].lstrip("/")
            late.append(engine.good("POST", f"/containers/create?name={name}", body))
        return networks

    with Front(engine.socket, tmp_path / "front.sock") as front:
        front.change("GET", "/networks", make)
        docker_job.driver.settings["Docker"]["Host"] = front.url
        done = docker_job.stage("cleanup")
        docker_job.driver.settings["Docker"]["Host"] = engine.url
    assert done.returncode == 0 and late, done.stderr
    assert engine.labelled(label)["containers"] == []


def test_cleanup_when_the_engine_cannot_be_reached(docker_job, engine):
    """cleanup reports it and keeps the metadata: the next cleanup removes the job."""
    settings = docker_job.prepare().driver.settings
    host = settings["Docker"]["Host"]
    settings["Docker"]["Host"], settings["CleanupTimeout"] = "unix:///nonexistent.sock", "1s"
    done = docker_job.stage("cleanup")
    settings["Docker"]["Host"] = host
    del settings["CleanupTimeout"]
    assert done.returncode == SYSTEM_FAILURE and "cannot reach the Docker Engine" in done.stderr
    assert len(engine.labelled(docker_job.driver.label)["containers"]) == 1
    assert docker_job.stage("cleanup").returncode == 0
    assert engine.labelled(docker_job.driver.label)["containers"] == []


def test_cleanup_of_what_is_gone(docker_job, engine):
    name = f"berth-{docker_job.prepare().metadata()['job']}"
    engine.good("DELETE", f"/containers/{name}?force=1&v=1")
    assert docker_job.stage("cleanup").returncode == 0
    assert docker_job.stage("cleanup").returncode == 0


def test_cleanup_waits_for_an_engine_that_restarts(docker_job, engine, tmp_path):
    """A restart of the engine stops its jobs, so their cleanups run while it is down."""
    docker_job.prepare()
    socket = tmp_path / "docker.sock"
    docker_job.driver.settings["Docker"]["Host"] = f"unix://{socket}"
    cleanup = docker_job.driver.start("custom", "cleanup", env=docker_job.env)
    stderr = cleanup.stderr.readline()
    assert b"cannot reach the Docker Engine" in stderr and b"trying again" in stderr
    socket.symlink_to(engine.socket)
    assert cleanup.wait(60) == 0
    assert engine.labelled(docker_job.driver.label)["containers"] == []


def test_a_container_that_was_killed_is_a_system_failure(docker_job, engine):
    name = f"berth-{docker_job.prepare().metadata()['job']}"
    for _ in range(3):  # a log that is longer than its end
        docker_job.run("true\n")
    engine.good("POST", f"/containers/{name}/kill")
    done = docker_job.run("echo no\n")
    assert done.returncode == SYSTEM_FAILURE and done.stdout == b""
    end = "the job's container exited with code 137; end of its log: berth-agent["
    assert end in done.stderr, "from the beginning of a line"


def test_an_agent_that_cannot_run_is_reported_with_its_log(docker_job, tmp_path):
    agent = tmp_path / "agent"
    agent.write_text("#!/bin/sh\necho this is no agent >&2\nexit 9\n")
    docker_job.driver.settings["Docker"]["Agent"] = str(agent)
    docker_job.env.pop("BERTH_AGENT", None)  # it would win
    done = docker_job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE
    assert "code 9; end of its log: this is no agent\n" in done.stderr


def test_cancel(docker_job, until):
    docker_job.prepare()
    process = docker_job.start("echo up; sleep 300 & wait\n")
    assert process.stdout.readline() == b"up\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == BUILD_FAILURE
    assert b"sleep" not in docker_job.run("ps\n").stdout


def test_published_port(docker_job, engine):
    docker_job.driver.settings["Docker"]["Publish"] = True
    docker_job.prepare()
    assert docker_job.metadata()["host"] == "127.0.0.1"
    assert docker_job.metadata()["port"] != 22122
    assert docker_job.run("echo ran\n").stdout == b"ran\n"


def test_over_tls(docker_job, engine):
    docker_job.driver.settings["Docker"] |= {
        "Host": engine.tls_url,
        "TLSVerify": True,
        "CertPath": str(engine.certificates),
    }
    docker_job.prepare()
    assert docker_job.metadata()["host"] == "127.0.0.1"
    assert docker_job.run("echo ran\n").stdout == b"ran\n"


def test_over_tls_by_dockers_own_variables(docker_job, engine):
    del docker_job.driver.settings["Docker"]["Host"]
    docker_job.env |= {
        "DOCKER_HOST": engine.tls_url,
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(engine.certificates),
    }
    assert docker_job.prepare().run("echo ran\n").stdout == b"ran\n"
    docker_job.stage("cleanup")
    docker_job.driver.settings["Docker"]["Host"] = engine.url


def test_an_engine_that_another_ca_vouches_for(docker_job, engine, tmp_path):
    for name in ("ca", "cert", "key"):
        source = engine.certificates / f"{'cert' if name == 'ca' else name}.pem"
        (tmp_path / f"{name}.pem").write_bytes(source.read_bytes())
    before = dict(docker_job.driver.settings["Docker"])
    docker_job.driver.settings["Docker"] |= {
        "Host": engine.tls_url,
        "TLSVerify": True,
        "CertPath": str(tmp_path),
    }
    done = docker_job.stage("prepare")
    docker_job.driver.settings["Docker"] = before
    assert done.returncode == SYSTEM_FAILURE and "certificate" in done.stderr.lower()


def test_a_network_of_ones_own(docker_job, engine):
    name = "net-" + docker_job.token.lower()
    engine.good("POST", "/networks/create", {"Name": name})
    docker_job.driver.settings["Docker"]["Network"] = name
    docker_job.prepare()
    assert list(container_of(engine, docker_job)["NetworkSettings"]["Networks"]) == [name]
    assert docker_job.run("echo ran\n").stdout == b"ran\n"
    docker_job.stage("cleanup")
    engine.good("DELETE", f"/networks/{name}")
