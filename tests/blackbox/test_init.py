# SPDX-License-Identifier: MIT
"""'berth-driver init': a configuration made by asking, which the driver then runs jobs with."""

import getpass
import os
import re
import select
import time

import pytest

from support.aws_faults import AwsFaults
from support.driver import Job
from support.ecs import FAMILY, REGION


def ask(driver, path, *answers, env=None, words=()):
    """The answers, a line each, piped in. Returns the finished process."""
    lines = "".join(f"{answer}\n" for answer in answers).encode()
    env = driver.environment(**{"AWS_EC2_METADATA_DISABLED": "true", **(env or {})})
    return driver.run("init", *words, path, input=lines, env=env, config=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made.toml"


def use(driver, path):
    """The driver goes on with that file."""
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


def test_says_what_comes_next(berth_driver, path):
    done = ask(berth_driver, path, *local_answers(berth_driver))
    assert f"--config {path} doctor" in done.stderr
    program = str(berth_driver.program.resolve())
    for stage in ("config", "prepare", "run", "cleanup"):
        assert f'{stage}_exec = "{program}"' in done.stdout.decode()
        assert f'["--config", "{path}", "custom", "{stage}"]' in done.stdout.decode()


def test_a_wrong_answer_is_asked_again(berth_driver, path):
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
        "no: 'moon' is none of local, docker and ecs",
        'no: wanted a size such as "512MiB"',
        "no: wanted a number of processors",
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
def test_every_key_in_the_file_is_one(berth_driver, path, backend, count):
    """Those in comments too: taken out of them, no line is unknown or of a wrong type."""
    answers = [backend] + ["eu-west-1", "c", "t", "", "s-1"] * (backend == "ecs")
    done = ask(berth_driver, path, *answers, *[""] * 12)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert len(re.findall(r"^\w+ = ", text, re.M)) >= count - 2
    path.write_text(re.sub(r"^# (\w+ = .+)$", r"\1", text, flags=re.M))
    use(berth_driver, path)
    told = berth_driver.run("custom", "config", env=berth_driver.environment())
    assert "unknown" not in told.stderr and str(path) not in told.stderr, told.stderr


def test_nothing_is_written_before_the_last_answer(berth_driver, path):
    done = ask(berth_driver, path, "local", "/somewhere")
    assert done.returncode == 1 and not path.exists()
    assert "nothing was written: 'Directory for what is kept" in done.stderr
    assert "the input ended before an answer" in done.stderr


def test_an_answer_that_is_needed(berth_driver, path):
    done = ask(berth_driver, path, "ecs", "", "eu-west-1")
    assert "no: an answer is needed" in done.stderr and not path.exists()


def test_a_file_that_is_there_stays(berth_driver, path):
    path.write_text("mine")
    done = ask(berth_driver, path, *local_answers(berth_driver))
    assert done.returncode == 1 and path.read_text() == "mine"
    assert f"'{path}' is there already" in done.stderr and "--force" in done.stderr
    done = ask(berth_driver, path, *local_answers(berth_driver), words=("--force",))
    assert done.returncode == 0 and 'Backend = "local"' in path.read_text()


def test_a_directory_that_is_not_there(berth_driver, tmp_path):
    done = ask(berth_driver, tmp_path / "no" / "f.toml", *local_answers(berth_driver))
    assert done.returncode == 1 and f"cannot write in '{tmp_path / 'no'}'" in done.stderr
    assert "?" not in done.stderr


def test_the_backend_of_the_command_line_is_the_default(berth_driver, path):
    done = ask(berth_driver, path, "", "", "", words=("--backend", "local"))
    assert done.returncode == 0, done.stderr
    assert 'Backend = "local"' in path.read_text()


# --- ECS


def test_offers_what_there_is(ecs_job, cloud, path):
    driver = ecs_job.driver
    port = str(cloud.ssh_port)
    metadata = str(driver.metadata)
    answers = ["ecs", REGION, cloud.cluster, FAMILY, "", cloud.subnets[0], cloud.group]
    answers += ["", "", "no", metadata, port, "strict"]
    done = ask(driver, path, *answers, env=cloud.environment())
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stderr.splitlines() if "found: " in line]
    assert len(found) == 4, done.stderr
    # Twenty of each at the most, and other tests have made some: ours need not be among them.
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


def test_the_only_one_there_is_is_the_default(berth_driver, path):
    one = 'body:{"clusterArns": ["arn:aws:ecs:eu-west-1:1:cluster/only"]}'
    with AwsFaults() as aws:
        aws.always["ListClusters"] = one
        env = {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        answers = ["ecs", "eu-west-1", "", "t", "", "subnet-1", *[""] * 8]
        done = ask(berth_driver, path, *answers, env=env)
    assert done.returncode == 0, done.stderr
    assert "ECS cluster? [only] " in done.stderr
    assert 'Cluster = "only"' in path.read_text()


def test_goes_on_without_aws(berth_driver, path):
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a"}
    env |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}
    answers = ["ecs", "eu-west-1", "c", "t", "", "subnet-1,subnet-2", "", "y", "n", "y", "", "", ""]
    done = ask(berth_driver, path, *answers, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("AWS cannot be asked what there is") == 1
    text = path.read_text()
    assert 'Subnets = ["subnet-1", "subnet-2"]' in text
    assert "EnablePublicIP = true\n" in text and "UsePublicIP = false\n" in text
    assert "# SecurityGroups =\n" in text


def test_names_that_look_like_numbers_are_texts(berth_driver, path):
    answers = ["ecs", "eu-west-1", "2024", "1.5", "7", "subnet-1", *[""] * 4, "/m", "2222", ""]
    done = ask(berth_driver, path, *answers)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    for line in ('Cluster = "2024"', 'TaskDefinition = "1.5"', 'ContainerName = "7"'):
        assert f"\n{line}\n" in text
    assert "\nPort = 2222\n" in text


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
    assert process.wait(20) != 0 and not path.exists()
    os.close(master)
