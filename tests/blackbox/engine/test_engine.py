# SPDX-License-Identifier: MIT
"""The engine of these tests runs a container, through its socket and through TLS."""

import os
import subprocess


def test_it_runs_a_container(engine, busybox):
    done = engine.docker("run", "--rm", busybox, "echo", "from inside")
    assert done.stdout == "from inside\n"


def test_it_answers_over_tls_to_its_own_client_only(engine):
    def version(**more):
        return subprocess.run(
            ["/usr/bin/docker", "--tlsverify", "version", "--format", "{{.Server.APIVersion}}"],
            env={**os.environ, "DOCKER_HOST": engine.tls_url, **more},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    newest = engine.good("GET", "/version")["ApiVersion"]
    assert version(DOCKER_CERT_PATH=str(engine.certificates)).stdout == f"{newest}\n"
    assert version(DOCKER_CERT_PATH="/nonexistent").returncode != 0
