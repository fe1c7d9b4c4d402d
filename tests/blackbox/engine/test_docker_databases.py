# SPDX-License-Identifier: MIT
"""Real services: PostgreSQL and Redis from Debian, as images with their usual entrypoints."""

import json
import os
from pathlib import Path

import pytest

from support.host_image import Tree, installed

TAG = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # workers share the engine
REDIS = "/usr/bin/redis-server"
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/no"))
START_POSTGRES = """\
#!/bin/sh
set -e
initdb -D /data -U "$POSTGRES_USER" --auth=trust --no-locale >/tmp/initdb.log
echo "host all all all trust" >>/data/pg_hba.conf
exec postgres -D /data -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


def redis_tar():
    tree = Tree()
    tree.program(REDIS)
    tree.busybox()
    return tree.tar()


def postgres_tar():
    tree = Tree()
    for name in ("postgres", "initdb", "psql"):
        tree.program(str(POSTGRES / name))
    share = Path("/usr/share/postgresql") / POSTGRES.parent.name
    for directory in (POSTGRES.parent / "lib", share):
        tree.directory_of(directory)
    tree.directory_of("/usr/share/zoneinfo/Etc")
    tree.text("start", START_POSTGRES, 0o755)
    tree.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/tmp:/bin/sh\n")
    tree.directory("data", 0o700, uid=999)
    tree.busybox()
    return tree.tar()


@pytest.fixture
def services(docker_job, engine):
    """services(name, tar, changes, service): a job with that image as a service and its own."""
    made = []

    def start(name, tar, changes, **service):
        image = f"berth-test/{name}:{TAG}"
        made.append(image)
        engine.import_image(image, tar, changes)
        docker_job.driver.settings["Docker"] |= {
            "Image": image,
            "AllowedServices": ["berth-test/*"],
        }
        docker_job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps([{"name": image, **service}])
        done = docker_job.stage("prepare")
        assert done.returncode == 0 and "continuing without" not in done.stderr, done.stderr
        return docker_job

    yield start
    docker_job.stage("cleanup")
    for image in made:
        engine.remove_image(image)


@pytest.mark.skipif(not installed(REDIS), reason="redis-server is not installed")
def test_redis(services):
    changes = [
        "ENV PATH=/usr/bin:/bin",
        "EXPOSE 6379",
        f'ENTRYPOINT ["{REDIS}"]',
        'CMD ["--protected-mode", "no"]',
    ]
    job = services("redis", redis_tar(), changes, alias="cache")
    done = job.run("printf 'SET k v\\r\\nGET k\\r\\nQUIT\\r\\n' | nc cache 6379\n")
    assert done.stdout == b"+OK\r\n$1\r\nv\r\n+OK\r\n", done.stderr


@pytest.mark.skipif(not installed(POSTGRES / "postgres"), reason="postgresql is not installed")
def test_postgres(services):
    changes = [
        f"ENV PATH={POSTGRES}:/usr/bin:/bin",
        "EXPOSE 5432",
        "USER postgres",
        'ENTRYPOINT ["/start"]',
    ]
    variables = {"POSTGRES_USER": "runner"}
    job = services("postgres", postgres_tar(), changes, alias="db", variables=variables)
    query = "select 6 * 7 as answer"
    done = job.run(f"psql -h db -U runner -d postgres -At -c '{query}'\n")
    assert done.stdout == b"42\n", done.stderr
