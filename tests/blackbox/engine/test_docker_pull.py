# SPDX-License-Identifier: MIT
"""Pulls from a real registry: policies, logins, progress, wrong names."""

import base64
import json
import os
import re
import shutil

import pytest

from support.docker_engine import Registry
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.engine_front import Front
from support.terminal import Terminal

# htpasswd -nbB user pass-word
LOGIN = ("user", "$2b$05$VsKRlNbNSFrzL.hAFryUTO0q6NmuMpTlMU80F6dhWb.7fqSAa.0oy")


@pytest.fixture(scope="module")
def registry(engine, busybox, tmp_path_factory):
    if shutil.which("docker-registry") is None:
        pytest.skip("not installed: docker-registry")
    instance = Registry(tmp_path_factory.mktemp("registry"), LOGIN).start()
    try:
        name = f"{instance.name}/group/app"
        engine.good("POST", f"/images/{busybox}/tag?repo={name}&tag=1")
        login = json.dumps({"username": "user", "password": "pass-word"}).encode()
        header = {"X-Registry-Auth": base64.urlsafe_b64encode(login).decode()}
        pushed = engine.good("POST", f"/images/{name}/push?tag=1", headers=header)
        assert b"errorDetail" not in pushed, pushed
        engine.remove_image(f"{name}:1")
        yield instance
    finally:
        instance.stop()


@pytest.fixture
def pulling(docker_job, registry, engine, tmp_path):
    """The job's image is in the registry, but not on the engine."""
    image = f"{registry.name}/group/app:1"
    engine.remove_image(image)
    docker_job.image = image
    docker_job.driver.settings["Docker"]["Image"] = image
    docker_job.env["HOME"] = str(tmp_path)
    yield docker_job
    docker_job.stage("cleanup")
    engine.remove_image(image)


def auths(registry, word="pass-word", key=None):
    text = base64.b64encode(f"user:{word}".encode()).decode()
    return json.dumps({"auths": {key or registry.name: {"auth": text}}})


def by_variable(job, registry):
    job.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = auths(registry)


def by_home(job, registry):
    directory = os.path.join(job.env["HOME"], ".docker")
    os.makedirs(directory)
    with open(os.path.join(directory, "config.json"), "w") as file:
        file.write(auths(registry, key=f"https://{registry.name}/v2/"))


def by_user_database(job, registry):
    """Without HOME, as in a systemd service, /etc/passwd is used, here a bind mount."""
    by_home(job, registry)
    home = job.env.pop("HOME")
    passwd = os.path.join(home, "passwd")
    with open(passwd, "w") as file:
        file.write(f"root:x:0:0::{home}:/bin/sh\n")
    wrapper = os.path.join(home, "driver")
    with open(wrapper, "w") as file:
        file.write(
            "#!/bin/sh\nexec unshare --mount sh -c "
            f'\'mount --bind {passwd} /etc/passwd && exec "$0" "$@"\' {job.driver.program} "$@"\n'
        )
    os.chmod(wrapper, 0o755)
    job.driver.program = wrapper


def by_docker_config(job, registry):
    job.env["DOCKER_CONFIG"] = job.env["HOME"]
    with open(os.path.join(job.env["HOME"], "config.json"), "w") as file:
        file.write(auths(registry))


def by_gitlab(job, registry):
    job.env["CUSTOM_ENV_CI_REGISTRY"] = registry.name
    job.env["CUSTOM_ENV_CI_REGISTRY_USER"] = "user"
    job.env["CUSTOM_ENV_CI_REGISTRY_PASSWORD"] = "pass-word"


HELPER = """#!/bin/sh
read -r registry
echo "$1 $registry" >>"$HOME/asked"
test "$registry" = {registry} || {{ echo "credentials not found"; exit 1; }}
echo '{{"ServerURL": "x", "Username": "user", "Secret": "pass-word"}}'
"""


def helper(job, registry, config, text=HELPER):
    """docker-credential-test in PATH, and a configuration that names it."""
    program = os.path.join(job.env["HOME"], "docker-credential-test")
    with open(program, "w") as file:
        file.write(text.format(registry=registry.name))
    os.chmod(program, 0o700)
    job.env["PATH"] += ":" + job.env["HOME"]
    job.env["DOCKER_CONFIG"] = job.env["HOME"]
    with open(os.path.join(job.env["HOME"], "config.json"), "w") as file:
        json.dump(config, file)


def by_helper(job, registry):
    wrong = json.loads(auths(registry, "wrong"))
    helper(job, registry, {"credHelpers": {registry.name: "test"}, **wrong})


def by_store(job, registry):
    helper(job, registry, {"credsStore": "test", "auths": {registry.name: {}}})


@pytest.mark.parametrize(
    "log_in",
    [by_variable, by_home, by_user_database, by_docker_config, by_helper, by_store, by_gitlab],
)
def test_a_private_image(pulling, registry, log_in):
    log_in(pulling, registry)
    done = pulling.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert f"pulling '{pulling.image}'" in done.stderr and "pulled '" in done.stderr
    assert "pass-word" not in done.stderr + done.stdout.decode()
    assert pulling.run("echo $IMAGE_SAYS\n").stdout == b"hello\n"


@pytest.mark.parametrize("word", [None, "wrong"])
def test_without_the_login(pulling, registry, word):
    if word:
        pulling.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = auths(registry, word)
    done = pulling.stage("prepare")
    assert done.returncode == BUILD_FAILURE, done.stderr
    assert pulling.image in done.stderr and "login" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "DOCKER_AUTH_CONFIG: not a valid JSON object"),
        ('{"auths": [{"auth": "dTpw"}]}', "'auths' is a list, not an object"),
    ],
)
def test_a_login_that_cannot_be_read(pulling, text, message):
    pulling.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = text
    done = pulling.stage("prepare")
    assert done.returncode == BUILD_FAILURE and message in done.stderr, done.stderr
    assert "DOCKER_AUTH_CONFIG" in done.stderr


@pytest.mark.parametrize("name", ["group/app:2", "group/typo:1"])
def test_a_name_that_is_wrong(pulling, registry, name):
    by_variable(pulling, registry)
    pulling.driver.settings["Docker"]["Image"] = f"{registry.name}/{name}"
    done = pulling.stage("prepare")
    pulling.driver.settings["Docker"]["Image"] = pulling.image
    assert done.returncode == BUILD_FAILURE, done.stderr
    assert f"no image '{registry.name}/{name}'" in done.stderr


def test_gitlabs_login_goes_to_gitlabs_registry_alone(pulling, registry):
    by_gitlab(pulling, registry)
    pulling.env["CUSTOM_ENV_CI_REGISTRY"] = "registry.example.com"
    done = pulling.stage("prepare")
    assert done.returncode == BUILD_FAILURE and "login" in done.stderr
    assert "pass-word" not in done.stderr


def test_a_registry_that_is_not_there(pulling):
    pulling.driver.settings["Docker"]["Image"] = "127.0.0.1:1/group/app:1"
    done = pulling.stage("prepare")
    pulling.driver.settings["Docker"]["Image"] = pulling.image
    assert done.returncode == SYSTEM_FAILURE and "cannot pull '127.0.0.1:1" in done.stderr


def test_policies(pulling, registry):
    by_variable(pulling, registry)
    docker = pulling.driver.settings["Docker"]
    assert "pulling" in pulling.stage("prepare").stderr
    assert "pulling" not in pulling.stage("prepare").stderr, "it is there already"
    docker["PullPolicy"] = "always"
    assert "pulling" in pulling.stage("prepare").stderr
    docker["PullPolicy"] = "never"
    assert pulling.stage("prepare").returncode == 0


def test_by_digest(pulling, registry, engine):
    by_variable(pulling, registry)
    pulling.prepare()
    # Other tests' repositories may hold the same image.
    digests = engine.good("GET", f"/images/{pulling.image}/json")["RepoDigests"]
    (digest,) = [name for name in digests if name.startswith(pulling.image.rsplit(":", 1)[0])]
    pulling.stage("cleanup")
    engine.remove_image(pulling.image)
    pulling.driver.settings["Docker"]["Image"] = digest
    assert pulling.prepare().run("echo ran\n").stdout == b"ran\n"
    pulling.stage("cleanup")
    engine.remove_image(digest)
    pulling.driver.settings["Docker"]["Image"] = pulling.image


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_a_helper_that_fails(pulling, registry, key):
    """A retry may help; its output may be secret and is not shown."""
    value = {registry.name: "test"} if key == "credHelpers" else "test"
    helper(pulling, registry, {key: value}, "#!/bin/sh\necho secret-word; exit 3\n")
    done = pulling.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert f"cannot pull '{pulling.image}' without a login" in done.stderr
    assert "'docker-credential-test' exited with status 3" in done.stderr
    assert "secret-word" not in done.stderr


def test_a_store_without_this_login_is_none(pulling, registry):
    text = "#!/bin/sh\necho credentials not found in native keychain; exit 1\n"
    helper(pulling, registry, {"credsStore": "test"}, text)
    pulling.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = '{"auths": {}}'
    done = pulling.stage("prepare")
    assert done.returncode == BUILD_FAILURE and "login" in done.stderr


def test_a_store_before_stale_auths(pulling, registry):
    stale = json.loads(auths(registry, "wrong"))
    helper(pulling, registry, {"credsStore": "test", **stale})
    assert pulling.stage("prepare").returncode == 0


@pytest.mark.parametrize(
    ("below", "good"), [("/group", True), ("/group/app", True), ("/other", False)]
)
def test_a_login_of_a_namespace(pulling, registry, below, good):
    pulling.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = auths(registry, key=registry.name + below)
    done = pulling.stage("prepare")
    assert done.returncode == (0 if good else BUILD_FAILURE), done.stderr


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_a_job_cannot_have_a_helper_run(pulling, registry, key):
    helper(pulling, registry, {})
    value = {registry.name: "test"} if key == "credHelpers" else "test"
    pulling.env["CUSTOM_ENV_DOCKER_AUTH_CONFIG"] = json.dumps({key: value})
    assert pulling.stage("prepare").returncode == BUILD_FAILURE
    assert not os.path.exists(os.path.join(pulling.env["HOME"], "asked"))


# --- progress ---

MIB = 1 << 20
BAR = r"\[[=> ]+\] +(\d+)%  [\d.]+( of [\d.]+)? MiB, \d+ of \d+ layers"


def layer(name, status, done=None, whole=None):
    detail = {} if whole is None else {"current": done, "total": whole}
    return {"status": status, "progressDetail": detail, "id": name * 12}


PULL = [
    {"status": "Pulling from group/app", "id": "1"},
    layer("a", "Pulling fs layer"),
    layer("b", "Pulling fs layer"),
    layer("a", "Downloading", MIB, 4 * MIB),
    layer("a", "Downloading", 3 * MIB, 4 * MIB),
    layer("b", "Downloading", 6 * MIB, 12 * MIB),
    layer("a", "Download complete"),
    layer("b", "Download complete"),
    layer("a", "Pull complete"),
    layer("b", "Pull complete"),
    {"status": "Status: Downloaded newer image for group/app:1"},
]


@pytest.fixture
def slow_engine(docker_driver, engine, tmp_path):
    """Pulls as PULL says; the image is there already."""
    with Front(engine.socket, tmp_path / "front.sock") as front:
        front.stream("POST", "/images/create", PULL)
        docker_driver.settings["Docker"] |= {"Host": front.url, "PullPolicy": "always"}
        yield front
        docker_driver.settings["Docker"]["Host"] = engine.url


EXEC = ("exec", "--no-mount", "--", "echo", "done")


def shown_on_terminal(driver, env, columns, command=EXEC):
    words = [driver.program, "--config", driver.config(), *command]
    terminal = Terminal(words, columns=columns, env=env)
    try:
        assert terminal.wait(60) == 0, terminal.shown
        return terminal.shown.decode()
    finally:
        terminal.close()


@pytest.mark.parametrize("columns", [80, 40])
def test_a_pull_on_a_terminal(docker_driver, slow_engine, columns):
    for _ in range(10):
        shown = shown_on_terminal(docker_driver, docker_driver.environment(TERM="xterm"), columns)
        drawn = re.findall(r"\r\x1b\[K([^\r\n]+%[^\r\n]*)", shown)
        assert all(len(line) < columns for line in drawn), shown
        parts = [int(re.search(r"(\d+)%", line)[1]) for line in drawn]
        assert parts == sorted(parts) and set(parts) <= {0, 12, 37, 56, 62, 100}, shown
        if len(set(parts)) >= 3:
            break  # some are left out if the driver had to wait for a processor
    assert len(set(parts)) >= 3, shown
    assert ("[" in drawn[0]) == (columns == 80)
    if columns == 80:
        assert all(re.fullmatch(BAR, line) for line in drawn), drawn
        assert any(" of 16.0 MiB, " in line for line in drawn)
    _, _, rest = shown.rpartition("%")
    assert re.match(r"[^\r\n]*\r\x1b\[Kberth-driver: pulled '", rest), "the bar is cleared"
    assert "done\r\n" in rest


@pytest.mark.parametrize(
    ("terminal", "settings"),
    [
        ("dumb", {}),
        ("xterm", {"LogFormat": "json"}),
        ("xterm", {"LogLevel": "warn"}),
    ],
)
def test_no_bar_in_other_logs(docker_driver, slow_engine, terminal, settings):
    docker_driver.settings |= settings
    shown = shown_on_terminal(docker_driver, docker_driver.environment(TERM=terminal), 80)
    assert "\x1b" not in shown and "%" not in shown, shown
    assert ("pulled" in shown) == ("LogLevel" not in settings)


def test_no_bar_where_several_pull_at_once(docker_driver, slow_engine):
    """The processes of 'warm' share the terminal: one bar would overwrite another."""
    image = docker_driver.settings["Docker"]["Image"]
    docker_driver.settings["Warm"] = [{"Image": image, "Tasks": 2}]
    env = docker_driver.environment(TERM="xterm")
    shown = shown_on_terminal(docker_driver, env, 80, ["warm"])
    assert shown.count(": pulled '") >= 2 and "%" not in shown and "\r\x1b[K" not in shown, shown
    assert docker_driver.run("warm", "--drain").returncode == 0
    del docker_driver.settings["Warm"]


def test_no_bar_in_a_jobs_log(docker_job, slow_engine):
    docker_job.env["TERM"] = "xterm"
    done = docker_job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert [line.partition("'")[0] for line in done.stderr.splitlines()] == [
        "berth: pulling ",
        "berth: pulled ",
    ]


def test_the_engines_own_progress(pulling, registry):
    by_home(pulling, registry)
    shown = shown_on_terminal(pulling.driver, {**pulling.env, "TERM": "xterm"}, 80)
    assert re.search(r"\r\x1b\[K" + BAR, shown) and "pulled '" in shown, shown
