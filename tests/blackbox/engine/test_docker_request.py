# SPDX-License-Identifier: MIT
"""A job's image: and services: in JOB_RESPONSE_FILE: sub-keys, variables in names, allow lists.

Source: GitLab Runner, common/spec/spec.go.
"""

import json
import platform
import re

import pytest

from support.docker_engine import Registry, busybox_tar
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE

OURS = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OTHER = {"amd64": "arm64", "arm64": "amd64"}[OURS]
ELF_MACHINE = {"amd64": 62, "arm64": 183}
BUSYBOX = "berth-test/busybox:1"


def image(name, user="", platform="", **more):
    """An image or a service as the runner encodes one; 'user' is a text, in GitLab a number."""
    docker = {"platform": platform, "user": user}
    return {"name": name, "executor_opts": {"docker": docker, "kubernetes": {"user": ""}}, **more}


def ask(job, image=None, services=None, variables=()):
    response = json.loads(job.response_file.read_text())
    response |= {"image": image, "services": services, "variables": list(variables)}
    job.response_file.write_text(json.dumps(response))


def service_of(engine, job, index=0):
    return engine.good("GET", f"/containers/berth-{job.metadata()['job']}-service-{index}/json")


@pytest.fixture
def asking(docker_job):
    docker_job.driver.settings["Docker"] |= {
        "AllowedImages": ["berth-test/*"],
        "AllowedServices": ["berth-test/*"],
        "ServiceTimeout": "60s",
    }
    return docker_job


@pytest.fixture(scope="module")
def retagged(engine, busybox):
    """The same image under other names, one of them for another processor. They stay until the
    engine ends, because another worker may use them."""
    for name in ("asked", "other"):
        engine.good("POST", f"/images/{busybox}/tag?repo=berth-test/{name}&tag=1")
    engine.load_image("berth-test/far:1", busybox_tar(), OTHER)


def test_the_response_counts_and_not_the_variables(asking, retagged, engine):
    """A job can set CI_JOB_IMAGE and CI_JOB_SERVICES itself."""
    asking.env["CUSTOM_ENV_CI_JOB_IMAGE"] = "berth-test/other:1"
    asking.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps([{"name": "berth-test/other:1"}])
    ask(asking, image("berth-test/asked:1"))
    asking.prepare()
    found = engine.good("GET", f"/containers/{asking.metadata()['state']['id']}/json")
    assert found["Config"]["Image"] == "berth-test/asked:1"
    assert len(engine.labelled(asking.driver.label)["containers"]) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("$NOT_SET", "'$NOT_SET' is an empty name; set its variables"),
        ("r.example/Group/App:1", "'r.example/Group/App:1' is not a valid image name; its path"),
    ],
)
@pytest.mark.parametrize("keyword", ["image", "service"])
def test_a_name_that_is_empty_or_has_capitals(asking, busybox, engine, keyword, name, words):
    """It does not run in the configured image instead."""
    rows = (image(name), []) if keyword == "image" else (image(busybox), [image(name)])
    ask(asking, *rows)
    done = asking.stage("prepare")
    assert done.returncode == BUILD_FAILURE and f"the job's {keyword} {words}" in done.stderr
    assert engine.labelled(asking.driver.label)["containers"] == []


def test_a_job_without_image_has_the_configured_one(asking, busybox, engine):
    asking.env["CUSTOM_ENV_CI_JOB_IMAGE"] = "berth-test/other:1"
    ask(asking, image(""))
    asking.prepare()
    found = engine.good("GET", f"/containers/{asking.metadata()['state']['id']}/json")
    assert found["Config"]["Image"] == busybox


@pytest.mark.parametrize(
    ("user", "ids"),
    [("1234", "1234 0"), (1234, "1234 0"), ("1234:99", "1234 99"), ("$WHO:${GROUP}", "77 88")],
)
def test_the_jobs_user(asking, busybox, user, ids):
    asking.env |= {"CUSTOM_ENV_WHO": "77", "CUSTOM_ENV_GROUP": "88"}
    ask(asking, image(busybox, user=user))
    done = asking.prepare().run("echo $(id -u) $(id -g)\n")
    assert done.stdout.decode() == f"{ids}\n"


def test_the_configured_user_wins(asking, busybox):
    asking.driver.settings["Docker"]["User"] = "1234"
    ask(asking, image(busybox, user="root"))
    assert asking.prepare().run("id -u\n").stdout == b"1234\n"


def test_a_user_that_the_image_does_not_have(asking, busybox, engine):
    """A build failure; the job does not run as root instead."""
    ask(asking, image(busybox, user="nobody"))
    done = asking.stage("prepare")
    assert done.returncode == BUILD_FAILURE, done.stderr
    assert f"cannot start a container of '{busybox}'" in done.stderr, done.stderr
    assert "nobody" in done.stderr and engine.labelled(asking.driver.label)["containers"] == []


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("berth-test/$WHICH:${TAG}", True),
        ("$WHICH", False),  # 'asked' is not within the list
        ("berth-test/asked$NOTHING:1", True),
        ("$OUTSIDE", False),
    ],
)
def test_the_list_sees_the_name_with_its_variables(asking, retagged, engine, name, good):
    asking.env |= {
        "CUSTOM_ENV_WHICH": "asked",
        "CUSTOM_ENV_TAG": "1",
        "CUSTOM_ENV_OUTSIDE": "elsewhere/berth-test/asked:1",
    }
    ask(asking, image(name))
    done = asking.stage("prepare")
    assert done.returncode == (0 if good else BUILD_FAILURE), done.stderr
    assert good or "is not allowed;" in done.stderr
    ask(asking, image("berth-test/asked:1"), [image(name, command=["sleep", "300"])])
    done = asking.stage("prepare")
    assert done.returncode == (0 if good else BUILD_FAILURE), done.stderr


@pytest.mark.parametrize(("words", "warned"), [(["/bin/sh", "-c"], 1), ([""], 0), ([], 0)])
def test_an_entrypoint_of_the_image_is_reported_as_ignored(asking, busybox, words, warned):
    ask(asking, image(busybox, entrypoint=words))
    done = asking.stage("prepare")
    assert done.returncode == 0
    assert done.stderr.count("'entrypoint' is ignored") == warned, done.stderr
    assert asking.run("echo ran\n").stdout == b"ran\n"


@pytest.mark.parametrize(
    ("wanted", "good"),
    [
        (f"linux/{OURS}", True),
        (platform.machine(), True),
        ("$WHERE", True),
        (f"linux/{OTHER}", False),
        (f"linux/{OTHER}/v8", False),
        (OTHER, False),
        (f"windows/{OURS}", False),
    ],
)
def test_a_platform_that_the_agent_is_built_for(asking, busybox, wanted, good):
    asking.env["CUSTOM_ENV_WHERE"] = f"linux/{OURS}"
    ask(asking, image(busybox, platform=wanted))
    done = asking.stage("prepare")
    assert done.returncode == (0 if good else BUILD_FAILURE), done.stderr
    assert good or f"this berth-agent is built for linux/{OURS}" in done.stderr
    assert "pulling" not in done.stderr, "it is there, or no use"


def test_what_an_agent_of_ones_own_is_built_for(asking, busybox, programs, tmp_path):
    """[Docker] Agent is checked by its ELF header: it must fit the image's processor."""
    program = bytearray(open(programs.agent, "rb").read())
    program[18:20] = ELF_MACHINE[OTHER].to_bytes(2, "little")
    (tmp_path / "agent").write_bytes(program)
    asking.driver.settings["Docker"]["Agent"] = str(tmp_path / "agent")
    asking.env.pop("BERTH_AGENT", None)  # it would win
    ask(asking, image(busybox, platform=f"linux/{OURS}"))
    done = asking.stage("prepare")
    assert done.returncode == BUILD_FAILURE, done.stderr
    assert f"this berth-agent is built for linux/{OTHER}" in done.stderr
    asking.driver.settings["Docker"]["PullPolicy"] = "never"
    ask(asking, image(busybox))
    done = asking.stage("prepare")
    assert done.returncode == BUILD_FAILURE, done.stderr
    assert f"but one for linux/{OURS} alone" in done.stderr


def test_an_image_for_another_processor(asking, retagged):
    """The image on the engine does not fit, and the pull policy forbids a pull."""
    asking.driver.settings["Docker"]["PullPolicy"] = "never"
    for wanted in ("", f"linux/{OURS}"):
        ask(asking, image("berth-test/far:1", platform=wanted))
        done = asking.stage("prepare")
        assert done.returncode == BUILD_FAILURE, done.stderr
        assert f"'berth-test/far:1' but one for linux/{OTHER} alone" in done.stderr


def test_a_service_for_another_platform(asking, busybox, retagged, engine):
    """A service has no agent, so any platform that the engine can run is allowed."""
    command = ["sleep", "300"]
    ask(asking, image(busybox), [image("berth-test/far:1", platform=OTHER, command=command)])
    asking.prepare()
    assert service_of(engine, asking)["State"]["Running"]
    asking.driver.settings["Docker"]["PullPolicy"] = "never"
    ask(asking, image(busybox), [image("berth-test/far:1", platform=OURS, command=command)])
    done = asking.stage("prepare")
    assert done.returncode == BUILD_FAILURE and f"one for linux/{OTHER} alone" in done.stderr


@pytest.mark.parametrize(
    ("configured", "asked", "good"),
    [
        (None, ["if-not-present"], True),
        (None, ["always"], False),
        ("never", ["never"], True),
        (["never", "always"], ["never"], True),
        (["never", "if-not-present"], ["always", "never"], True),  # what is not allowed is left out
        (["never", "if-not-present"], ["always"], False),
        (["never"], ["sometimes"], False),
    ],
)
@pytest.mark.parametrize("of", ["image", "service"])
def test_the_pull_policy(asking, busybox, engine, configured, asked, good, of):
    if configured is not None:
        asking.driver.settings["Docker"]["PullPolicy"] = configured
    policy = {"pull_policy": asked}
    if of == "image":
        ask(asking, image(busybox, **policy))
    else:
        ask(asking, image(busybox), [image(busybox, command=["sleep", "300"], **policy)])
    done = asking.stage("prepare")
    assert done.returncode == (0 if good else BUILD_FAILURE), done.stderr
    assert "pulling" not in done.stderr
    if not good:
        assert f"the job's {of}: pull_policy '{asked[0]}' is not" in done.stderr
        assert engine.labelled(asking.driver.label)["containers"] == []


def test_the_next_policy_when_one_fails(asking, busybox, engine):
    """always, then never: without the registry, the job runs in the image on the engine."""
    name = "127.0.0.1:1/berth/asked:1"
    engine.good("POST", f"/images/{busybox}/tag?repo={name[:-2]}&tag=1")
    asking.driver.settings["Docker"] |= {"Image": name, "PullPolicy": ["always", "never"]}
    ask(asking, image(""))
    done = asking.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "cannot pull '127.0.0.1:1" in done.stderr
    assert "trying the pull policy 'never'" in done.stderr
    engine.remove_image(name)
    done = asking.stage("prepare")
    asking.driver.settings["Docker"]["Image"] = busybox
    assert done.returncode == SYSTEM_FAILURE, "the registry may be back: " + done.stderr


def test_a_pull_for_a_platform(asking, busybox, engine, tmp_path):
    """A registry has an image for each platform: the requested one is pulled."""
    registry = Registry(tmp_path).start()
    name = f"{registry.name}/berth/both"
    try:
        for architecture in (OURS, OTHER):
            engine.load_image(f"{name}:{architecture}", busybox_tar(), architecture)
            engine.docker("push", f"{name}:{architecture}")
            engine.remove_image(f"{name}:{architecture}")
        asking.driver.settings["Docker"] |= {
            "AllowedServices": ["127.0.0.1:*/**"],
            "AllowedImages": ["127.0.0.1:*/**"],
        }
        command = ["sleep", "300"]
        far = image(f"{name}:{OTHER}", platform=f"linux/{OTHER}", command=command)
        ask(asking, image(f"{name}:{OURS}", platform=OURS), [far])
        done = asking.stage("prepare")
        assert done.returncode == 0, done.stderr
        assert f"pulling '{name}:{OTHER}' for linux/{OTHER}" in done.stderr
        assert engine.good("GET", f"/images/{name}:{OTHER}/json")["Architecture"] == OTHER
        asking.stage("cleanup")
        ask(asking, image(f"{name}:{OTHER}"))
        done = asking.stage("prepare")
        assert done.returncode == BUILD_FAILURE, done.stderr
        assert f"'{name}:{OTHER}' is for {OTHER}, but this berth-agent" in done.stderr
    finally:
        for architecture in (OURS, OTHER):
            engine.remove_image(f"{name}:{architecture}")
        registry.stop()


SERVER = ["sh", "-c", "mkdir /w; env > /w/env; id -u > /w/uid; httpd -f -p 8080 -h /w"]


def fetch(job, host, file):
    return job.run(
        f"for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://{host}:8080/{file} && break;"
        "sleep 1; done\n"
    ).stdout.decode()


def test_a_service_with_everything(asking, busybox, engine):
    variables = [
        {"key": "PLAIN", "value": "as it is"},
        {"key": "PUBLIC", "value": "over the job's"},
        {"key": "MADE", "value": "$PUBLIC and ${JOBS} and $$JOBS and $NONE."},
        {"key": "RAW", "value": "$JOBS", "raw": True},
        {"key": "OF_FILE", "value": "$SECRET_FILE"},
    ]
    of_job = [
        {"key": "PUBLIC", "value": "x", "public": True},
        {"key": "JOBS", "value": "x", "public": False, "masked": True},
        {"key": "SECRET_FILE", "value": "content", "public": True, "file": True},
    ]
    asking.env |= {
        "CUSTOM_ENV_PUBLIC": "the job's",
        "CUSTOM_ENV_JOBS": "from the job",
        "CUSTOM_ENV_SECRET_FILE": "content",
        "CUSTOM_ENV_RUNNER_TEMP_PROJECT_DIR": "/builds/p.tmp",
        "CUSTOM_ENV_NAME": "third",
    }
    service = image(
        busybox,
        user=1234,
        alias="db, database  $NAME",
        entrypoint=["/bin/sh"],
        command=["-c", "cd /tmp; " + SERVER[2].replace("/w", "/tmp/w")],
        variables=variables,
        pull_policy=["if-not-present"],
    )
    ask(asking, image(busybox), [service], of_job)
    asking.prepare()
    for name in ("db", "database", "third", "berth-test__busybox", "berth-test-busybox"):
        assert fetch(asking, name, "uid") == "1234\n", name
    env = fetch(asking, "db", "env").splitlines()
    assert "PLAIN=as it is" in env
    assert "MADE=over the job's and from the job and $JOBS and ." in env
    assert "RAW=$JOBS" in env
    assert "OF_FILE=/builds/p.tmp/SECRET_FILE" in env and not any("content" in e for e in env)
    assert not any(e.startswith("JOBS=") for e in env), "it is not public"
    assert [e for e in env if e.startswith("PUBLIC=")] == ["PUBLIC=over the job's"]
    names = [e for e in service_of(engine, asking)["Config"]["Env"] if e.startswith("PUBLIC=")]
    assert names == ["PUBLIC=over the job's"], "one of that name"


def test_two_services_do_not_share_a_name(asking, busybox, engine):
    """As with the runner, the first service keeps the alias; both run under the others."""
    services = [
        image(busybox, alias="db first", command=SERVER),
        image(busybox, alias="db second", command=["sleep", "300"]),
    ]
    ask(asking, image(busybox), services)
    done = asking.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "ignoring the alias 'db', which another service has" in done.stderr
    network = f"berth-{asking.metadata()['job']}"
    names = []
    for index in range(2):
        networks = service_of(engine, asking, index)["NetworkSettings"]["Networks"]
        names.append(
            {n for n in networks[network]["Aliases"] if not re.fullmatch("[0-9a-f]{12}", n)}
        )
    assert names == [
        {"db", "first", "berth-test__busybox", "berth-test-busybox"},
        {"second"},
    ]


@pytest.mark.parametrize(
    ("image_of", "services", "words"),
    [
        (
            {"name": BUSYBOX, "executor_opts": {"docker": {"user": ["x"]}}},
            None,
            "'user' is not a text",
        ),
        (
            {"name": BUSYBOX, "executor_opts": {"docker": {"user": 1.5}}},
            None,
            "'user' is not a text",
        ),
        ({"name": 7}, None, "'name' is not a text"),
        (BUSYBOX, None, "the job's image is not an object"),
        (image(BUSYBOX, platform="linux amd64"), None, "the platform 'linux amd64' is not valid"),
        (image(BUSYBOX, pull_policy=[7]), None, "'pull_policy' is not a list"),
        (image(BUSYBOX), {"name": "x"}, "the job's services are not a list"),
        (image(BUSYBOX), [image(BUSYBOX, command=[1])], "'command' is not a list"),
        (image(BUSYBOX), [image(BUSYBOX, variables=[{"value": "x"}])], "'variables' is not"),
        (image(BUSYBOX), [image(BUSYBOX)] * 17, "17 services, more than 16"),
    ],
)
def test_what_is_not_understood_stops_the_job(asking, engine, image_of, services, words):
    ask(asking, image_of, services)
    done = asking.stage("prepare")
    assert (done.returncode, words in done.stderr) == (BUILD_FAILURE, True), done.stderr
    assert engine.labelled(asking.driver.label)["containers"] == []
