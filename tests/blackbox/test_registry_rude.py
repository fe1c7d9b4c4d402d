# SPDX-License-Identifier: MIT
"""driver/registry against registries that lie, flood, stay silent or lead elsewhere."""

import contextlib
import json
import signal
import socket
import subprocess
import time

import pytest

from support.driver import write_config
from support.registry import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    RudeRegistry,
    digest_of,
    dump,
    index_of,
)
from support.waiting import until
from test_registry import CONFIG, Probe, basic

LIMIT_MS = 2000
SLACK_MS = 20_000  # of a loaded machine
MANIFEST = "/v2/app/manifests/1"


@pytest.fixture
def probe(programs, tmp_path):
    return Probe(programs, tmp_path)


@pytest.fixture
def rude(probe):
    with RudeRegistry() as running:
        probe.insecure(running.host)
        yield running


def look(probe, rude, name="app:1", **how):
    return probe.look(f"{rude.host}/{name}", **how)


def is_silent(got):
    """Neither a failure nor facts."""
    return got["ok"] and not got["known"]


def test_honest(probe, rude):
    rude.put_image("app", "1", Image(**CONFIG))
    got = look(probe, rude)
    assert got["known"] and got["user"] == "node"


# --- lies about content ---


def spoil(image, **changes):
    manifest = json.loads(image.manifest)
    manifest.update(changes)
    image.manifest = dump({name: value for name, value in manifest.items() if value is not None})
    return image


def descriptor(**changes):
    good = {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1}
    return good | changes


LIES = {
    "no json": lambda image: setattr(image, "manifest", b"<html>"),
    "empty": lambda image: setattr(image, "manifest", b""),
    "deep": lambda image: setattr(image, "manifest", b"[" * 100000),
    "schema 1": lambda image: spoil(image, schemaVersion=1),
    "no config": lambda image: spoil(image, config=None),
    "no layers": lambda image: spoil(image, layers=None),
    "layers is text": lambda image: spoil(image, layers="x"),
    "huge layer": lambda image: spoil(image, layers=[descriptor(size=2**60)]),
    "negative layer": lambda image: spoil(image, layers=[descriptor(size=-1)]),
    "size is text": lambda image: spoil(image, layers=[descriptor(size="1")]),
    "bad digest": lambda image: spoil(image, layers=[descriptor(digest="sha256:../..")]),
    "too many layers": lambda image: spoil(image, layers=[descriptor()] * 600),
    "index and manifest": lambda image: spoil(image, manifests=[descriptor()]),
    "other mediaType": lambda image: spoil(image, mediaType=OCI_INDEX),
    "odd mediaType": lambda image: spoil(image, mediaType="application/vnd.oci.artifact+json"),
    "config elsewhere": lambda image: spoil(image, config=descriptor()),
}


@pytest.mark.parametrize("lie", LIES)
def test_manifests_that_are_not_valid(probe, rude, lie):
    image = Image(**CONFIG)
    LIES[lie](image)
    rude.put_image("app", "1", image)
    got = look(probe, rude)
    assert is_silent(got), got
    assert "look-up of" in probe.log
    # An answer, if a useless one: the host is not left alone, nothing is remembered.
    before = len(rude.requests)
    assert is_silent(look(probe, rude)) and len(rude.requests) > before


CONFIGS = {
    "no json": b"nothing",
    "no platform": dump({"config": {}}),
    "odd platform": dump({"os": "linux", "architecture": "a/b/c/d"}),
    "entrypoint is text": dump(
        {"os": "linux", "architecture": "amd64", "config": {"Entrypoint": "x"}}
    ),
    "words are numbers": dump({"os": "linux", "architecture": "amd64", "config": {"Cmd": [1]}}),
    "many words": dump({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["x"] * 300}}),
    "long words": dump({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["x" * 70000]}}),
    "long user": dump({"os": "linux", "architecture": "amd64", "config": {"User": "x" * 300}}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_that_are_not_valid(probe, rude, name):
    image = Image()
    data = CONFIGS[name]
    spoil(image, config=descriptor(digest=digest_of(data), size=len(data)))
    rude.put_image("app", "1", image)
    rude.put(f"/v2/app/blobs/{digest_of(data)}", data)
    assert is_silent(look(probe, rude))


def test_odd_ports_are_left_out(probe, rude):
    ports = {name: {} for name in ("0/tcp", "65536/tcp", "x/tcp", "5-1/tcp", "-1", "", "9/sctp",
                                   "1000000000000000000000", "7/tcp")}  # fmt: skip
    ports |= {f"{port}/tcp": {} for port in range(10000, 10100)}
    rude.put_image("app", "1", Image(ExposedPorts=ports))
    got = look(probe, rude)
    assert got["known"] and got["ports"][0] == 7 and len(got["ports"]) == 32


def test_content_of_another_digest(probe, rude):
    good, other = Image(**CONFIG), Image(User="evil")
    rude.put_image("app", "1", good)
    rude.put(f"/v2/app/manifests/{good.digest}", other.manifest, OCI_MANIFEST)
    assert is_silent(look(probe, rude)) and "another digest" in probe.log
    rude.put_image("app", "1", good)
    rude.put(f"/v2/app/blobs/{digest_of(good.config)}", other.config)
    assert is_silent(look(probe, rude)) and "another digest" in probe.log


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "z" * 64, "md5:" + "0" * 32, "a" * 999]
)
def test_digest_headers_that_are_not_valid(probe, rude, digest):
    """Then the content decides, at the price of a GET each time."""
    image = Image(**CONFIG)
    rude.put_image("app", "1", image)
    rude.put(MANIFEST, image.manifest, OCI_MANIFEST, digest=digest or " ")
    for gets in (2, 3):
        got = look(probe, rude)
        assert (got["digest"], got["user"]) == (image.digest, "node")
        assert len([path for path in rude.paths() if "GET" in path]) == gets


def test_digest_in_the_name_wins(probe, rude):
    good, other = Image(**CONFIG), Image(User="evil")
    rude.put_image("app", "1", other)
    rude.put_image("app", good.digest, good)
    rude.put(f"/v2/app/manifests/{good.digest}", good.manifest, OCI_MANIFEST, digest=other.digest)
    got = look(probe, rude, f"app@{good.digest}")
    assert (got["digest"], got["user"]) == (good.digest, "node")


@pytest.mark.parametrize("kind", ["text/html", "application/json", OCI_INDEX, DOCKER_MANIFEST, ""])
def test_content_types(probe, rude, kind):
    image = Image(**CONFIG)
    rude.put_image("app", "1", image)
    rude.put(f"/v2/app/manifests/{image.digest}", image.manifest, kind)
    assert look(probe, rude)["known"] == (kind == "application/json")


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_INDEX])
def test_nested_index(probe, rude, kind):
    inner = index_of([Image()])
    entry = {"mediaType": kind, "digest": digest_of(inner), "size": len(inner),
             "platform": {"os": "linux", "architecture": "amd64"}}  # fmt: skip
    rude.put(f"/v2/app/manifests/{digest_of(inner)}", inner, OCI_INDEX)
    rude.put_index("app", "1", [Image("arm64")], more=[entry])
    got = look(probe, rude)
    assert not got["ok"] and "built for linux/" in got["message"]
    # One that calls itself a manifest is found out when it is read.
    entry["mediaType"] = OCI_MANIFEST
    rude.put_index("app", "1", [Image("arm64")], more=[entry])
    assert is_silent(look(probe, rude))


def test_attestations_are_no_platform(probe, rude):
    odd = Image("unknown", os="unknown")
    rude.put_index("app", "1", [odd, Image(**CONFIG)])
    assert look(probe, rude)["user"] == "node"
    got = look(probe, rude, architecture="arm64")
    assert "is built for linux/amd64, and" in got["message"]
    rude.put_index("app", "1", [odd])
    assert is_silent(look(probe, rude))


def test_texts_of_a_registry_are_escaped(probe, rude):
    rude.put_index("app", "1", [Image("arm64", os="\x1b[31mred")])
    got = look(probe, rude)
    assert is_silent(got) and "\x1b" not in probe.log


# --- not there, or perhaps ---


@pytest.mark.parametrize(
    "body", [b"", b"<html>404</html>", b"{}", dump({"errors": [{"code": "X"}]})]
)
def test_404_of_something_else(probe, rude, body):
    """A web server or proxy is no registry: what it does not know may exist."""
    rude.answers[MANIFEST] = (404, body, {})
    assert is_silent(look(probe, rude))


@pytest.mark.parametrize("status", [400, 402, 405, 418, 201, 204])
def test_other_statuses(probe, rude, status):
    rude.answers[MANIFEST] = (status, b"", {})
    assert is_silent(look(probe, rude))


@pytest.mark.parametrize("code", ["NAME_UNKNOWN", "MANIFEST_UNKNOWN", "DENIED"])
@pytest.mark.parametrize("status", [401, 403])
def test_unknown_with_a_login(probe, rude, status, code):
    """Docker Hub answers 401 for a repository that does not exist."""
    rude.answers[MANIFEST] = (
        status,
        dump({"errors": [{"code": code}]}),
        {"WWW_Authenticate": 'Basic realm="x"'},
    )
    assert is_silent(look(probe, rude))
    probe.login(rude.host)
    got = look(probe, rude)
    missing = status == 401 and code != "DENIED"
    assert is_silent(got) != missing or status == 403
    if missing:
        assert "does not exist" in got["message"]


# --- floods and silence ---


def drip(handler):
    """A byte at a time, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Type", OCI_MANIFEST)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def flood(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", OCI_MANIFEST)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def flood_of_headers(handler):
    handler.send_response(200)
    while True:
        handler.wfile.write(b"X-Header: " + b"x" * 4096 + b"\r\n")


def hang(handler):
    handler.connection.settimeout(30)
    while handler.connection.recv(4096):
        pass


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


@pytest.mark.waits
@pytest.mark.parametrize("rudeness", [drip, flood, flood_of_headers, hang, cut])
@pytest.mark.parametrize("where", ["HEAD", "GET", "blob"])
def test_floods_and_silence(probe, rude, rudeness, where):
    image = Image(**CONFIG)
    rude.put_image("app", "1", image)
    place = {
        "HEAD": ("HEAD", MANIFEST),
        "GET": f"/v2/app/manifests/{image.digest}",
        "blob": f"/v2/app/blobs/{digest_of(image.config)}",
    }[where]
    rude.answers[place] = rudeness
    got = look(probe, rude)
    assert got["ok"] and got["took_ms"] <= LIMIT_MS + SLACK_MS
    body_of_head = where == "HEAD" and rudeness in (drip, flood, cut)  # may go unnoticed
    assert not got["known"] or body_of_head
    if where != "HEAD" and rudeness in (flood, flood_of_headers, cut):
        # One image's content: the registry itself has answered, and is asked about others.
        rude.put_image("other", "1", image)
        assert look(probe, rude, "other:1")["known"]
    elif not body_of_head:  # and then it is left alone
        seen = len(rude.requests)
        again = look(probe, rude)
        assert is_silent(again) and len(rude.requests) == seen
        assert "did not answer within the last 5 minutes" in probe.log


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_registry_is_left_alone(probe, rude, status):
    rude.answers[MANIFEST] = (status, b"", {"Retry_After": "1"})
    assert is_silent(look(probe, rude)) and is_silent(look(probe, rude))
    assert len(rude.requests) == 1


@pytest.mark.parametrize("shared", [False, True])
def test_only_an_answer_that_is_needed_is_asked_for_again(probe, rude, shared):
    """With RegistrySecretsShared a job goes on without one, so the host is left alone, too."""
    rude.answers[MANIFEST] = (503, b"", {})
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:registry"
    secret = {"RegistrySecrets": [f"{rude.host}={arn}"], "RegistrySecretsShared": shared}
    probe.settings["Fargate"] |= secret
    probe.login(rude.host)
    for _ in range(2):
        assert probe.look(f"{rude.host}/app:1", "**")["ok"] == shared
    assert len(rude.requests) == (1 if shared else 4)


def test_left_alone_for_five_minutes(probe, rude):
    rude.put_image("app", "1", Image(**CONFIG))
    file = probe.metadata / ".registries"
    for ago, known in ((-3600, True), (10, False), (301, True)):
        entry = {"at": int(time.time()) - ago}
        file.write_text(json.dumps({"version": 2, "silent": {rude.host: entry}}))
        file.chmod(0o600)
        assert look(probe, rude)["known"] == known


def test_large_documents_share_one_ceiling(probe, rude):
    """4 MiB in all: three documents below it that are above it together."""
    image = Image(**CONFIG)
    padding = b" " * 1500000
    image.config += padding
    spoil(image, config=descriptor(digest=digest_of(image.config), size=len(image.config)))
    image.manifest += padding
    rude.put_image("app", "1", image)
    assert look(probe, rude)["known"]
    data = index_of([image]) + padding
    for reference in ("2", digest_of(data)):
        rude.put(f"/v2/app/manifests/{reference}", data, OCI_INDEX)
    image.config += b" "
    assert is_silent(look(probe, rude, "app:2"))


def large(rude, repository, length):
    image = Image(**CONFIG)
    image.config += b" " * length
    spoil(image, config=descriptor(digest=digest_of(image.config), size=len(image.config)))
    rude.put_image(repository, "1", image)
    return f"{rude.host}/{repository}:1"


def test_the_images_of_a_job_share_one_ceiling(probe, rude):
    names = [large(rude, "one", 2_200_000), large(rude, "two", 2_300_000)]
    assert [got["known"] for got in probe.look_all(names)] == [True, False]
    assert probe.look(names[1])["known"], "alone it is below the ceiling"


@pytest.mark.waits
def test_the_images_of_a_job_share_the_time(probe):
    """Of three slow registries the second is cut short and the third is not asked; neither is to
    blame for that."""

    def slow(handler):
        time.sleep(1.1)  # more than half of the time for all
        handler.reply(403)

    asked = [1, 0, 0]
    while asked == [1, 0, 0]:  # on a busy machine the first takes all of the time
        with contextlib.ExitStack() as stack:
            registries = [stack.enter_context(RudeRegistry()) for _ in range(3)]
            probe.insecure(*(one.host for one in registries))
            names = [f"{one.host}/app:1" for one in registries]
            for one in registries:
                one.answers[MANIFEST] = slow
            got = probe.look_all(names)
            assert all(is_silent(one) for one in got)
            assert sum(one["took_ms"] for one in got) <= LIMIT_MS + SLACK_MS
            asked = [len(one.requests) for one in registries]
            for one in registries:
                one.put_image("app", "1", Image(**CONFIG))
            # Within a few minutes, for which one that is to blame is not asked.
            until(lambda names=names: all(one["known"] for one in probe.look_all(names)), 60)
    assert asked == [1, 1, 0]


# --- leading elsewhere ---

AWAY = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://127.0.0.1:{trap}/",
    "https://127.1:{trap}/",
    "https://2130706433:{trap}/",
    "https://0x7f000001:{trap}/",
    "https://0:{trap}/",
    "https://localhost:{trap}/",
    "https://x.localhost:{trap}/",
    "https://[::1]:{trap}/",
    "https://[::ffff:127.0.0.1]:{trap}/",
    "https://[64:ff9b::7f00:1]:{trap}/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "http://127.0.0.1:{trap}/",
    "http://user:word@127.0.0.1:{trap}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{trap}/",
    "//127.0.0.1:{trap}/",
    "http:///",
    "",
    "http://127.0.0.1:{trap}@{host}/",
]


@pytest.fixture
def trap():
    """A listener on loopback that must never be connected to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield listener.getsockname()[1]
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize("away", AWAY)
def test_redirects_elsewhere(probe, rude, trap, away, status):
    place = away.format(trap=trap, host=rude.host)
    rude.answers[MANIFEST] = (status, b"", {"Location": place})
    probe.login(rude.host)
    got = look(probe, rude)
    assert is_silent(got) and got["took_ms"] <= LIMIT_MS + SLACK_MS


@pytest.mark.parametrize("away", AWAY)
def test_realms_elsewhere(probe, rude, trap, away):
    place = away.format(trap=trap, host=rude.host)
    challenge = f'Bearer realm="{place}",service="x"'
    rude.answers[MANIFEST] = (401, b"", {"WWW_Authenticate": challenge})
    probe.login(rude.host)
    got = look(probe, rude)
    assert is_silent(got) and got["took_ms"] <= LIMIT_MS + SLACK_MS


def test_redirects_without_end(probe, rude):
    rude.answers[MANIFEST] = (307, b"", {"Location": MANIFEST})
    assert is_silent(look(probe, rude)) and len(rude.requests) == 6


def test_the_login_stays_with_its_host(probe, rude):
    """Neither a redirect nor the storage of blobs gets it."""
    image = Image(**CONFIG)
    with RudeRegistry() as storage:
        probe.insecure(storage.host)
        probe.login(rude.host)
        rude.put_image("app", "1", image)
        storage.put("/blob", image.config)

        def guard(answer):
            def reply(handler):
                if handler.headers.get("Authorization") != "Basic " + basic():
                    handler.reply(401, b"", WWW_Authenticate='Basic realm="x"')
                else:
                    handler.reply(answer[0], answer[1], **answer[2])

            return reply

        rude.answers = {path: guard(answer) for path, answer in rude.answers.items()}
        blob = f"/v2/app/blobs/{digest_of(image.config)}"
        rude.answers[blob] = guard((307, b"", {"Location": f"{storage.url}/blob"}))
        assert look(probe, rude)["user"] == "node"
        assert [path for _, path, _ in storage.requests] == ["/blob"]
        assert "Authorization" not in storage.requests[0][2]
        # A host that is redirected to cannot ask for it either.
        storage.answers["/blob"] = (401, b"", {"WWW_Authenticate": 'Basic realm="x"'})
        (probe.metadata / ".registries").unlink()
        assert is_silent(look(probe, rude)) and len(storage.requests) == 2
        assert all("Authorization" not in headers for _, _, headers in storage.requests)


def test_realm_that_redirects(probe, rude):
    with RudeRegistry() as realm:
        probe.insecure(realm.host)
        probe.login(rude.host)
        challenge = f'Bearer realm="{realm.url}/token",service="x"'
        rude.answers[MANIFEST] = (401, b"", {"WWW_Authenticate": challenge})
        realm.answers["/token"] = (307, b"", {"Location": "/other"})
        assert is_silent(look(probe, rude)) and len(realm.requests) == 1


@pytest.mark.parametrize(
    "token",
    ["", "a b", "a\r\nX: y", "x" * 20000, 7, None, "\u00e9"],
    ids=["empty", "blank", "header", "long", "number", "none", "accent"],
)
def test_tokens_that_are_not_valid(probe, rude, token):
    challenge = f'Bearer realm="{rude.url}/token"'
    rude.answers[MANIFEST] = (401, b"", {"WWW_Authenticate": challenge})
    rude.answers["/token"] = (200, dump({"token": token}), {})
    assert is_silent(look(probe, rude))
    assert len(rude.requests) == 2  # no second attempt without a token


def test_a_registry_that_never_accepts_its_tokens(probe, rude):
    challenge = f'Bearer realm="{rude.url}/token"'
    rude.answers[MANIFEST] = (401, b"", {"WWW_Authenticate": challenge})
    rude.answers["/token"] = (200, dump({"token": "good"}), {})
    assert is_silent(look(probe, rude)) and len(rude.requests) == 3


def test_a_flood_of_challenges(probe, rude):
    def reply(handler):
        handler.send_response(401)
        for number in range(50):
            handler.send_header("WWW-Authenticate", f'Bearer realm="https://x/{"y" * 900}{number}"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    rude.answers[MANIFEST] = reply
    assert is_silent(look(probe, rude)) and len(rude.requests) == 1


def test_a_request_to_stop(programs, probe, rude):
    """EINTR, not a verdict."""
    rude.answers[MANIFEST] = hang
    config = write_config(probe.directory / "probe.toml", probe.settings)
    process = subprocess.Popen(
        [programs.tool("image-probe"), config, "amd64", f"{rude.host}/app:1"],
        env=probe.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: rude.requests, 60, "a request")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    got = json.loads(out)
    assert not got["ok"] and got["errnum"] == 4
