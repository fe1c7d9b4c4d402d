# SPDX-License-Identifier: MIT
"""'berth-driver init' writes a configuration interactively, and the driver runs jobs with it."""

import getpass
import json
import os
import re
import select
import time
import tomllib

import pytest

from support.aws_faults import AwsFaults
from support.driver import Job
from support.ecs import FAMILY
from support.ecs_moto import REGION


def ask(driver, path, *answers, env=None, words=()):
    """Pipes the answers in, one per line. Returns the finished process."""
    lines = "".join(f"{answer}\n" for answer in answers).encode()
    env = driver.environment(**{"AWS_EC2_METADATA_DISABLED": "true", **(env or {})})
    return driver.run("init", *words, path, input=lines, env=env, config=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made.toml"


def use(driver, path):
    """Uses that file from now on."""
    driver.config = lambda: path


LOCAL = ("local", "{local}", "{metadata}")


def local_answers(driver):
    return [text.format(local=driver.local, metadata=driver.metadata) for text in LOCAL]


def test_the_file_runs_a_job(berth_driver, path, tmp_path):
    done = ask(berth_driver, path, *local_answers(berth_driver))
    assert done.returncode == 0, done.stderr
    use(berth_driver, path)
    directory = tmp_path / "job"
    directory.mkdir()
    job = Job(berth_driver, directory).prepare()
    ran = job.run("echo hello from the file")
    assert ran.returncode == 0 and b"hello from the file" in ran.stdout
    assert job.stage("cleanup").returncode == 0 and job.nothing_kept() == []


def test_prints_next_steps(berth_driver, path):
    done = ask(berth_driver, path, *local_answers(berth_driver))
    assert f"--config {path} doctor" in done.stderr
    program = str(berth_driver.program.resolve())
    for stage in ("config", "prepare", "run", "cleanup"):
        assert f'{stage}_exec = "{program}"' in done.stdout.decode()
        assert f'["--config", "{path}", "custom", "{stage}"]' in done.stdout.decode()


def test_prompts_again_after_an_invalid_answer(berth_driver, path):
    done = ask(
        berth_driver,
        path,
        "moon",
        "docker",
        "ruby:3.3",
        "ruby:* node:*, registry.example/**",
        "",
        "plenty",
        "4GiB",
        "two",
        "1.5",
        "/metadata",
    )
    assert done.returncode == 0, done.stderr
    for refusal in (
        "invalid: 'moon' is not local, docker or ecs",
        'invalid: wanted a size such as "512MiB"',
        "invalid: wanted a number of processors",
    ):
        assert refusal in done.stderr
    text = path.read_text()
    for line in (
        'Backend = "docker"',
        'Image = "ruby:3.3"',
        'AllowedImages = ["ruby:*", "node:*", "registry.example/**"]',
        'AllowedServices = ["**"]',
        'Memory = "4GiB"',
        "CPUs = 1.5",
    ):
        assert f"\n{line}\n" in text
    assert "[Fargate]" not in text


@pytest.mark.parametrize("backend, count", [("local", 3), ("docker", 7), ("ecs", 12)])
def test_every_key_in_the_file_is_known(berth_driver, path, backend, count):
    """Including commented keys: without the comment mark none is unknown or of a wrong type."""
    answers = [backend] + ["eu-west-1", "c", "t", "", "s-1"] * (backend == "ecs")
    done = ask(berth_driver, path, *answers, *[""] * 14)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert len(re.findall(r"^\w+ = ", text, re.M)) >= count - 2
    path.write_text(re.sub(r"^# (\w+ = .+)$", r"\1", text, flags=re.M))
    use(berth_driver, path)
    reported = berth_driver.run("custom", "config", env=berth_driver.environment())
    assert "unknown" not in reported.stderr and str(path) not in reported.stderr, reported.stderr


def test_nothing_is_written_before_the_last_answer(berth_driver, path):
    done = ask(berth_driver, path, "local", "/somewhere")
    assert done.returncode == 1 and not path.exists()
    assert "nothing was written: 'Directory for the metadata" in done.stderr
    assert "end of input before an answer" in done.stderr


def test_required_answer(berth_driver, path):
    done = ask(berth_driver, path, "ecs", "", "eu-west-1")
    assert "an answer is required" in done.stderr and not path.exists()


def test_existing_file_is_kept(berth_driver, path):
    path.write_text("mine")
    done = ask(berth_driver, path, *local_answers(berth_driver))
    assert done.returncode == 1 and path.read_text() == "mine"
    assert f"'{path}' already exists" in done.stderr and "--force" in done.stderr
    done = ask(berth_driver, path, *local_answers(berth_driver), words=("--force",))
    assert done.returncode == 0 and 'Backend = "local"' in path.read_text()


def test_missing_directory(berth_driver, tmp_path):
    done = ask(berth_driver, tmp_path / "no" / "f.toml", *local_answers(berth_driver))
    assert done.returncode == 1 and f"cannot write in '{tmp_path / 'no'}'" in done.stderr
    assert f"create it with 'mkdir -p {tmp_path / 'no'}'" in done.stderr
    assert "?" not in done.stderr


def test_the_backend_of_the_command_line_is_the_default(berth_driver, path):
    done = ask(berth_driver, path, "", "", "", words=("--backend", "local"))
    assert done.returncode == 0, done.stderr
    assert 'Backend = "local"' in path.read_text()


# --- ECS


def test_suggests_names_of_aws(ecs_job, cloud, path):
    driver = ecs_job.driver
    port = str(cloud.ssh_port)
    metadata = str(driver.metadata)
    answers = ["ecs", REGION, cloud.cluster, FAMILY, "", cloud.subnets[0], cloud.group]
    answers += ["", "", "no", "", metadata, port, "strict"]
    done = ask(driver, path, *answers, env=cloud.environment())
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stderr.splitlines() if "found: " in line]
    assert len(found) == 4, done.stderr
    # At most twenty of each are listed; other tests created some too.
    for line, kind in zip(found, ("", "", "subnet-", "sg-"), strict=True):
        offered = re.search(r"found: (.*)", line)[1].split(", ")
        assert 1 <= len(offered) <= 20, line
        assert all(re.fullmatch(rf"{kind}[\w-]+", name) for name in offered), line
    text = path.read_text()
    assert 'ContainerName = "ci-coordinator"' in text and f"Port = {port}" in text
    user = getpass.getuser()
    path.write_text(text.replace('# Username = "root"', f'Username = "{user}"'))
    use(driver, path)
    ecs_job.prepare()
    assert ecs_job.run("echo on $((40 + 2))").stdout == b"on 42\n"


def test_the_only_suggestion_is_the_default(berth_driver, path):
    one = 'body:{"clusterArns": ["arn:aws:ecs:eu-west-1:1:cluster/only"]}'
    with AwsFaults() as aws:
        aws.always["ListClusters"] = one
        env = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        answers = ["ecs", "eu-west-1", "", "t", "", "subnet-1", *[""] * 9]
        done = ask(berth_driver, path, *answers, env=env)
    assert done.returncode == 0, done.stderr
    assert "ECS cluster? [only] " in done.stderr
    assert 'Cluster = "only"' in path.read_text()


HOSTILE = r"a\u001b]0;owned\u0007\ncluster\u202e\u2028b\u009b31m"
ESCAPED = r"a\x1b]0;owned\x07\x0acluster\u202e\u2028b\u009b31m"


def test_suggestions_are_escaped(berth_driver, path):
    arn = "arn:aws:ecs:eu-west-1:1:cluster/"
    with AwsFaults() as aws:
        aws.always["ListClusters"] = f'body:{{"clusterArns": ["{arn}{HOSTILE}", "{arn}two"]}}'
        aws.always["ListTaskDefinitionFamilies"] = "code:400," + json.loads(f'"{HOSTILE}"')
        env = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        answers = ["ecs", "eu-west-1", "two", "t", "", "subnet-1", *[""] * 9]
        done = ask(berth_driver, path, *answers, env=env)
    assert f"  found: {ESCAPED}, two\n" in done.stderr
    assert ESCAPED in done.stderr.split("cannot list names from AWS")[1]
    assert all(char >= " " or char == "\n" for char in done.stderr)
    assert not set(done.stderr) & set("\x7f\x9b\u202e\u2028")


def test_works_without_aws(berth_driver, path):
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a"}
    env |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}
    answers = ["ecs", "eu-west-1", "c", "t", "", "subnet-1,subnet-2", "", "y", "n", "y"]
    answers += [""] * 4
    done = ask(berth_driver, path, *answers, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot list names from AWS") == 1
    text = path.read_text()
    assert 'Subnets = ["subnet-1", "subnet-2"]' in text
    assert "EnablePublicIP = true\n" in text and "UsePublicIP = false\n" in text
    assert "# SecurityGroups =\n" in text


def test_names_that_look_like_numbers_are_strings(berth_driver, path):
    answers = ["ecs", "eu-west-1", "2024", "1.5", "7", "subnet-1", *[""] * 5, "/m", "2222", ""]
    done = ask(berth_driver, path, *answers)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    for line in ('Cluster = "2024"', 'TaskDefinition = "1.5"', 'ContainerName = "7"'):
        assert f"\n{line}\n" in text
    assert "\nPort = 2222\n" in text


IMAGE = "nowhere.invalid/berth-agent:0.2.0"
NO_AWS = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a"}
NO_AWS |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}
# Up to Spot; EnablePublicIP.
UP_TO_SPOT = ["ecs", "eu-west-1", "c", "t", "", "subnet-1", "sg-1", "y", "n", "n"]


def test_images_of_jobs_on_ecs(berth_driver, path):
    answers = [*UP_TO_SPOT, "no image!", IMAGE, "", "", "postgres:*, redis:*", "", "", ""]
    done = ask(berth_driver, path, *answers, env=NO_AWS)
    assert done.returncode == 0, done.stderr
    assert "'push-agent' pushes it" in done.stderr
    assert "invalid: 'no image!' is not a valid image name" in done.stderr
    assert "push-agent --helper" not in done.stderr
    settings = tomllib.loads(path.read_text())
    assert settings["Helper"] == {"AgentImage": IMAGE}
    assert "Image" not in settings["Fargate"], "such jobs run in the task definition"
    assert settings["Fargate"]["AllowedImages"] == ["**"]
    assert settings["Fargate"]["AllowedServices"] == ["postgres:*", "redis:*"]


def test_an_image_of_jobs_without_one_on_ecs(berth_driver, path):
    answers = [*UP_TO_SPOT, IMAGE, "no image!", "ruby:3.3", *[""] * 5]
    done = ask(berth_driver, path, *answers, env=NO_AWS)
    assert done.returncode == 0, done.stderr
    assert "Image of jobs without 'image:' (none: " in done.stderr
    assert "invalid: 'no image!' is not a valid image name" in done.stderr
    settings = tomllib.loads(path.read_text())
    assert settings["Fargate"]["Image"] == "ruby:3.3"
    assert settings["Helper"] == {"AgentImage": IMAGE}


def test_an_invalid_image_is_asked_again(berth_driver, path):
    done = ask(berth_driver, path, "docker", "unix:///run/docker.sock", "ruby:3.3", *[""] * 5)
    assert done.returncode == 0, done.stderr
    assert "invalid: 'unix:///run/docker.sock' is not a valid image name" in done.stderr
    assert tomllib.loads(path.read_text())["Docker"]["Image"] == "ruby:3.3"


def test_without_an_agent_image_jobs_have_none(berth_driver, path):
    done = ask(berth_driver, path, *UP_TO_SPOT, "", "", "", "", env=NO_AWS)
    assert done.returncode == 0, done.stderr
    assert "AllowedImages" not in tomllib.loads(path.read_text())["Fargate"]
    assert "may name with" not in done.stderr and "jobs without" not in done.stderr
    assert f"--config {path} push-agent --helper\n" in done.stderr
    assert '# AllowedImages = ["**"]' in path.read_text()


@pytest.mark.parametrize("image", ["", IMAGE])
def test_doctor_finds_nothing_wrong_in_the_file(place, path, image):
    names = ["ecs", REGION, place.name, place.name, "", place.public, place.group, "y", "n", "n"]
    images = [image, "", "", ""] if image else [image]
    done = ask(place.driver, path, *names, *images, place.driver.metadata, "22", "strict")
    assert done.returncode == 0, done.stderr
    for port in (22122, 22123):
        place.let_in(place.group, port, UserIdGroupPairs=[{"GroupId": place.group}])
    place.driver.config = lambda: path
    code, out, err = place.run()
    assert (code, err) == (0, ""), out
    assert "FAIL" not in out and ("AgentImage" in out) == bool(image)


# --- at a terminal


def read_until(master, text, seconds=20):
    seen = b""
    end = time.monotonic() + seconds
    while text not in seen:
        ready, _, _ = select.select([master], [], [], max(0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(master, 4096)
    return seen


def test_at_a_terminal(berth_driver, path):
    master, slave = os.openpty()
    process = berth_driver.start(
        "init", path, config=False, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    read_until(master, b"[ecs] ")
    os.write(master, b"local\n")
    read_until(master, b"[/var/lib/berth/local] " if os.geteuid() == 0 else b"] ")
    os.write(master, b"\n")
    read_until(master, b"] ")
    process.terminate()
    assert process.wait(60) != 0 and not path.exists()
    os.close(master)
