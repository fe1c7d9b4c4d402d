# SPDX-License-Identifier: MIT
"""'berth-driver doctor' with the backend 'docker' and stand-ins for an engine. Tests with a real
engine are in engine/."""

import json
import re

import pytest

from support.http_server import Handler, HttpServer


class Versioned(Handler):
    """Rejects the API versions that it does not have, as moby's middleware does."""

    version, oldest, newest = "", 12, 40

    def on_version(self, _):
        said = {"ApiVersion": f"1.{self.newest}", "MinAPIVersion": f"1.{self.oldest}"}
        self.reply(json.dumps({"Version": self.version, **said}).encode())

    def on_echo(self, argument):
        name = self.path.split("/")[1]
        minor = int(name.removeprefix("v1."))
        if minor < self.oldest:
            why = f"too old. Minimum supported API version is 1.{self.oldest}, please upgrade"
        elif minor > self.newest:
            why = f"too new. Maximum supported API version is 1.{self.newest}"
        else:
            super().on_echo(argument)
            return
        self.reply(json.dumps({"message": f"client version 1.{minor} is {why}"}).encode(), 400)


class OldEngine(Versioned):
    """An engine of 2019, which can no longer be installed."""

    version = "19.03.15"


class Engine(Handler):
    """The part of the API that 'doctor' uses, without images."""

    def on_version(self, _):
        self.reply(json.dumps({"Version": "26.1.5", "ApiVersion": "1.45"}).encode())

    def do_GET(self):
        if self.path.endswith("/version"):
            self.on_version(None)
        else:
            self.reply(b'{"message": "no such image"}', 404)


@pytest.mark.parametrize(
    "settings, line, code",
    [
        ({}, "FAIL  no image is configured", 1),
        ({"AllowedImages": ["**"]}, "warn  a job without 'image:' will fail", 0),
        ({"Image": "ruby:3.3"}, "ok    image 'ruby:3.3' will be pulled by the first job", 0),
        ({"Image": "Ruby"}, "FAIL  image 'Ruby' is not a valid image name", 1),
    ],
    ids=["none", "only the jobs'", "to be pulled", "invalid"],
)
def test_images_of_an_engine(berth_driver, settings, line, code):
    with HttpServer(handler=Engine) as engine:
        url = engine.url.replace("http:", "tcp:")
        status, out = docker_doctor(berth_driver, url, **settings)
    assert status == code and line in out, out
    assert settings or "-> set [Docker] Image" in out


def test_a_pattern_that_matches_no_image(berth_driver):
    with HttpServer(handler=Engine) as engine:
        url = engine.url.replace("http:", "tcp:")
        patterns = ["r.example/group/app:V1-*", "r.example/Group/**"]
        status, out = docker_doctor(berth_driver, url, Image="ruby:3.3", AllowedImages=patterns)
    assert status == 0 and "app:V1" not in out, out
    wrong = 'Docker.AllowedImages: the pattern "r.example/Group/**" has capitals in the path'
    assert re.search(r"warn  .*fargate\.toml:\d+: " + re.escape(wrong), out), out


def test_a_network_that_the_engine_does_not_have(berth_driver):
    with HttpServer(handler=Engine) as engine:
        url = engine.url.replace("http:", "tcp:")
        status, out = docker_doctor(berth_driver, url, Image="ruby:3.3", Network="ci")
    assert status == 1 and "Docker.Network: the Docker Engine at" in out, out
    assert "has no network 'ci'" in out and "-> create it with 'docker network create'" in out


def test_no_engine_at_an_address(berth_driver, free_port):
    status, out = docker_doctor(berth_driver, f"tcp://127.0.0.1:{free_port()}", Image="ruby:3.3")
    assert status == 1 and "-> check that it runs, and [Docker] Host or DOCKER_HOST" in out, out


@pytest.mark.parametrize(
    "settings, line, code",
    [
        ({}, "helper image: gitlab-runner-helper of the runner's version, which the first job", 0),
        ({"Image": "own/h:1"}, "helper image 'own/h:1' will be pulled by the first job", 0),
        ({"Use": "never"}, "no helper container: images need git and gitlab-runner", 0),
        ({}, "images without a shell get busybox", 0),
        ({"Busybox": "none"}, "images without a shell cannot be used: no static busybox", 0),
        ({"Busybox": "/bin/ls"}, "Helper.Busybox: '/bin/ls' is not a static program", 1),
    ],
)
def test_the_helper(berth_driver, settings, line, code):
    berth_driver.settings["Helper"] = settings
    with HttpServer(handler=Engine) as engine:
        url = engine.url.replace("http:", "tcp:")
        status, out = docker_doctor(berth_driver, url, Image="ruby:3.3")
    assert status == code and line in out, out


def docker_doctor(driver, url, **settings):
    driver.settings |= {"Backend": "docker", "Docker": {"Host": url, **settings}}
    done = driver.run("doctor", env=driver.environment())
    return done.returncode, done.stdout.decode()


def test_engine_too_old(berth_driver):
    with HttpServer(handler=OldEngine) as engine:
        url = engine.url.replace("http:", "tcp:")
        code, out = docker_doctor(berth_driver, url, Image="x")
        used = berth_driver.run("exec", "--", "true", env=berth_driver.environment())
    assert code == 1
    wanted = "is version '19.03.15' with API 1.40"
    assert wanted in out and "-> Berth needs API 1.41 (Docker 20.10)" in out
    assert used.returncode == 255 and wanted in used.stderr


class NewEngine(Versioned):
    version, oldest, newest = "35.0.1", 52, 60


class TodaysEngine(Versioned):
    version, oldest, newest = "26.1.5", 24, 45


def test_engine_without_old_api_versions(berth_driver):
    with HttpServer(handler=NewEngine) as engine:
        _, out = docker_doctor(berth_driver, engine.url.replace("http:", "tcp:"), Image="x")
        paths = [path for _, path, _ in engine.requests]
    assert "35.0.1" in out, out
    assert len(paths) > 1 and {path.split("/")[1] for path in paths} == {"version", "v1.52"}


@pytest.mark.parametrize(
    "handler, asked",
    [(NewEngine, ["v1.41", "version", "v1.52", "v1.52"]), (TodaysEngine, ["v1.41", "v1.41"])],
)
def test_the_version_is_read_only_when_the_first_request_is_rejected(berth_driver, handler, asked):
    """A real engine executes runc and docker-init to report it."""
    with HttpServer(handler=handler) as engine:
        url = engine.url.replace("http:", "tcp:")
        berth_driver.settings |= {"Backend": "docker", "Docker": {"Host": url, "Image": "x"}}
        berth_driver.run("ps", env=berth_driver.environment())
        paths = [path.split("/")[1] for _, path, _ in engine.requests]
    assert paths[: len(asked)] == asked and paths.count("version") == asked.count("version")


class ForgingEngine(Versioned):
    version = "19.03\x1b[2J\n  ok    all is well\u202e\x9b"


def test_engine_texts_are_escaped(berth_driver):
    """In the errors of other commands too."""
    with HttpServer(handler=ForgingEngine) as engine:
        url = engine.url.replace("http:", "tcp:")
        _, out = docker_doctor(berth_driver, url, Image="x")
        used = berth_driver.run("exec", "--", "true", env=berth_driver.environment())
    for text in (out, used.stderr):
        assert r"'19.03\x1b[2J\x0a  ok    all is well\u202e\u009b'" in text, text
        assert "\n  ok    all" not in text and "\x1b" not in text and "\u202e" not in text


def test_no_engine(berth_driver):
    code, out = docker_doctor(berth_driver, "unix:///no/engine", Image="x")
    assert code == 1 and "FAIL  cannot reach the Docker Engine" in out and "-> start it" in out
