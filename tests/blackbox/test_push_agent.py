# SPDX-License-Identifier: MIT
"""berth-driver push-agent: the agent's image, and the copy of the helper's, in moto's ECR."""

import io
import json
import os
import re
import shutil
import signal
import tarfile
import tomllib
import uuid

import pytest

from support.driver import Driver
from support.ecr import Ecr
from support.ecs_moto import KEYS, REGION
from support.registry import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    Image,
    Internet,
    Registry,
    RudeRegistry,
    digest_of,
    index_of,
)
from support.rude_server import Growth
from support.terminal import Terminal
from support.waiting import until

ACCOUNT = "123456789012"
FAILURE = 1
ARM64 = 183
BUSYBOX = "/bin/busybox"


@pytest.fixture
def ecr(moto):
    with Ecr(moto.url, {KEYS["AWS_ACCESS_KEY_ID"]: KEYS["AWS_SECRET_ACCESS_KEY"]}) as running:
        yield running
        assert running.model_problems() == []
        assert {call.signature for call in running.calls} <= {"good"}


class Push:
    """push(*words): the command's exit status, output and log. Each test has a repository."""

    def __init__(self, driver, ecr):
        self.driver, self.ecr = driver, ecr
        self.repository = "ci/agent-" + uuid.uuid4().hex[:12]
        driver.settings = {
            "Backend": "ecs",
            "TaskMetadata": {"Directory": str(driver.directory / "metadata")},
            "Fargate": {"Region": REGION},
            "Helper": {},
        }
        self.settings = driver.settings
        self.env = driver.environment(
            AWS_ENDPOINT_URL=ecr.url, AWS_EC2_METADATA_DISABLED="true", **KEYS
        )

    def __call__(self, *words, repository=None, **how):
        name = self.repository if repository is None else repository
        return self.driver.run("push-agent", *words, name, env=self.env, **how)

    def ok(self, *words, **how):
        done = self(*words, **how)
        assert done.returncode == 0, done.stderr
        return done

    def fails(self, *words, status=FAILURE, **how):
        done = self(*words, **how)
        assert done.returncode == status and done.stdout == b"", done.stderr
        assert done.stderr.count("error:") == 1
        return done.stderr


@pytest.fixture
def push(programs, tmp_path, ecr):
    driver = Driver(programs.driver, tmp_path)
    instance = Push(driver, ecr)
    if programs.sanitized and os.path.exists(BUSYBOX):
        # The sanitized agent is ten times as large, which every test would upload.
        instance.settings["Local"] = {"Agent": BUSYBOX}
    yield instance
    driver.stop_all()


def name_in(done, key):
    """The image in 'KEY = "REGISTRY/REPOSITORY:TAG"'."""
    helper = tomllib.loads(done.stdout.decode())["Helper"]
    assert set(helper) <= {"AgentImage", "Image"}
    return tuple(helper[key].rsplit(":", 1))


def contents(layer):
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {
            entry.name: (archive.extractfile(entry).read(), entry.mode, entry.uid, entry.mtime)
            for entry in archive
        }


def as_arm64(path):
    """A static program that says it is for arm64; the sanitized agent is not static."""
    if not os.path.exists(BUSYBOX):
        pytest.skip("busybox-static is not installed")
    with open(BUSYBOX, "rb") as file:
        data = bytearray(file.read())
    data[18:20] = ARM64.to_bytes(2, "little")
    path.write_bytes(data)
    path.chmod(0o755)
    return path


# --- the agent ---


def test_a_bar_on_a_terminal(push, ecr):
    words = [push.driver.program, "--config", push.driver.config(), "push-agent", push.repository]
    terminal = Terminal(words, columns=70, env={**push.env, "TERM": "xterm"})
    try:
        assert terminal.wait(60) == 0, terminal.shown
        shown = terminal.shown.decode()
    finally:
        terminal.close()
    assert re.search(r"\r\x1b\[K\[=+\] 100%  [\d.]+ of [\d.]+ MiB\r\x1b\[K", shown), shown
    assert shown.rpartition("\x1b[K")[2].endswith('"\r\n'), "the configuration is the last line"


def test_the_image(push, ecr, programs):
    push.settings.pop("Local", None)
    done = push.ok()
    uri, tag = name_in(done, "AgentImage")
    assert uri == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{push.repository}"
    digest = ecr.tags[tag]
    assert tag.endswith("-" + digest.removeprefix("sha256:")[:12])
    manifest = json.loads(ecr.images[digest])
    config = json.loads(ecr.layers[manifest["config"]["digest"]])
    (layer,) = manifest["layers"]
    files = contents(ecr.layers[layer["digest"]])
    assert files["berth-agent"] == (programs.agent.read_bytes(), 0o755, 0, 0)
    assert set(files) <= {"berth-agent", "busybox"}
    assert config["architecture"] in ("amd64", "arm64") and config["os"] == "linux"
    assert config["config"]["Entrypoint"] == ["/berth-agent"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "berth-agent"
    assert "created" not in config
    assert "no agent for" in done.stderr  # the other processor
    assert ecr.count("CreateRepository") == 1


def test_busybox_is_packed(push, ecr):
    if not shutil.which("busybox"):
        pytest.skip("busybox-static is not installed")
    push.settings["Helper"]["Busybox"] = BUSYBOX
    _, tag = name_in(push.ok(), "AgentImage")
    (layer,) = json.loads(ecr.images[ecr.tags[tag]])["layers"]
    with open(BUSYBOX, "rb") as file:
        assert contents(ecr.layers[layer["digest"]])["busybox"] == (file.read(), 0o755, 0, 0)


def test_a_second_push_uploads_nothing(push, ecr):
    first = push.ok()
    uploaded = ecr.count("UploadLayerPart")
    assert uploaded >= 2
    second = push.ok()
    assert second.stdout == first.stdout
    assert ecr.count("UploadLayerPart") == uploaded and ecr.count("CreateRepository") == 1
    assert "is in the repository" in second.stderr


@pytest.mark.parametrize("key", ["Local", "Docker"])
def test_both_processors(push, ecr, tmp_path, key):
    agent = as_arm64(tmp_path / "agent-arm64")
    push.settings[key] = {"Agent": str(agent)}
    done = push.ok()
    _, tag = name_in(done, "AgentImage")
    index = json.loads(ecr.images[ecr.tags[tag]])
    platforms = [entry["platform"]["architecture"] for entry in index["manifests"]]
    assert index["mediaType"] == OCI_INDEX and platforms == ["amd64", "arm64"]
    for entry in index["manifests"]:
        manifest = json.loads(ecr.images[entry["digest"]])
        config = json.loads(ecr.layers[manifest["config"]["digest"]])
        assert config["architecture"] == entry["platform"]["architecture"]
        data = contents(ecr.layers[manifest["layers"][0]["digest"]])["berth-agent"][0]
        assert (data == agent.read_bytes()) == (config["architecture"] == "arm64")
    assert "no agent for" not in done.stderr
    assert push.ok().stdout == done.stdout


def test_agents_beside_the_program(push, ecr, programs, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib/berth").mkdir(parents=True)
    shutil.copy(programs.driver, tmp_path / "bin/berth-driver")
    as_arm64(tmp_path / "lib/berth/berth-agent-aarch64")
    shutil.copy(BUSYBOX, tmp_path / "lib/berth/busybox-x86_64")
    shutil.copy("/etc/passwd", tmp_path / "bin/busybox-aarch64")  # not a program
    push.driver.program = tmp_path / "bin/berth-driver"
    push.settings["Helper"]["Busybox"] = "/nonexistent"
    done = push.ok()
    index = json.loads(ecr.images[ecr.tags[name_in(done, "AgentImage")[1]]])
    found = []
    for entry in index["manifests"]:
        manifest = json.loads(ecr.images[entry["digest"]])
        found.append(set(contents(ecr.layers[manifest["layers"][0]["digest"]])))
    assert found == [{"berth-agent", "busybox"}, {"berth-agent"}]
    warning = "no static busybox for arm64 was found: jobs of that processor in images without a"
    assert warning in done.stderr and "put busybox-aarch64 beside" in done.stderr
    assert "busybox for amd64" not in done.stderr


@pytest.mark.parametrize("path", ["/bin/ls", "/nonexistent", "/etc/passwd", "/"])
def test_a_busybox_that_is_not_one(push, ecr, path):
    push.settings["Helper"]["Busybox"] = path
    assert f"'{path}' is not a static program" in push.fails()
    assert ecr.calls == []


def test_no_busybox_is_wanted(push, ecr):
    push.settings["Helper"]["Busybox"] = "none"
    _, tag = name_in(push.ok(), "AgentImage")
    (layer,) = json.loads(ecr.images[ecr.tags[tag]])["layers"]
    assert set(contents(ecr.layers[layer["digest"]])) == {"berth-agent"}


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeRepositories",
        "CreateRepository",
        "BatchCheckLayerAvailability",
        "InitiateLayerUpload",
        "UploadLayerPart",
        "CompleteLayerUpload",
        "PutImage",
    ],
)
def test_a_missing_permission_is_named(push, ecr, operation):
    ecr.denied.add(operation)
    log = push.fails()
    assert ecr.count(operation) == 1  # final: not repeated
    ecr.denied.add("DescribeRepositories")  # whether it exists is not known
    assert operation in json.dumps(json.loads(push.ok("--policy").stdout))
    assert f"ecr:{operation} is not allowed" in log
    assert f"allow ecr:{operation} on arn:aws:ecr:{REGION}:{ACCOUNT}:repository/" in log


def test_the_policy_for_a_repository_that_exists(push, ecr):
    """It need not be created."""
    before = push.ok("--policy").stdout
    assert b"ecr:CreateRepository" in before and ecr.count("CreateRepository") == 0
    push.ok()
    after = push.ok("--policy").stdout
    assert b"ecr:CreateRepository" not in after and b"ecr:PutImage" in after


@pytest.mark.parametrize(
    "name", ["A", "a", "-ab", "ab/", "a//b", "ab:tag", "ab@x", "a b", "x" * 300]
)
def test_names_that_are_not_valid(push, ecr, name):
    assert "is not a valid name of an ECR repository" in push.fails("--", repository=name)
    assert [call for call in ecr.calls if call.service == "ecr"] == []


def test_the_full_name_of_a_repository(push, ecr):
    uri = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{push.repository}"
    assert name_in(push.ok(repository=uri), "AgentImage")[0] == uri


def test_a_repository_of_another_account(push, ecr):
    uri = f"210987654321.dkr.ecr.{REGION}.amazonaws.com/{push.repository}"
    log = push.fails(repository=uri)
    assert "the account 210987654321 has no repository" in log and ACCOUNT in log
    assert ecr.count("CreateRepository") == 0


def test_a_repository_of_another_region(push, ecr):
    uri = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/{push.repository}"
    done = push.ok(repository=uri)
    assert "each task pulls it from" in done.stderr
    assert name_in(done, "AgentImage")[0] == uri
    assert {call.region for call in ecr.calls if call.service == "ecr"} == {"eu-central-1"}


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("UploadLayerPart", "reset"),
        ("UploadLayerPart", "code:400,InvalidLayerPartException"),
        ("UploadLayerPart", "code:400,UploadNotFoundException"),
        ("CompleteLayerUpload", "code:400,InvalidLayerException"),
        ("CompleteLayerUpload", "code:500,ServerException"),
        ("InitiateLayerUpload", "throttle"),
        ("PutImage", "reset"),
        ("BatchCheckLayerAvailability", "truncated"),
    ],
)
def test_broken_uploads_are_repeated(push, ecr, operation, fault):
    ecr.once[operation] = [fault]
    push.ok()
    assert ecr.once[operation] == []


def test_a_layer_that_another_push_uploaded_meanwhile(push, ecr):
    real = ecr.check_CompleteLayerUpload

    def check(request):
        return real(request) or "LayerAlreadyExistsException"

    ecr.check_CompleteLayerUpload = check
    push.ok()


def test_an_upload_that_never_succeeds(push, ecr):
    ecr.always["UploadLayerPart"] = "code:400,InvalidLayerPartException"
    log = push.fails()
    assert "InvalidLayerPartException" in log and 2 <= ecr.count("UploadLayerPart") <= 8


def test_options(push, ecr):
    assert "--runner-version is for --helper" in push.fails("--runner-version", "19.4.0", status=2)
    assert "needs the version of GitLab Runner" in push.fails("--helper")
    assert "is not a version of GitLab Runner" in push.fails("--helper", "--runner-version", "x")
    push.settings["Helper"]["Image"] = "helper:$CI_RUNNER_VERSION"
    assert "has a variable" in push.fails("--helper")


def test_a_request_to_stop(push, ecr):
    ecr.always["UploadLayerPart"] = "silent"
    process = push.driver.start("push-agent", push.repository, env=push.env)
    until(lambda: ecr.count("UploadLayerPart"), 60, "an upload")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0


# --- the helper ---


@pytest.fixture
def source(push, tmp_path):
    with Registry(tmp_path / "registry") as running:
        push.settings["Helper"]["InsecureRegistries"] = [running.host]
        yield running


def layers_of(*sizes):
    return [os.urandom(size) for size in sizes]


def blobs_read(source, count):
    """The registry logs a request some time after its answer."""

    def lines():
        return [line for line in source.requests() if "/blobs/" in line]

    until(lambda: len(lines()) >= count, what=f"{count} blobs in the registry's log")
    return lines()


@pytest.mark.parametrize("kind", ["manifest", "index"])
def test_copy_of_a_helper(push, ecr, source, kind):
    layers = layers_of(12 << 20, 1000, 5 << 20)
    images = [Image(layers=layers, kind=DOCKER_MANIFEST)]
    if kind == "index":
        images += [Image("arm64", layers=layers_of(100)), Image("unknown", os="unknown")]
    digest = source.push("gitlab/helper", "x86_64-v19.4.0", *images)
    push.settings["Helper"]["Image"] = f"{source.host}/gitlab/helper:x86_64-v19.4.0"
    agent = name_in(push.ok(), "AgentImage")
    parts = ecr.count("UploadLayerPart") + 6 + (4 if kind == "index" else 0)
    done = push.ok("--helper")
    uri, tag = name_in(done, "Image")
    assert name_in(done, "AgentImage") == agent and uri == agent[0]
    assert uri.endswith("/" + push.repository) and tag == "helper-x86_64-v19.4.0"
    assert ecr.tags[tag] == digest and len(ecr.tags) == 2
    for image in images:
        assert ecr.images[image.digest] == image.manifest
        for blob in [image.config, *image.layers]:
            assert ecr.layers[digest_of(blob)] == blob
    assert ecr.count("UploadLayerPart") == parts
    assert "layer 1 of 3" in done.stderr and "uploading 12.0 MiB" in done.stderr
    pulled = sum(1 + len(image.layers) for image in images)
    assert len(blobs_read(source, pulled)) == pulled
    push.ok("--helper")
    assert ecr.count("UploadLayerPart") == parts
    pulled += len(images)  # configurations alone
    assert len(blobs_read(source, pulled)) == pulled


@pytest.mark.waits
def test_a_layer_is_not_held_in_memory(push, ecr, source):
    if "sanitize" in str(push.driver.program):
        pytest.skip("the sanitizer's own memory is in the way")
    image = Image(layers=layers_of(64 << 20))
    source.push("helper", "1", image)
    push.settings["Helper"]["Image"] = f"{source.host}/helper:1"
    process = push.driver.start("push-agent", "--helper", push.repository, env=push.env)
    with Growth(process.pid) as growth:
        assert process.wait(120) == 0, process.stderr.read()
    assert growth.mib < 40, growth.mib


def test_a_copy_by_digest(push, ecr, source):
    digest = source.push("helper", "1", Image())
    push.settings["Helper"]["Image"] = f"{source.host}/helper@{digest}"
    assert name_in(push.ok("--helper"), "Image")[1] == "helper-" + digest[7:19]


def test_a_copy_that_broke_off_is_continued(push, ecr, source):
    image = Image(layers=layers_of(1000, 2000, 3000))
    source.push("helper", "1", image)
    push.settings["Helper"]["Image"] = f"{source.host}/helper:1"
    real = ecr.check_CompleteLayerUpload

    def check(request):
        third = request["layerDigests"] == [digest_of(image.layers[2])]
        return "AccessDeniedException" if third else real(request)

    ecr.check_CompleteLayerUpload = check
    assert "layer 3 of 3" in push.fails("--helper")
    ecr.check_CompleteLayerUpload = real
    before = ecr.count("UploadLayerPart")
    push.ok("--helper")
    assert ecr.count("UploadLayerPart") == before + 2  # the third layer, the configuration


def test_a_private_helper(push, ecr, tmp_path):
    with Registry(tmp_path / "registry", "basic") as source:
        push.settings["Helper"]["InsecureRegistries"] = [source.host]
        source.push("helper", "1", Image())
        push.settings["Helper"]["Image"] = f"{source.host}/helper:1"
        log = push.fails("--helper")
        assert "HTTP 401" in log and f"log in with 'docker login {source.host}'" in log
        (tmp_path / "docker").mkdir()
        entry = {"username": "ci-user", "password": "word-of-ci-user"}
        config = {"auths": {source.host: entry}}
        (tmp_path / "docker/config.json").write_text(json.dumps(config))
        push.env["DOCKER_CONFIG"] = str(tmp_path / "docker")
        push.ok("--helper")


def test_a_helper_that_does_not_exist(push, ecr, source):
    push.settings["Helper"]["Image"] = f"{source.host}/helper:1"
    assert "HTTP 404 for the manifest" in push.fails("--helper")
    assert [tag for tag in ecr.tags if tag.startswith("helper")] == []


def test_immutable_tags(push, ecr, source):
    source.push("helper", "1", Image())
    push.settings["Helper"]["Image"] = f"{source.host}/helper:1"
    push.ok("--helper")
    ecr.immutable = True
    push.ok("--helper")
    source.push("helper", "1", Image(User="other"))
    assert "tags are immutable" in push.fails("--helper")


@pytest.fixture
def rude(push):
    with RudeRegistry() as running:
        push.settings["Helper"] = {
            "InsecureRegistries": [running.host],
            "Image": f"{running.host}/helper:1",
        }
        yield running


def cut(data):
    """Half of it, once; then all."""
    calls = []

    def answer(handler):
        calls.append(1)
        if len(calls) > 1:
            handler.reply(200, data)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])

    return answer


def test_a_download_that_breaks_off(push, ecr, rude):
    image = Image(layers=layers_of(7 << 20))
    rude.put_image("helper", "1", image)
    rude.answers[f"/v2/helper/blobs/{digest_of(image.layers[0])}"] = cut(image.layers[0])
    done = push.ok("--helper")
    assert "starting it again" in done.stderr
    assert ecr.layers[digest_of(image.layers[0])] == image.layers[0]


@pytest.mark.parametrize("lie", ["other bytes", "too long", "too short"])
def test_layers_that_are_not_what_they_were(push, ecr, rude, lie):
    image = Image(layers=[b"x" * 1000])
    rude.put_image("helper", "1", image)
    data = {"other bytes": b"y" * 1000, "too long": b"x" * 1001, "too short": b"x" * 999}[lie]
    rude.put(f"/v2/helper/blobs/{digest_of(image.layers[0])}", data)
    push.fails("--helper")
    assert digest_of(image.layers[0]) not in ecr.layers and len(ecr.tags) == 1


def test_manifests_that_are_not_what_they_were(push, ecr, rude):
    image, other = Image(), Image("arm64")
    rude.put_index("helper", "1", [image])
    rude.put(f"/v2/helper/manifests/{image.digest}", other.manifest, other.kind)
    assert "content of another digest" in push.fails("--helper")
    inner = index_of([image])
    entry = {"mediaType": OCI_INDEX, "digest": digest_of(inner), "size": len(inner)}
    rude.put(f"/v2/helper/manifests/{digest_of(inner)}", inner, OCI_INDEX)
    rude.put_index("helper", "1", [], more=[entry])
    assert "index within an index" in push.fails("--helper")
    rude.put_index("helper", "1", [], more=[entry] * 40)
    assert "more than 32 entries" in push.fails("--helper")
    assert len(ecr.tags) == len(ecr.images) == 1  # the agent's


HELPER = "gitlab-org/gitlab-runner/gitlab-runner-helper"


def test_gitlabs_helper_of_a_version(push, ecr, tmp_path):
    """Both processors' images, from GitLab's registry with its tokens and storage, as one index."""
    gitlab, storage = "registry.gitlab.com", "storage.example"
    images = {"x86_64": Image(layers=layers_of(6 << 20, 100)), "arm64": Image("arm64")}
    with Internet(tmp_path, gitlab, storage) as internet:
        registry = internet.hosts[gitlab]
        for name, image in images.items():
            registry.put_image(HELPER, f"{name}-v19.4.0", image)
        blob = f"/v2/{HELPER}/blobs/{digest_of(images['x86_64'].layers[0])}"
        internet.hosts[storage].answers["/blob"] = registry.answers[blob]
        place = f"https://{storage}/blob?signature=a%2Fb"
        registry.answers[blob] = (307, b"", {"Location": place})
        push.env |= internet.env | {"no_proxy": "127.0.0.1"}
        done = push.ok("--helper", "--runner-version", "19.4.0")
        uri, tag = name_in(done, "Image")
        assert tag == "helper-v19.4.0" and uri.endswith(push.repository)
        index = json.loads(ecr.images[ecr.tags[tag]])
        assert [(entry["digest"], entry["platform"]) for entry in index["manifests"]] == [
            (image.digest, image.platform) for image in images.values()
        ]
        assert push.ok("--helper", "--runner-version", "19.4.0").stdout == done.stdout
        log = push.fails("--helper", "--runner-version", "19.5.0")
        assert "HTTP 404" in log and "helper-v19.5.0" not in ecr.tags


def install_runner(push, directory, printed):
    program = directory / "bin/gitlab-runner"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{printed}'\n")
    program.chmod(0o755)
    if not push.env["PATH"].startswith(f"{program.parent}:"):
        push.env["PATH"] = f"{program.parent}:{push.env['PATH']}"


def test_a_copy_is_not_copied(push, ecr, tmp_path):
    """After an upgrade of GitLab Runner 'Image' is the copy of the version before."""
    with Internet(tmp_path, "registry.gitlab.com") as internet:
        for version in ("19.4.0", "19.5.0"):
            for name, image in (("x86_64", Image()), ("arm64", Image("arm64"))):
                registry = internet.hosts["registry.gitlab.com"]
                registry.put_image(HELPER, f"{name}-v{version}", image)
        push.env |= internet.env | {"no_proxy": "127.0.0.1"}
        uri, tag = name_in(push.ok("--helper", "--runner-version", "19.4.0"), "Image")
        push.settings["Helper"]["Image"] = f"{uri}:{tag}"
        log = push.fails("--helper")
        assert "is a copy in this repository" in log and "add --runner-version" in log
        assert "helper-" + tag not in ecr.tags
        install_runner(push, tmp_path, "Version:      19.5.0")
        assert name_in(push.ok("--helper"), "Image") == (uri, "helper-v19.5.0")
        again = push.ok("--helper", "--runner-version", "19.4.0")
        assert name_in(again, "Image") == (uri, tag)


@pytest.mark.parametrize("printed", ["Version:      19.4.0\nGit revision: x", "nothing", ""])
def test_the_installed_runner_names_the_version(push, ecr, tmp_path, printed):
    install_runner(push, tmp_path, printed)
    with Internet(tmp_path, "registry.gitlab.com") as internet:
        for name, image in (("x86_64", Image()), ("arm64", Image("arm64"))):
            internet.hosts["registry.gitlab.com"].put_image(HELPER, f"{name}-v19.4.0", image)
        push.env |= internet.env | {"no_proxy": "127.0.0.1"}
        if printed.startswith("Version"):
            assert name_in(push.ok("--helper"), "Image")[1] == "helper-v19.4.0"
        else:
            assert "needs the version of GitLab Runner" in push.fails("--helper")
            assert ecr.calls == []
