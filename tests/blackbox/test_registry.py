# SPDX-License-Identifier: MIT
"""driver/registry against Debian's docker-registry, by image-probe: look-ups, logins, cache."""

import base64
import contextlib
import json
import os
import socket
import subprocess

import pytest

from support.driver import write_config
from support.ecs_moto import KEYS, REGION
from support.registry import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    PASSWORD,
    USER,
    Image,
    Internet,
    Registry,
    TokenServer,
)

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:registry"
KIND_USAGE, KIND_SYSTEM = 1, 3
CONFIG = {
    "User": "node",
    "Entrypoint": ["/entry", "--x"],
    "Cmd": ["serve"],
    "ExposedPorts": {"5432/tcp": {}, "53/udp": {}, "8000-8002/tcp": {}, "443": {}},
}


def basic(user=USER, password=PASSWORD):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


class Probe:
    """look(name, *patterns): the answer of image-probe; .log its log lines."""

    def __init__(self, programs, directory):
        self.programs, self.directory = programs, directory
        self.metadata = directory / "metadata"
        self.metadata.mkdir(mode=0o700)
        self.settings = {
            "Backend": "ecs",
            "TaskMetadata": {"Directory": str(self.metadata)},
            "Fargate": {"Region": "eu-west-1"},
            "Helper": {},
        }
        keep = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
        self.env = {name: os.environ[name] for name in keep if name in os.environ}
        self.env |= {"HOME": str(directory), "AWS_EC2_METADATA_DISABLED": "true"}
        self.log = ""

    def insecure(self, *hosts):
        self.settings["Helper"].setdefault("InsecureRegistries", []).extend(hosts)

    def login(self, host, user=USER, password=PASSWORD):
        entry = {"auth": basic(user, password)}
        self.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {host: entry}})

    def look(self, name, *patterns, **how):
        (got,) = self.look_all([name], *patterns, **how)
        return got

    def look_all(self, names, *patterns, architecture="amd64", deadline_s=20):
        """The images of one job."""
        config = write_config(self.directory / "probe.toml", self.settings)
        done = subprocess.run(
            [self.programs.tool("image-probe"), config, architecture, " ".join(names), *patterns],
            env=self.env, capture_output=True, timeout=deadline_s, check=False,
        )  # fmt: skip
        self.log = done.stderr.decode()
        assert done.returncode == 0, self.log
        assert PASSWORD not in self.log
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def probe(programs, tmp_path):
    return Probe(programs, tmp_path)


@pytest.fixture
def registry(tmp_path, probe):
    with Registry(tmp_path / "registry") as running:
        probe.insecure(running.host)
        yield running


@pytest.fixture
def guarded(tmp_path, probe):
    """With htpasswd."""
    with Registry(tmp_path / "registry", "basic") as running:
        probe.insecure(running.host)
        yield running


@pytest.fixture
def tokens(tmp_path):
    with TokenServer(tmp_path, public={"open/app"}, readers={USER: ["mine/app"]}) as running:
        yield running


@pytest.fixture
def bearer(tmp_path, probe, tokens):
    """With tokens of a server of its own."""
    with Registry(tmp_path / "registry", tokens) as running:
        probe.insecure(running.host, tokens.host)
        for repository in ("open/app", "mine/app", "theirs/app"):
            running.push(repository, "1", Image(**CONFIG))
        yield running


@pytest.mark.parametrize("kind", [None, OCI_INDEX, DOCKER_INDEX])
def test_facts_of_an_image(probe, registry, kind):
    images = [
        Image(layers=[b"a" * 1000, b"b" * 234], kind=DOCKER_MANIFEST, **CONFIG),
        *([Image("arm64", layers=[b"c" * 50], kind=DOCKER_MANIFEST)] if kind else []),
    ]
    digest = registry.push("group/app", "1", *images, kind=kind)
    got = probe.look(f"{registry.host}/group/app:1")
    assert got["ok"] and got["known"], probe.log
    assert got["digest"] == digest and got["platform"] == "linux/amd64"
    assert (got["user"], got["bytes"]) == ("node", 1234)
    assert (got["entrypoint"], got["command"]) == (["/entry", "--x"], ["serve"])
    assert got["ports"] == [443, 5432, 8000, 8001, 8002]
    assert got["image"] == f"{registry.host}/group/app:1" and got["secret"] == ""


def test_a_soci_index(probe, registry):
    """Read from the registry, then from the cache."""
    index = {"com.amazon.soci.index-digest": f"sha256:{1:064x}"}
    registry.push("app", "1", Image(annotations=index), Image("arm64"))
    for _ in range(2):
        assert probe.look(f"{registry.host}/app:1")["soci"] is True
        assert probe.look(f"{registry.host}/app:1", architecture="arm64")["soci"] is False


def test_one_head_once_the_digest_is_known(probe, registry):
    registry.push("app", "1", Image(**CONFIG), Image("arm64"))
    registry.push("app", "other", Image(layers=[b"other"]))
    first = probe.look(f"{registry.host}/app:1")
    assert len(registry.requests(4)) == 4  # HEAD, index, manifest, configuration
    again = probe.look(f"{registry.host}/app:1")
    assert registry.requests(5)[4:] == ["HEAD /v2/app/manifests/1"]
    first.pop("took_ms"), again.pop("took_ms")
    assert again == first and again["known"]
    file = probe.metadata / ".registries"
    assert file.stat().st_mode & 0o7777 == 0o600
    # The same tag with another content, another tag, another processor are read again.
    registry.push("app", "1", Image(layers=[b"new"], User="nobody"))
    assert probe.look(f"{registry.host}/app:1")["user"] == "nobody"
    assert probe.look(f"{registry.host}/app:other")["user"] == ""


@pytest.mark.parametrize("spoilt", [b"", b"{", b"[]", b'{"version":2,"images":7}', b"\0" * 2000000])
def test_a_spoilt_cache_is_an_empty_one(probe, registry, spoilt):
    registry.push("app", "1", Image(**CONFIG))
    (probe.metadata / ".registries").write_bytes(spoilt)
    (probe.metadata / ".registries").chmod(0o600)
    assert probe.look(f"{registry.host}/app:1")["user"] == "node"
    assert probe.look(f"{registry.host}/app:1")["user"] == "node"
    assert [r.split()[0] for r in registry.requests(4)] == ["HEAD", "GET", "GET", "HEAD"]


def test_the_cache_is_bounded(probe, registry):
    for number in range(130):
        entry = {"at": 1000 + number, "platform": "linux/amd64", "entrypoint": [], "command": []}
        if number == 0:
            images = {}
        images[f"sha256:{number:064x} linux/amd64"] = entry
    file = probe.metadata / ".registries"
    file.write_text(json.dumps({"version": 2, "images": images}))
    file.chmod(0o600)
    digest = registry.push("app", "1", Image(**CONFIG))
    assert probe.look(f"{registry.host}/app:1")["known"]
    kept = json.loads(file.read_text())["images"]
    assert len(kept) == 128 and f"{digest} linux/amd64" in kept
    assert f"sha256:{0:064x} linux/amd64" not in kept  # the oldest go


def test_wrong_processor(probe, registry):
    registry.push("single", "1", Image("arm64"))
    registry.push("both", "1", Image("arm64", variant="v8"), Image("s390x"))
    for name, built in (("single", "linux/arm64"), ("both", "linux/arm64, linux/s390x")):
        got = probe.look(f"{registry.host}/{name}:1")
        assert not got["ok"] and got["kind"] == KIND_USAGE
        assert f"is built for {built}, and the task runs on linux/amd64" in got["message"]
        assert probe.look(f"{registry.host}/{name}:1", architecture="arm64")["known"]


def test_what_does_not_exist(probe, registry):
    digest = registry.push("app", "1", Image())
    missing = "sha256:" + "0" * 64
    for name in ("app:2", "nothing:1", f"app@{missing}"):
        got = probe.look(f"{registry.host}/{name}")
        assert not got["ok"] and got["kind"] == KIND_USAGE
        assert f"image '{registry.host}/{name}' does not exist" in got["message"]
    assert probe.look(f"{registry.host}/app@{digest}")["digest"] == digest
    got = probe.look(f"{registry.host}/app:1@{digest}")
    assert got["known"] and got["image"].endswith(f":1@{digest}")


def test_only_hosts_that_the_administrator_named(probe, registry):
    registry.push("app", "1", Image(**CONFIG))
    name = f"{registry.host}/app:1"
    probe.settings["Helper"]["InsecureRegistries"] = []
    got = probe.look(name, "**")
    assert got["ok"] and not got["known"] and registry.requests() == []
    probe.insecure(registry.host)
    assert probe.look(name, "**")["known"]


def test_a_registry_on_this_host_is_not_asked(probe, registry):
    """Without InsecureRegistries: neither by HTTPS nor by HTTP."""
    registry.push("app", "1", Image(**CONFIG))
    probe.settings["Helper"]["InsecureRegistries"] = []
    got = probe.look(f"{registry.host}/app:1", f"{registry.host}/*")
    assert got["ok"] and not got["known"] and registry.requests() == []
    assert "loopback" in probe.log


# --- logins ---


def test_basic_login(probe, guarded):
    guarded.push("app", "1", Image(**CONFIG))
    name = f"{guarded.host}/app:1"
    got = probe.look(name)
    assert got["ok"] and not got["known"]  # refused: silent
    probe.login(guarded.host)
    assert probe.look(name)["user"] == "node"
    probe.login(guarded.host, password="wrong")
    got = probe.look(name)
    assert got["ok"] and not got["known"]
    probe.login("other.example")
    assert not probe.look(name)["known"]


def test_missing_image_with_a_login(probe, guarded):
    probe.login(guarded.host)
    got = probe.look(f"{guarded.host}/app:1")
    assert not got["ok"] and "does not exist" in got["message"]


def test_credentials_of_the_job_response(probe, guarded, tmp_path):
    guarded.push("app", "1", Image(**CONFIG))
    response = tmp_path / "response.json"
    entry = {"type": "registry", "url": guarded.host, "username": USER, "password": PASSWORD}
    response.write_text(json.dumps({"id": 1, "credentials": [{"type": "x"}, entry]}))
    probe.env["JOB_RESPONSE_FILE"] = str(response)
    assert probe.look(f"{guarded.host}/app:1")["user"] == "node"


def test_logins_of_this_host_are_not_used(probe, guarded):
    guarded.push("app", "1", Image(**CONFIG))
    (probe.directory / ".docker").mkdir()
    config = {"auths": {guarded.host: {"auth": basic()}}}
    (probe.directory / ".docker/config.json").write_text(json.dumps(config))
    assert not probe.look(f"{guarded.host}/app:1")["known"]


def test_tokens(probe, bearer, tokens):
    assert probe.look(f"{bearer.host}/open/app:1")["user"] == "node"
    assert tokens.requests[-1][1] is None
    assert "scope=repository%3Aopen%2Fapp%3Apull" in tokens.requests[-1][0]
    assert not probe.look(f"{bearer.host}/mine/app:1")["known"]
    probe.login(bearer.host)
    assert probe.look(f"{bearer.host}/mine/app:1")["user"] == "node"
    assert tokens.requests[-1][1] == "Basic " + basic()
    got = probe.look(f"{bearer.host}/theirs/app:1")
    assert got["ok"] and not got["known"]


def test_identity_token(probe, bearer, tokens):
    entry = {"identitytoken": tokens.identity}
    probe.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {bearer.host: entry}})
    assert probe.look(f"{bearer.host}/mine/app:1")["user"] == "node"
    path, form = tokens.requests[-1]
    assert path == "/token" and form["grant_type"] == ["refresh_token"]
    assert form["scope"] == ["repository:mine/app:pull"]


# --- RegistrySecrets and ImageRewrite ---


def secret(probe, host, **more):
    probe.settings["Fargate"] |= {"RegistrySecrets": [f"{host}={SECRET}"], **more}


def test_a_secret_needs_the_jobs_own_login(probe, bearer):
    secret(probe, bearer.host)
    got = probe.look(f"{bearer.host}/mine/app:1", f"{bearer.host}/**")
    assert not got["ok"] and got["kind"] == KIND_USAGE
    assert "needs a login, and this job has none" in got["message"]
    probe.login(bearer.host)
    got = probe.look(f"{bearer.host}/mine/app:1", f"{bearer.host}/**")
    assert (got["secret"], got["user"]) == (SECRET, "node")
    got = probe.look(f"{bearer.host}/theirs/app:1", f"{bearer.host}/**")
    assert not got["ok"] and "refused this job's login" in got["message"]
    # Public images need no login; names of the configuration are the administrator's.
    assert probe.look(f"{bearer.host}/open/app:1", "**")["secret"] == SECRET
    del probe.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"]
    assert probe.look(f"{bearer.host}/open/app:1", "**")["secret"] == SECRET
    assert probe.look(f"{bearer.host}/theirs/app:1")["secret"] == SECRET


def test_shared_secrets(probe, bearer):
    secret(probe, bearer.host, RegistrySecretsShared=True)
    got = probe.look(f"{bearer.host}/mine/app:1", "**")
    assert got["ok"] and (got["secret"], got["known"]) == (SECRET, False)
    probe.login(bearer.host)  # a login that is refused still counts
    got = probe.look(f"{bearer.host}/theirs/app:1", "**")
    assert not got["ok"] and "refused" in got["message"]


@pytest.mark.parametrize("shared", [False, True])
def test_a_secret_without_an_answer(probe, bearer, shared):
    host = f"127.0.0.1:{1}"
    probe.insecure(host)
    secret(probe, host, RegistrySecretsShared=shared)
    probe.login(host)
    for _ in range(2):  # the second time the host is known to be silent
        got = probe.look(f"{host}/mine/app:1", "**")
        if shared:
            assert got["ok"] and got["secret"] == SECRET
        else:
            assert not got["ok"] and "cannot check whether this job may read" in got["message"]
            assert got["kind"] == KIND_SYSTEM, "the registry may answer later"


def test_no_secret_for_another_host(probe, registry):
    registry.push("app", "1", Image(**CONFIG))
    secret(probe, "registry.example")
    assert probe.look(f"{registry.host}/app:1", "**")["secret"] == ""


@pytest.mark.parametrize(
    ("written", "pulled"),
    [
        ("node:22", "{}/hub/library/node:22"),
        ("docker.io/library/node:22", "{}/hub/library/node:22"),
        ("bitnami/redis", "{}/hub/bitnami/redis"),
        ("quay.io/a/b:1", "{}/quay/b:1"),
        ("quay.io/ab/b:1", "quay.io/ab/b:1"),
        ("quay.io/a", "{}/quay"),
    ],
)
def test_image_rewrite(probe, registry, written, pulled):
    pulled = pulled.format(registry.host)
    probe.settings["Fargate"]["ImageRewrite"] = [
        f"docker.io={registry.host}/hub",
        f"quay.io/a={registry.host}/quay/",
    ]
    if pulled.startswith(registry.host):
        repository, _, tag = pulled.partition("/")[2].partition(":")
        registry.push(repository, tag or "latest", Image(**CONFIG))
    got = probe.look(written, "nothing/**")
    assert got["ok"] and got["image"] == pulled, got
    assert got["known"] == pulled.startswith(registry.host)


def test_a_cache_that_is_filled_by_the_pull(probe, registry):
    """404 from the target of a rewrite is no verdict: the pull fills it."""
    probe.settings["Fargate"]["ImageRewrite"] = [
        f"a.example={registry.host}/a",
        f"{registry.host}/origin={registry.host}/copy",
    ]
    got = probe.look("a.example/app:1", "nothing/**")
    assert got["ok"] and not got["known"]
    got = probe.look(f"{registry.host}/a/app:1", "**")  # written with the target's name
    assert got["ok"] and not got["known"]
    got = probe.look(f"{registry.host}/origin/app:1", "**")
    assert not got["ok"] and "does not exist" in got["message"]
    registry.push("origin/app", "1", Image(**CONFIG))
    got = probe.look(f"{registry.host}/origin/app:1", "**")
    assert got["known"] and got["image"] == f"{registry.host}/copy/app:1"


@pytest.mark.parametrize(
    ("table", "key", "entry"),
    [
        ("Helper", "InsecureRegistries", "http://r.example"),
        ("Helper", "InsecureRegistries", "r.example/"),
        ("Helper", "InsecureRegistries", "registry"),
        ("Fargate", "RegistrySecrets", SECRET),
        ("Fargate", "RegistrySecrets", "r.example"),
        ("Fargate", "RegistrySecrets", f"r.example/path={SECRET}"),
        ("Fargate", "RegistrySecrets", "r.example=secret-name"),
        ("Fargate", "ImageRewrite", "docker.io"),
        ("Fargate", "ImageRewrite", "docker.io="),
        ("Fargate", "ImageRewrite", "library=r.example/x"),
        ("Fargate", "ImageRewrite", "docker.io=r.example/a b"),
        ("Fargate", "ImageRewrite", "docker.io=https://r.example/x"),
    ],
)
def test_entries_that_are_not_valid(probe, table, key, entry):
    """A misspelt entry would never match: it is reported with file and line."""
    probe.settings[table][key] = [entry]
    got = probe.look("nowhere.invalid/app:1", "nowhere.invalid/**")
    assert not got["ok"] and got["kind"] == KIND_USAGE
    assert f"{key}: '{entry}' is not" in got["message"] and "probe.toml:" in got["message"]


# --- registries by name ---

HUB, TOKENS = "registry-1.docker.io", "auth.docker.io"
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
PUBLIC = "public.ecr.aws"


@pytest.fixture
def internet(probe, tmp_path):
    with Internet(tmp_path, HUB, TOKENS, ECR, PUBLIC) as running:
        probe.env |= running.env
        yield running


def needs(answers, challenge, authorization):
    """The answers, for requests with this header alone."""

    def guard(answer):
        def reply(handler):
            if handler.headers.get("Authorization") == authorization:
                handler.reply(answer[0], answer[1], **answer[2])
            else:
                handler.reply(401, b"", WWW_Authenticate=challenge)

        return reply

    return {path: guard(answer) for path, answer in answers.items()}


@pytest.mark.parametrize(
    "name", ["node:22", "docker.io/library/node:22", "index.docker.io/node:22"]
)
def test_docker_hub(probe, internet, name):
    """Names without a registry; tokens of another host, anonymous."""
    hub, tokens = internet.hosts[HUB], internet.hosts[TOKENS]
    hub.put_index("library/node", "22", [Image(**CONFIG), Image("arm64")])
    challenge = f'Bearer realm="https://{TOKENS}/token",service="registry.docker.io"'
    hub.answers = needs(hub.answers, challenge, "Bearer of-the-hub")
    tokens.answers["/token"] = (200, json.dumps({"token": "of-the-hub"}).encode(), {})
    got = probe.look(name, "**")
    assert got["known"] and got["user"] == "node", probe.log
    assert got["image"] == name
    ((method, path, headers),) = tokens.requests
    assert path == "/token?service=registry.docker.io&scope=repository%3Alibrary%2Fnode%3Apull"
    assert method == "GET" and "Authorization" not in headers


def name_of_this_host():
    for name in ("ip6-loopback", "ip6-localhost", "localhost.localdomain", socket.gethostname()):
        with contextlib.suppress(OSError):
            address = socket.getaddrinfo(name, 443)[0][4][0]
            if address == "::1" or address.startswith("127."):
                return name
    return pytest.skip("no name but 'localhost' leads to this host")


def test_a_name_that_leads_to_this_host(probe):
    """The address that a name has counts, not the name."""
    host = f"{name_of_this_host()}:443"
    got = probe.look(f"{host}/app:1", f"{host}/**")
    assert got["ok"] and not got["known"]
    assert "its address is not allowed here" in probe.log


def test_an_image_in_ecr(probe, internet, moto):
    """The login is GetAuthorizationToken's; a 404 is a failure."""
    registry = internet.hosts[ECR]
    registry.put_image("ci/app", "1", Image(**CONFIG))
    data = moto.client("ecr").get_authorization_token()["authorizationData"][0]
    authorization = "Basic " + data["authorizationToken"]
    challenge = f'Basic realm="https://{ECR}/",service="ecr.amazonaws.com"'
    registry.answers = needs(registry.answers, challenge, authorization)
    probe.settings["Fargate"]["Region"] = REGION
    probe.env |= {"AWS_ENDPOINT_URL": moto.url, **KEYS}
    secret(probe, ECR)  # not used: the execution role reads ECR
    got = probe.look(f"{ECR}/ci/app:1", "**")
    assert got["known"] and got["user"] == "node" and got["secret"] == "", probe.log
    got = probe.look(f"{ECR}/ci/app:2", "**")
    assert not got["ok"] and "ImageRewrite" in got["message"]


def test_an_image_in_ecr_without_credentials(probe, internet):
    probe.env |= {"AWS_ACCESS_KEY_ID": "", "AWS_CONFIG_FILE": "/nonexistent"}
    got = probe.look(f"{ECR}/ci/app:1", "**")
    assert got["ok"] and not got["known"] and internet.connects == []


def test_only_with_a_pattern_that_spells_the_host_out(probe, internet):
    internet.hosts[PUBLIC].put_image("docker/library/node", "22", Image(**CONFIG))
    name = f"{PUBLIC}/docker/library/node:22"
    for pattern, known in (("**", False), ("*/docker/**", False), (f"{PUBLIC}/**", True)):
        got = probe.look(name, "nothing", pattern)
        assert got["ok"] and got["known"] == known, pattern
    assert not probe.look(name, f"{PUBLIC}/other/*")["known"]
    assert probe.look(name)["known"]
