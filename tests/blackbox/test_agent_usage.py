# SPDX-License-Identifier: MIT
"""The log line of each job, and no secrets in the log."""

import json
import os
import re

import pytest

MIB = 1 << 20
ENDED = re.compile(
    r"job ended with (status|signal) (\d+) after ([\d.]+) s, (.*)peak memory ([\d.]+)(?: of "
    r"([\d.]+))? ([MG]iB)[a-z ]*, ([\d.]+) CPU s, ([\d.]+) (B|kB|MB) out$",
    re.MULTILINE,
)


def ended(server, until):
    return until(lambda: ENDED.search(server.log()), what="the line of the job's end")


def test_output_is_counted(agent, ssh, until):
    server = agent()
    ssh(server).run("head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    found = ended(server, until)
    assert found.group(1, 2) == ("status", "0")
    assert found.group(9, 10) == ("4.0", "MB")


def test_processor_time_of_children_and_orphans_is_counted(agent, ssh, until, tmp_path):
    """Each uses 0.3 s of CPU time, however long that takes on a busy machine."""
    server = agent()
    spin = 'python3 -c "import time\nwhile time.process_time() < 0.3: pass"'
    pid = tmp_path / "pid"
    orphan = tmp_path / "orphan"
    orphan.write_text(f"echo $$ >{pid}; {spin}\n:\n")
    reaped = (
        f"until [ -s {pid} ]; do sleep 0.05; done; while kill -0 $(cat {pid}); do sleep 0.05; done"
    )
    ssh(server).run(f"{spin}; (setsid sh {orphan} &); {reaped}; exit 3")
    found = ended(server, until)
    assert found.group(1, 2) == ("status", "3")
    assert 0.6 <= float(found.group(8)) <= 10


EAT = "python3 -c 'x = bytearray(%d << 20); print(len(x))'"


def test_peak_and_limit(agent, ssh, until, programs, limited):
    if programs.sanitized:
        pytest.skip("the sanitizer needs more than the limit")
    server = agent(before=limited)
    assert ssh(server).run(EAT % 24).returncode == 0
    found = ended(server, until)
    assert found.group(4) == ""
    assert found.group(6, 7) == ("64.0", "MiB")
    assert 24 <= float(found.group(5)) <= 64
    server.stop()


def test_an_oom_kill_is_logged(agent, ssh, until, programs, limited):
    if programs.sanitized:
        pytest.skip("the sanitizer needs more than the limit")
    server = agent(before=limited)
    client = ssh(server)
    done = client.run(EAT % 200 + "; exit $?")
    assert done.returncode == 137
    found = ended(server, until)
    assert found.group(4) == "out of memory: OOM kill of 1 processes, "
    assert client.run("echo works").stdout == b"works\n"
    assert server.log().count("OOM kill") == 1  # the next job's line has none
    server.stop()


def test_json_lines_and_hostile_names(agent, ssh, client_key, client_key_path, until):
    paramiko = pytest.importorskip("paramiko")
    secret = "hunter2-" + os.urandom(6).hex()
    server = agent(args=["--log-format", "json", "--log-level", "debug"])
    client = ssh(server)
    hostile = 'a"b\\c\x1b[31m\x07\x7fd'
    with paramiko.Transport(("127.0.0.1", server.port)) as other:  # OpenSSH sends no such name
        other.start_client(timeout=60)
        try:  # refused when the agent is root, accepted as itself otherwise
            other.auth_publickey(hostile, paramiko.Ed25519Key(filename=str(client_key_path)))
        except paramiko.AuthenticationException:
            pass
    assert client.run(f": {secret}; echo {secret}", input=secret.encode()).returncode == 0
    until(lambda: "job ended" in server.log())
    server.terminate()
    text = server.log_path.read_bytes()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", text)
    for line in text.splitlines():
        event = json.loads(line)
        assert {"time", "level", "program", "pid", "message"} <= set(event)
    assert any(hostile in json.loads(line)["message"] for line in text.splitlines())
    assert secret.encode() not in text
    assert server.host_key.seed_base64.encode() not in text
    assert client_key.public.split()[1].encode() not in text
