# SPDX-License-Identifier: MIT
"""Services of jobs on ECS: containers of the job's task, their names, variables and ports."""

import json
import os
import signal
import time

import pytest

from support import cfn, processes
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE, prepare
from support.ecs_generated import JOB
from support.ecs_requests import Fault, refusal
from support.registry import Image, Registry, RudeRegistry
from support.start_report import ROUNDING_S, read_report

DB = "nowhere.invalid/group/db:1"
LISTEN = "env >/builds/seen; exec nc -ll -p $PORT -e cat"


@pytest.fixture
def job(generated_job, cloud):
    cloud.containers.images.add_busybox(DB)
    generated_job.fargate["AllowedServices"] = ["nowhere.invalid/**"]
    return generated_job


def service(port=5432, **more):
    variables = [
        {"key": "PORT", "value": str(port)},
        {"key": "HEALTHCHECK_TCP_PORT", "value": str(port)},
    ]
    return {
        "name": DB,
        "alias": "db",
        "entrypoint": ["/bin/sh", "-c", LISTEN],
        **more,
        "variables": variables + more.get("variables", []),
    }


def definition(cloud):
    (request,) = cloud.requests("RegisterTaskDefinition")
    return {row["name"]: row for row in request["containerDefinitions"]}, json.dumps(request)


def test_a_service_by_its_names_with_its_variables(job, cloud):
    job.variables(
        ("DB_PASSWORD", "sesame-0123456789", {"masked": True}),
        ("CI_PIPELINE_ID", "90210", {"public": True}),
        ("NOT_PUBLIC", "hidden-value", {}),
    )
    more = [{"key": "SECRET", "value": "$DB_PASSWORD"}, {"key": "LONG", "value": "x" * 20000}]
    job.services(service(variables=more))
    done = prepare(job)
    assert "not ready" not in done.stderr
    script = "for n in db nowhere.invalid__group__db nowhere.invalid-group-db; do grep -cw $n "
    script += "/etc/hosts; echo hello | nc -w 1 $n 5432; done; cat /builds/seen\n"
    done = job.run(script)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[1] == "hello" and "SECRET=sesame-0123456789" in lines
    assert "CI_PIPELINE_ID=90210" in lines and f"LONG={'x' * 20000}" in lines
    assert "hidden-value" not in done.stdout.decode()
    containers, text = definition(cloud)
    assert containers["berth-svc-1"]["essential"] is False
    for call in cloud.calls:
        assert "sesame" not in json.dumps(call) and "90210" not in json.dumps(call)
    assert "hidden-value" not in text
    (task,) = cloud.tasks.values()
    assert "sesame" not in task.containers["berth-svc-1"].log()


def test_no_wait_is_reported_as_another(job, cloud):
    """A subnet that is refused late, and a slow service, are not the time of the login."""
    refusal_s, service_s = 3.0, 4.0
    job.driver.settings["History"] = {"Directory": str(job.directory / "history")}
    job.fargate["Subnets"] = cloud.subnets
    full = [{"reason": "Capacity is unavailable at this time. Please try again later"}]
    cloud.faults.append(Fault("RunTask", failures=full, delay_s=refusal_s))
    words = ["/bin/sh", "-c", f"sleep {service_s}; exec nc -ll -p $PORT -e cat"]
    job.services(service(entrypoint=words))
    done = prepare(job)
    total, parts = read_report(done.stdout)
    assert parts["queued"] >= refusal_s
    # The service began with the job's container, and the driver waits from its login on.
    assert parts["services"] >= 1, done.stdout
    waits = parts["queued"] + parts["services"]
    assert 0 < parts["login"] <= total - waits + ROUNDING_S, done.stdout
    assert abs(sum(parts.values()) - total) < ROUNDING_S, done.stdout
    assert job.stage("cleanup").returncode == 0
    (entry,) = (job.directory / "history/jobs.jsonl").read_text().splitlines()
    kept = json.loads(entry)["start"]
    for name in ("queued", "login", "services"):
        assert abs(kept[name] - parts[name]) < ROUNDING_S, (kept, done.stdout)


def test_an_alias_with_a_variable_makes_no_definition_of_its_own(job, cloud):
    """The name differs between jobs, and may be a value that is not public."""
    for value in ("one", "two"):
        job.variables(("NAME", value, {}))
        job.services(service(alias="db-$NAME"), service(5433, alias="fixed"))
        assert "not ready" not in prepare(job).stderr
        done = job.run(f"echo hi | nc -w 1 db-{value} 5432; echo hi | nc -w 1 fixed 5433\n")
        assert done.stdout == b"hi\nhi\n", done.stderr
        assert job.run(f"grep -cw db-{value} /etc/hosts\n", "get_sources").stdout == b"1\n"
        assert job.stage("cleanup").returncode == 0
    containers, text = definition(cloud)
    assert "db-one" not in text and "fixed" in containers["berth-helper"]["command"]


def test_variables_in_overrides_own_first_predefined_last(job, cloud):
    del_words = service(variables=[{"key": "OWN", "value": "o" * 200}])
    del del_words["entrypoint"]
    job.variables(
        *((f"CI_LONG_{n}", "c" * 900, {"public": True}) for n in range(12)),
        ("OF_JOB", "public", {"public": True}),
    )
    job.services(del_words)
    cloud.containers.images.get(DB).entrypoint = ["/bin/sh", "-c", LISTEN]
    done = prepare(job)
    (run,) = cloud.requests("RunTask")
    assert len(json.dumps(run["overrides"], separators=(",", ":"))) <= 8192
    rows = {row["name"]: row["environment"] for row in run["overrides"]["containerOverrides"]}
    names = [row["name"] for row in rows["berth-svc-1"]]
    assert names[:4] == ["PORT", "HEALTHCHECK_TCP_PORT", "OWN", "OF_JOB"]
    left_out = 12 - (len(names) - 4)
    assert left_out > 4 and f"{left_out} variables of the job do not fit" in done.stderr
    missing = [f"CI_LONG_{n}" for n in range(12) if f"CI_LONG_{n}" not in names]
    assert f"services: {', '.join(missing[:4])}, ...; set the service's" in done.stderr
    assert "cccc" not in done.stderr
    assert "OF_JOB" not in definition(cloud)[1]


@pytest.mark.parametrize("port", ["eighty", "0", "65536", ""])
def test_a_wrong_port_for_the_check_is_a_warning(job, cloud, port):
    """In its place the ports that the image exposes, of which this one has none, are checked."""
    own = [{"key": "healthcheck_tcp_port", "value": port}]
    job.services({**service(), "variables": [{"key": "PORT", "value": "5432"}, *own]})
    done = prepare(job)
    wrong = f"service '{DB}': ignoring its variable HEALTHCHECK_TCP_PORT: '{port}' is not a port"
    assert done.stderr.count(wrong) == 1, done.stderr


def test_a_service_of_another_user_has_its_variables(job, cloud):
    job.services(service(executor_opts={"docker": {"user": "1000"}}))
    done = prepare(job)
    assert "not ready" not in done.stderr
    done = job.run("stat -c %u /builds/seen; grep PORT= /builds/seen; echo hi | nc -w 1 db 5432\n")
    assert done.stdout.startswith(b"1000\n") and done.stdout.endswith(b"PORT=5432\nhi\n")


def test_a_masked_value_in_overrides_needs_a_key(job, cloud):
    words = service(variables=[{"key": "PW", "value": "x$DB_PASSWORD"}])
    del words["entrypoint"]
    job.fargate["AllowedServices"] = ["**"]  # names no registry that may be asked
    job.variables(("DB_PASSWORD", "sesame-0123456789", {"masked": True}))
    job.services(words)
    cloud.containers.images.get(DB).entrypoint = ["/bin/sh", "-c", LISTEN]
    done = prepare(job, BUILD_FAILURE)
    assert "its variable PW has a masked value" in done.stderr
    assert "no pattern of the allow list spells out its registry" in done.stderr
    assert "[Fargate] ServiceSecretsInOverrides = true" in done.stderr
    assert cloud.count("RegisterTaskDefinition") == cloud.count("RunTask") == 0
    job.fargate["ServiceSecretsInOverrides"] = True
    prepare(job)
    assert "sesame" not in json.dumps(cloud.requests("RegisterTaskDefinition"))


@pytest.mark.parametrize(
    "services, message",
    [
        ([service(22122)], "uses port 22122, which is Berth's own"),
        ([service(22123)], "set [Fargate] HelperPort to another"),
        ([service(), service(alias="two")], "both use port 5432"),
        ([service(5432 + n) for n in range(8)], "8 services, more than the 7 that fit"),
        (
            [service(variables=[{"key": "BIG", "value": "x" * 9000}], entrypoint=[])],
            "its variable BIG does not fit into the overrides",
        ),
        (
            [service(executor_opts={"docker": {"platform": "linux/arm64"}})],
            f"service '{DB}': its platform is 'linux/arm64', and the task runs on linux/amd64",
        ),
    ],
)
def test_services_that_cannot_be(job, cloud, services, message):
    job.services(*services)
    assert message in prepare(job, BUILD_FAILURE).stderr
    assert cloud.count("RegisterTaskDefinition") == cloud.count("RunTask") == 0


def test_a_service_may_name_the_platform_of_the_task(job, cloud):
    job.services(
        service(executor_opts={"docker": {"platform": "linux/amd64"}}),
        service(5433, alias="two", executor_opts={"docker": {"platform": "linux"}}),
    )
    assert "not ready" not in prepare(job).stderr


def test_cfn_lint_finds_nothing_in_any_definition(job, cloud):
    """One of each kind; the tasks are refused."""
    plain = {key: value for key, value in service().items() if key != "entrypoint"}
    arn = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:login"
    role = "arn:aws:iam::123456789012:role/pull"
    cloud.definitions.define(
        family="base", cpu="1024", memory="2048", networkMode="awsvpc", executionRoleArn=role,
        requiresCompatibilities=["FARGATE"], runtimePlatform={"cpuArchitecture": "ARM64"},
        containerDefinitions=[
            {"name": "ci-coordinator", "image": "a", "secrets": [{"name": "S", "valueFrom": arn}]},
            {"name": "side", "image": "b", "essential": False},
        ],
    )  # fmt: skip
    no_base = {"ExecutionRole": role, "Cpu": 512, "Memory": 1024, "LogGroup": "/ci/jobs"}
    secret = {"RegistrySecrets": [f"nowhere.invalid={arn}"], "RegistrySecretsShared": True}
    kinds = [
        ({}, [service(), service(5433, alias="two", executor_opts={"docker": {"user": "9"}})]),
        ({}, [plain, service(5433, alias="two")]),
        ({"TaskDefinition": None, **no_base}, [service()]),
        ({"TaskDefinition": None, **no_base, **secret}, [plain, service(5433, alias="two")]),
        ({"TaskDefinition": "base"}, [service(), plain | {"variables": []}]),
        ({"LaunchTimeout": "20m"}, [service(command=["x"])]),
    ]
    denied = refusal("AccessDeniedException", "no")
    cloud.faults.append(Fault("RunTask", 400, denied, times=len(kinds)))
    settings = dict(job.fargate)
    for changes, services in kinds:
        job.fargate.clear()
        job.fargate.update(settings | changes)
        for key in [key for key, value in job.fargate.items() if value is None]:
            del job.fargate[key]
        job.services(*services)
        assert "ECS started no task" in prepare(job, BUILD_FAILURE).stderr
    requests = cloud.requests("RegisterTaskDefinition")
    assert len(requests) == len(kinds)
    bodies = [{k: v for k, v in row.items() if k not in ("family", "tags")} for row in requests]
    assert cfn.lint(*bodies) == []


def test_names_that_cannot_be(job, cloud):
    """A taken name is the first one's; what is not a host name is dropped with a warning."""
    job.services(service(alias="db localhost -x 0x1"), service(5433, alias="db"))
    done = prepare(job)
    assert "ignoring the alias 'db', which another service has" in done.stderr
    for name in ("localhost", "-x", "0x1"):
        assert f"'{name}'" in done.stderr
    command = definition(cloud)[0]["ci-coordinator"]["command"]
    names = [command[n + 1] for n, word in enumerate(command) if word == "--host-name"]
    assert names == ["db", "nowhere.invalid__group__db", "nowhere.invalid-group-db"]


def test_a_service_that_is_not_ready_is_a_warning(job, cloud):
    job.fargate["ServiceTimeout"] = "2s"
    job.services(service(entrypoint=["/bin/sleep", "600"]))
    began = time.monotonic()
    done = prepare(job)
    assert 2 < time.monotonic() - began < 30, "which is the default"
    assert f"service '{DB}' is not ready: nothing accepts connections on port 5432" in done.stderr


@pytest.mark.parametrize("has_port", [True, False])
@pytest.mark.parametrize(
    "words, code",
    [(["/bin/sh", "-c", "echo no password; exit 3"], 3), (["/no/such/program"], 127), (None, 4)],
)
def test_a_service_that_exits_is_a_warning_at_once(job, cloud, words, code, has_port):
    """Long before its time is over, with all ways to start it; and the job goes on."""
    job.fargate["ServiceTimeout"] = "1h"
    broken = service(entrypoint=words)
    if words is None:
        del broken["entrypoint"]
        cloud.containers.images.get(DB).entrypoint = ["/bin/sh", "-c", "exit 4"]
    if not has_port:
        broken["variables"] = [{"key": "OTHER", "value": "x"}]
    job.services(service(5433, alias="good"), broken, service(5434, alias="last"))
    done = prepare(job)
    (warning,) = [line for line in done.stderr.splitlines() if "its log is" in line]
    assert f"service '{DB}' exited with code {code}, continuing without it; " in warning
    assert "its log is that of the container 'berth-svc-2'" in warning
    assert job.run("echo hello | nc -w 1 last 5434\n").stdout == b"hello\n"


def test_without_task_metadata_a_service_has_its_time(job, cloud):
    cloud.containers.has_metadata = False
    job.fargate["ServiceTimeout"] = "2s"
    silent = service(5433, alias="other", entrypoint=["/bin/false"])
    silent["variables"] = []
    job.services(service(entrypoint=["/bin/false"]), silent)
    done = prepare(job)
    assert done.stderr.count("its log is") == 1, done.stderr
    assert f"service '{DB}' is not ready: nothing accepts connections on port 5432" in done.stderr


def test_a_request_to_stop_ends_the_wait_for_services(job, cloud, until):
    """Also for those after the one that is being checked."""
    job.fargate["ServiceTimeout"] = "10m"
    silent = {"entrypoint": ["/bin/sleep", "600"]}
    job.services(service(**silent), service(5433, alias="other", **silent))
    process = job.start_prepare()

    def checks():
        pids = processes.descendants(os.getpid())
        return any(" await --timeout " in processes.command_line(pid) for pid in pids)

    until(checks, 60, "the check of the first")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == SYSTEM_FAILURE
    text = process.stderr.read().decode()
    assert "warning: stage 'prepare' was stopped on request" in text and "not ready" not in text, (
        text
    )
    assert "helper container" not in text, text


def test_services_do_not_see_builds_if_it_is_off(job, cloud):
    job.driver.settings["Services"] = {"Builds": False}
    job.services(service(entrypoint=["/bin/sh", "-c", "exec nc -ll -p 5432 -e cat"]))
    prepare(job)
    mounts = definition(cloud)[0]["berth-svc-1"]["mountPoints"]
    assert "/builds" not in [row["containerPath"] for row in mounts]
    assert job.image(JOB) is None


@pytest.mark.parametrize(
    "pattern, why",
    [
        ("**", "no pattern of the allow list spells out its registry"),
        ("nowhere.invalid/**", DB[:15]),
    ],
)
def test_a_service_whose_ports_are_not_known_is_one_line(job, cloud, pattern, why):
    job.fargate["AllowedServices"] = [pattern]
    job.services(service(), service(5433, alias="unknown") | {"variables": [], "name": f"{DB}2"})
    cloud.containers.images.add_busybox(f"{DB}2")
    (line,) = [row for row in prepare(job).stderr.splitlines() if "not known" in row]
    assert f"service '{DB}2': not checked whether it is ready" in line and why in line
    assert line.endswith("; set its variable HEALTHCHECK_TCP_PORT")


@pytest.fixture
def registry(job, tmp_path):
    """A real registry, whose hosts the job may use."""
    with Registry(tmp_path / "registry") as running:
        job.helper["InsecureRegistries"] = [running.host]
        job.fargate["AllowedImages"].append(f"{running.host}/**")
        job.fargate["AllowedServices"].append(f"{running.host}/**")
        yield running


def test_an_entrypoint_from_the_registry_wraps_the_service(job, cloud, registry):
    """Its variables are passed over SSH though the job names no entrypoint; EXPOSE is its port."""
    name = f"{registry.host}/group/db:1"
    words = ["/bin/sh", "-c", "echo $SECRET >/builds/seen; exec nc -ll -p 5432 -e cat"]
    registry.push(
        "group/db", "1", Image(Entrypoint=words[:2], Cmd=words[2:], ExposedPorts={"5432": {}})
    )
    cloud.containers.images.add_busybox(name, entrypoint=words[:2], command=words[2:])
    job.variables(("PASSWORD", "sesame-0123456789", {"masked": True}))
    job.services({"name": name, "variables": [{"key": "SECRET", "value": "$PASSWORD"}]})
    done = prepare(job)
    assert "not ready" not in done.stderr
    assert job.run("cat /builds/seen; echo hi | nc -w 1 127.0.0.1 5432\n").stdout == (
        b"sesame-0123456789\nhi\n"
    )
    containers, _ = definition(cloud)
    assert containers["berth-svc-1"]["command"][-1] == words[2]
    assert "sesame" not in json.dumps(cloud.calls)


@pytest.mark.waits
def test_a_slow_registry_leaves_time_for_a_service_that_needs_it(job, cloud, registry):
    """The job's image takes the 2 s of all look-ups; without the service's entrypoint its masked
    variable would be an override."""
    name, words = f"{registry.host}/group/db:1", ["/bin/sh", "-c", "exec nc -ll -p 5432 -e cat"]
    registry.push("group/db", "1", Image(Entrypoint=words, ExposedPorts={"5432": {}}))
    cloud.containers.images.add_busybox(name, entrypoint=words)
    job.variables(("PASSWORD", "sesame-0123456789", {"masked": True}))
    job.services({"name": name, "variables": [{"key": "SECRET", "value": "$PASSWORD"}]})
    with RudeRegistry() as slow:
        slow.answers["/v2/app/manifests/1"] = lambda handler: (time.sleep(2.5), handler.reply(403))
        job.helper["InsecureRegistries"].append(slow.host)
        job.fargate["AllowedImages"].append(f"{slow.host}/**")
        cloud.containers.images.add_busybox(f"{slow.host}/app:1")
        job.image(f"{slow.host}/app:1")
        prepare(job)
        assert slow.requests
    assert "sesame" not in json.dumps(cloud.calls)


def note_silence(job, host):
    """As after a look-up some seconds ago that had no answer."""
    job.driver.metadata.mkdir(mode=0o700, exist_ok=True)
    path = job.driver.metadata / ".registries"
    path.write_text(json.dumps({"version": 2, "silent": {host: {"at": int(time.time())}}}))
    path.chmod(0o600)


def test_a_registry_that_was_silent_is_asked_for_a_service_that_needs_it(job, cloud, registry):
    name, words = f"{registry.host}/group/db:1", ["/bin/sh", "-c", "exec nc -ll -p 5432 -e cat"]
    registry.push("group/db", "1", Image(Entrypoint=words, ExposedPorts={"5432": {}}))
    cloud.containers.images.add_busybox(name, entrypoint=words)
    job.variables(("PASSWORD", "sesame-0123456789", {"masked": True}))
    job.services({"name": name, "variables": [{"key": "SECRET", "value": "$PASSWORD"}]})
    note_silence(job, registry.host)
    prepare(job)
    assert "sesame" not in json.dumps(cloud.calls)


def test_no_answer_about_a_service_that_needs_it_is_no_fault_of_the_job(job, cloud, free_port):
    host = f"127.0.0.1:{free_port()}"
    job.helper["InsecureRegistries"] = [host]
    job.fargate["AllowedServices"].append(f"{host}/**")
    job.variables(("PASSWORD", "sesame-0123456789", {"masked": True}))
    job.services({"name": f"{host}/db:1", "variables": [{"key": "SECRET", "value": "$PASSWORD"}]})
    for _ in range(2):
        done = job.stage("prepare")
        assert done.returncode == SYSTEM_FAILURE, done.stderr
        assert f"cannot read the entrypoint of the image '{host}/db:1'" in done.stderr
        assert "retry the job; or set 'entrypoint'" in done.stderr
        assert "last 5 minutes" not in done.stderr, "it was asked again"
    assert cloud.count("RunTask") == 0


def test_a_port_of_berth_that_the_image_exposes(job, cloud, registry):
    name = f"{registry.host}/group/db:1"
    registry.push("group/db", "1", Image(ExposedPorts={"22122/tcp": {}}))
    job.services(service(name=name))
    assert "uses port 22122, which is Berth's own" in prepare(job, BUILD_FAILURE).stderr
    assert cloud.count("RunTask") == 0


def test_an_empty_entrypoint_is_none(job, cloud, registry):
    """As in Docker: the words of 'command' alone are run."""
    name = f"{registry.host}/group/db:1"
    registry.push("group/db", "1", Image(Entrypoint=["/no"], Cmd=["x"]))
    cloud.containers.images.add_busybox(name)
    words = ["/bin/sh", "-c", "exec nc -ll -p 5432 -e cat"]
    job.services(service(name=name, entrypoint=[""], command=words))
    assert "not ready" not in prepare(job).stderr
    assert definition(cloud)[0]["berth-svc-1"]["command"][-4:] == ["--", *words]


@pytest.mark.parametrize(
    "image, message",
    [
        (None, "does not exist"),
        (Image("arm64"), "linux/amd64"),
    ],
)
def test_an_image_that_cannot_run_fails_before_the_launch(job, cloud, registry, image, message):
    registry.push("other", "1", Image())
    if image is not None:
        registry.push("wanted", "1", image)
    job.image(f"{registry.host}/wanted:1")
    done = prepare(job, BUILD_FAILURE)
    assert message in done.stderr
    assert cloud.count("RegisterTaskDefinition") == cloud.count("RunTask") == 0


def test_a_private_image_is_pulled_with_its_secret(job, cloud, registry):
    name = f"{registry.host}/private:1"
    secret = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:login"
    registry.push("private", "1", Image())
    cloud.containers.images.add_busybox(name)
    cloud.containers.private_images = {name}
    cloud.containers.secrets = {secret: '{"username": "u", "password": "p"}'}
    job.fargate["RegistrySecrets"] = [f"{registry.host}={secret}"]
    job.image(name)
    done = prepare(job, BUILD_FAILURE)
    assert "requires execution role" in done.stderr and "[Fargate] ExecutionRole" in done.stderr
    job.fargate["ExecutionRole"] = "arn:aws:iam::123456789012:role/pull"
    prepare(job)
    request = cloud.requests("RegisterTaskDefinition")[-1]
    containers = {row["name"]: row for row in request["containerDefinitions"]}
    assert containers["ci-coordinator"]["repositoryCredentials"] == {"credentialsParameter": secret}
    assert "repositoryCredentials" not in containers["berth-helper"]
