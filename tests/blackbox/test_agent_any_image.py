# SPDX-License-Identifier: MIT
"""Options for jobs in images that know nothing of Berth: shell, PATH, HOME, umask, names."""

import os
import shutil
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.clients import read_all, run, transport
from support.jobwire import INPUT, INPUT_END, Job, Refused, encode
from support.mounts import _in_namespace
from support.scratch import BUSYBOX, without_warnings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

RUN = 8
USER = 54_323  # without an entry in /etc/passwd
PERMANENT = 7  # of REFUSED


def words(*texts):
    return b"".join(text.encode() + b"\0" for text in texts)


@pytest.fixture
def script(private_key):
    """script(agent, text, ...): runs a job's script; returns (status, stdout, stderr)."""

    def run_script(started, *texts, directory=""):
        with Job(started.port, private_key) as job:
            job.send(RUN, os.urandom(16).hex().encode() + words(directory, *texts))
            job.send(INPUT_END, struct.pack(">Q", 0))
            job._introduction()
            job.collect()
            job.release()
            out, err = (bytes(output).decode() for output in job.outputs)
            return job.exit[0], out, without_warnings(err)

    return run_script


@pytest.fixture
def inside(agent, scratch):
    """inside(args, user=None, ...): an agent in 'scratch'; with proc=True it has /proc."""

    def start_inside(*args, user=None, proc=False, before=(), env=None, **how):
        if proc:
            scratch.path("/proc").mkdir(exist_ok=True)
            before = _in_namespace(f'mount -t proc proc {scratch.path("/proc")} && exec "$@"')
        env = {"ASAN_OPTIONS": scratch.asan(), **(env or {})}
        before = [*before, *scratch.words(user)]
        return agent(before=before, args=[*map(str, args)], env=env, **how)

    return start_inside


@pytest.fixture
def busybox():
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip(f"{BUSYBOX} is not installed")
    return BUSYBOX


@pytest.fixture
def hosts(tmp_path):
    """hosts(text, mode): (file, words in front of a program whose /etc/hosts it is)."""

    def make(text, flags="bind"):
        file = tmp_path / f"hosts-{os.urandom(4).hex()}"
        file.write_text(text)
        readonly = f" && mount -o remount,bind,ro {file} /etc/hosts" if flags == "ro" else ""
        mount = f"mount --bind {file} /etc/hosts{readonly}"
        return file, _in_namespace(f'{mount} && exec "$@"')

    return make


# --umask


@pytest.mark.parametrize("value", ["0000", "022", "77"])
def test_umask_of_every_kind_of_job(agent, ssh, script, value):
    started = agent(args=["--umask", value], before=("sh", "-c", 'umask 027; exec "$@"', "sh"))
    wanted = f"{int(value, 8):04o}\n"
    assert script(started, "umask") == (0, wanted, "")
    assert script(started, "sh", "-c", "umask") == (0, wanted, "")
    assert ssh(started).run("umask").stdout.decode() == wanted
    with transport(started) as link:
        channel = link.open_session()
        channel.invoke_subsystem("berth-exec")
        channel.sendall(encode(RUN, b"0" * 32 + words("", "umask")))
        assert read_all(channel).decode() == wanted


def test_umask_by_default(agent, script):
    started = agent(before=("sh", "-c", 'umask 027; exec "$@"', "sh"))
    assert script(started, "umask")[1] == "0027\n"


# --path-before, --path-after


def test_path(agent, ssh, script):
    args = ["--path-before", "/first:/second", "--path-after", "/last"]
    started = agent(args=args, env={"PATH": "/usr/bin:/bin"})
    wanted = "/first:/second:/usr/bin:/bin:/last\n"
    assert script(started, 'echo "$PATH"')[1] == wanted
    assert ssh(started).run('echo "$PATH"').stdout.decode() == wanted
    started = agent(args=["--path-after", "/last"], env={"PATH": None})
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert script(started, 'echo "$PATH"')[1] == f"{usual}:/last\n"
    started = agent(env={"BERTH_PATH_BEFORE": "/x", "PATH": "/bin"})
    assert script(started, 'echo "$PATH${BERTH_PATH_BEFORE-}"')[1] == "/x:/bin\n"


# --home-fallback


def home_of(script, started):
    text = 'echo "$HOME"; echo "$PWD"; stat -c "%a %u" "$HOME"; touch "$HOME/file"'
    status, out, err = script(started, text)
    assert status == 0, err
    return out.splitlines()


@pytest.fixture
def open_directory():
    """A directory that every user can write and reach, which pytest's are not."""
    path = Path(tempfile.mkdtemp(dir="/tmp", prefix="berth-test-"))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("home", ["/nonexistent", "/", "/proc", "/dev/null", "", "relative"])
def test_a_home_that_cannot_be_written(agent, script, open_directory, home):
    """The fallback is made with its parents, and every user can write to it."""
    fallback = open_directory / "a/b"
    before = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
    args = ["--home-fallback", fallback, "--umask", "077"]
    started = agent(args=args, env={"HOME": home}, before=before)
    wanted = [f"{fallback}/{USER}", f"{fallback}/{USER}", f"700 {USER}"]
    assert home_of(script, started) == wanted
    assert home_of(script, started) == wanted, "the next job has the same"
    assert stat.S_IMODE(fallback.stat().st_mode) == 0o1777
    assert stat.S_IMODE(fallback.parent.stat().st_mode) == 0o755


def test_a_home_that_can_be_written_stays(agent, script, tmp_path):
    (tmp_path / "home").mkdir()
    args = ["--home-fallback", tmp_path / "fallback"]
    started = agent(args=args, env={"HOME": str(tmp_path / "home")})
    assert home_of(script, started)[0] == str(tmp_path / "home")
    assert not (tmp_path / "fallback").exists()


def test_home_of_another_user_than_the_agents(agent, ssh, open_directory, tmp_path):
    """The agent, root, makes the parent before it becomes the user."""
    passwd = tmp_path / "passwd"
    passwd.write_text(f"root:x:0:0::/root:/bin/sh\nsomeone:x:{USER}:{USER}::/none:/bin/sh\n")
    before = _in_namespace(f'mount --bind {passwd} /etc/passwd && exec "$@"')
    fallback = open_directory / "a"
    started = agent(args=["--home-fallback", fallback], before=before)
    done = ssh(started, user="someone").run('echo "$HOME"; pwd; stat -c "%a %u" .')
    home = f"{fallback}/{USER}"
    assert done.stdout.decode().splitlines() == [home, home, f"700 {USER}"]
    assert stat.S_IMODE(fallback.stat().st_mode) == 0o1777


@pytest.mark.parametrize("obstacle", ["link", "file", "another user's", "read-only"])
def test_a_fallback_that_cannot_be_used(agent, script, tmp_path, obstacle):
    """The job runs with the HOME that it has, and says so."""
    fallback = tmp_path / "fallback"
    fallback.mkdir()
    (tmp_path / "elsewhere").mkdir()
    target = fallback / "0"
    if obstacle == "link":
        target.symlink_to(tmp_path / "elsewhere")
    elif obstacle == "file":
        target.write_text("")
    elif obstacle == "another user's":
        target.mkdir()
        os.chown(target, USER, USER)
    else:
        fallback = "/proc/fallback"
    started = agent(args=["--home-fallback", fallback], env={"HOME": "/nonexistent"})
    status, out, err = script(started, 'echo "$HOME"; exit 3')
    assert (status, out) == (3, "/nonexistent\n")
    assert f"berth: warning: cannot make a home directory in '{fallback}': " in err
    assert err.endswith(", HOME stays '/nonexistent'\n") and err.count("\n") == 1


# --entrypoint


def test_entrypoint_wraps_scripts_alone(agent, ssh, script, tmp_path):
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(
        '#!/bin/sh\necho "[$#:$1:$2]"\nWRAPPED=yes\nexport WRAPPED\nshift 2\nexec "$@"\n'
    )
    wrapper.chmod(0o755)
    args = ["--entrypoint", wrapper, "--entrypoint", "-c", "--entrypoint", "a b"]
    started = agent(args=args)
    assert script(started, 'echo "$WRAPPED $0"; exit 9') == (
        9,
        f"[5:-c:a b]\nyes {shutil.which('bash')}\n",
        "",
    )
    long = f"# {'x' * 140_000}\necho $WRAPPED; ls /proc/self/fd"
    assert script(started, long)[1].split()[2:6] == ["yes", "0", "1", "2"]
    assert script(started, "sh", "-c", "echo ${WRAPPED-no}")[1] == "no\n"
    assert ssh(started).run("echo ${WRAPPED-no}").stdout == b"no\n"
    with transport(started) as link:
        channel = link.open_session()
        channel.invoke_subsystem("berth-exec")
        channel.sendall(encode(RUN, b"0" * 32 + words("", "echo ${WRAPPED-no}")))
        assert read_all(channel) == b"no\n"


def test_entrypoint_in_path_and_none(agent, script):
    started = agent(args=["--entrypoint=env", "--entrypoint=MARK=1"])
    assert script(started, "echo $MARK", directory="/usr") == (0, "1\n", "")
    assert script(agent(args=["--entrypoint", ""]), "echo $0")[1] == "bash\n"


# As people write them for GitLab's docker executor, which passes scripts on standard input.
ENTRYPOINTS = {
    "arguments": ["/usr/bin/env"],
    "sh -c": ["/bin/sh", "-c"],
    "bash -lc": ["bash", "-lc"],
    "env sh -c": ["/usr/bin/env", "sh", "-c"],
    "text that drops the arguments": ["/bin/sh", "-c", "true && /bin/bash -c $0"],
    "text that starts a shell": ["/bin/sh", "-c", "exec bash"],
    "text that passes them on": ["/bin/sh", "-c", 'exec "$0" "$@"'],
    "text that passes them on without exec": ["/bin/bash", "-c", '"$0" "$@"'],
}


@pytest.mark.parametrize("name", ENTRYPOINTS)
def test_entrypoints_of_gitlabs_docker_executor(agent, private_key, name):
    """The script comes on descriptor 3, has quotation marks, and no input of its own."""
    started = agent(args=[f"--entrypoint={word}" for word in ENTRYPOINTS[name]])
    text = (
        """a="it's"; berth=$(cat <&3); exec 3<&-; cat; eval "$berth"; echo "$a $LINENO"; exit 7"""
    )
    data = b"echo 'from 3'; cat; ls /proc/self/fd | tail -n 1"
    with Job(started.port, private_key) as job:
        job.send(RUN, os.urandom(16).hex().encode() + words("", text))
        job.send(INPUT, data)
        job.send(INPUT_END, struct.pack(">Q", len(data)))
        job._introduction()
        job.collect()
    assert (job.exit[0], bytes(job.outputs[1])) == (7, b"")
    assert bytes(job.outputs[0]) == b"from 3\n3\nit's 1\n"


@pytest.mark.parametrize("program", ["/nonexistent", "nonexistent", "/etc/passwd", "/"])
def test_an_entrypoint_that_cannot_run(agent, script, program):
    started = agent(args=["--entrypoint", program])
    with pytest.raises(Refused) as refused:
        script(started, "echo no")
    assert refused.value.args[0] == PERMANENT
    assert f"cannot execute the shell through the entrypoint '{program}'" in refused.value.args[1]
    assert f"cannot start a job: cannot execute '{program}': " in started.log()


# --host-name


def test_names_are_added_once(agent, script, hosts):
    text = "127.0.0.1\tlocalhost\n10.1.2.3 there # elsewhere\n::1 six\n"
    file, before = hosts(text)
    args = ["--host-name", "db", "--host-name", "My-Sql,tutum__wordpress", "--host-name=there"]
    started = agent(before=before, args=[*args, "--host-name=SIX", "--host-name=db.example.com"])
    added = "127.0.0.1 db My-Sql tutum__wordpress db.example.com\n"
    assert file.read_text() == text + added
    assert script(started, "getent", "ahostsv4", "db")[1].startswith("127.0.0.1 ")
    assert "host name 'there' has another address in /etc/hosts, keeping it" in started.log()
    agent(before=before, args=[*args, "--host-name=elsewhere"])
    assert file.read_text() == text + added + "127.0.0.1 elsewhere\n"


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1 localhost", "\n", "\0\0\n", "127.0.0.1 a" + "#db\n"]
)
def test_names_in_a_file_of_any_kind(agent, hosts, text):
    file, before = hosts(text)
    agent(before=before, args=["--host-name", "db"])
    separator = "" if text == "" or text.endswith("\n") else "\n"
    assert file.read_text() == f"{text}{separator}127.0.0.1 db\n"


def test_names_that_cannot_be_added(agent, hosts):
    """The agent runs, and its log says what to use instead."""
    for before, reason in [
        (hosts("127.0.0.1 known\n", "ro")[1], "Read-only file system"),
        ([*hosts("127.0.0.1 known\n")[1], "setpriv", f"--reuid={USER}", f"--regid={USER}",
          "--clear-groups"], "Permission denied"),
    ]:  # fmt: skip
        log = agent(before=before, args=["--host-name", "known,db"]).log()
        assert f"cannot add host names: cannot open '/etc/hosts' for writing: {reason}" in log
        assert "host name 'db' does not resolve; use 127.0.0.1:PORT instead of db:PORT" in log
        assert "'known'" not in log


def test_a_hosts_file_that_is_too_large(agent, hosts):
    file, before = hosts("# comment\n" * 120_000)
    log = agent(before=before, args=["--host-name", "db"]).log()
    assert "'/etc/hosts' is larger than" in log and "host name 'db' does not resolve" in log
    assert file.stat().st_size == 1_200_000


# --busybox


@pytest.fixture
def placed(scratch, busybox):
    """An image from scratch with what 'place' makes, as from a volume."""
    scratch.add(busybox, scratch.program.parent / "busybox")
    assert scratch.run("place", "/.berth").returncode == 0
    scratch.path(scratch.program.parent / "busybox").unlink()
    return scratch


def test_a_job_in_an_image_from_scratch(placed, inside, script, ssh):
    """The shell and its applets stand in; plain commands and a login have a shell, too."""
    started = inside("--busybox", "/.berth", "--path-before", "/first")
    status, out, err = script(started, 'echo "$0 $PATH"; which awk; echo x | sed s/x/y/; exit 4')
    path = os.environ["PATH"]
    assert (status, err) == (4, "")
    assert out.splitlines() == [f"sh /first:{path}:/.berth/applets", "/.berth/applets/awk", "y"]
    assert script(started, "wc", "-c", "/.berth/busybox")[0] == 0
    with transport(started) as link:
        assert run(link, "echo plain; which sed") == (0, b"plain\n/.berth/applets/sed\n")
        channel = link.open_session()
        channel.invoke_shell()
        channel.sendall(b"echo shell $0; exit 8\n")
        channel.shutdown_write()
        assert (read_all(channel), channel.recv_exit_status()) == (b"shell sh\n", 8)
    assert script(inside(), "/.berth/busybox", "true")[0] == 0


def test_no_shell_at_all(inside, script):
    with pytest.raises(Refused, match="cannot execute the shell: No such file") as refused:
        script(inside("--busybox", "/nonexistent"), "true")
    assert refused.value.args[0] == PERMANENT


def test_a_static_program_in_an_image_from_scratch(scratch, inside, script):
    """Without any shell, as several words."""
    started = inside(user=USER)
    assert script(started, str(scratch.program), "identity") == (0, f"{USER} {USER}\n", "")


@pytest.mark.parametrize("user", [None, USER])
def test_applets_without_links_beside_busybox(scratch, busybox, inside, script, user):
    """As on Docker, where only the program is copied in: links are made in a place of its own."""
    scratch.add(busybox, "/.berth/busybox")
    scratch.path("/tmp").mkdir()
    scratch.path("/tmp").chmod(0o1777)
    started = inside("--busybox", "/.berth", user=user)
    (own,) = scratch.path("/tmp").iterdir()
    assert stat.S_IMODE(own.stat().st_mode) == 0o755
    status, out, _ = script(started, "which sed; id -u")
    assert (status, out) == (0, f"/tmp/{own.name}/applets/sed\n{user or 0}\n")
    assert started.terminate() == 0
    assert list(scratch.path("/tmp").iterdir()) == [], "removed with the agent"


def test_no_place_for_applets(scratch, busybox, inside, script):
    """Non-root, no /tmp, nothing to write to: the shell runs alone."""
    scratch.add(busybox, "/.berth/busybox")
    started = inside("--busybox", "/.berth", user=USER)
    assert "no directory for busybox's applets can be written" in started.log()
    assert script(started, "echo yes; exit 3")[:2] == (3, "yes\n")


@pytest.mark.parametrize("where", ["/bin/sh", "/busybox/sh", "/bin/bash", "/usr/local/bin/bash"])
def test_the_images_own_shell_comes_first(placed, inside, script, where):
    placed.add("/bin/sh", where)
    placed.write("/bin/marker", "")
    started = inside("--busybox", "/.berth", env={"PATH": "/usr/bin"})
    status, out, _ = script(started, 'echo "$PATH"')
    assert (status, out) == (0, "/usr/bin\n"), "and the applets are not in PATH"


def test_entrypoint_before_busybox(placed, inside, script):
    started = inside("--busybox=/.berth", "--entrypoint=/.berth/busybox", "--entrypoint=env",
                     "--entrypoint=MARK=1")  # fmt: skip
    assert script(started, "echo $MARK; exit 5") == (5, "1\n", "")


# --helper


def helper_image(scratch, inside="/usr/bin/gitlab-runner-helper"):
    scratch.add("/bin/sh")
    return scratch.write(inside, "#!/bin/sh\necho helper $0 $*\n", 0o755)


@pytest.mark.parametrize("user", [None, USER])
def test_helper_with_the_link_of_place(scratch, inside, script, user):
    helper_image(scratch)
    assert scratch.run("place", "/.berth").returncode == 0
    scratch.path(scratch.program).unlink()
    scratch.path(scratch.program).symlink_to("/.berth/berth-agent")
    started = inside("--helper", proc=True, user=user)
    assert script(started, "gitlab-runner --version; command -v gitlab-runner")[1] == (
        "helper /.berth/helper/gitlab-runner --version\n/.berth/helper/gitlab-runner\n"
    )
    assert not list(scratch.path("/tmp").glob("berth-agent-*"))


@pytest.mark.parametrize("own", [None, "'a.b=c'"])
def test_git_of_a_helper_trusts_files_of_other_users(scratch, inside, script, own):
    helper_image(scratch)
    env = {"GIT_CONFIG_COUNT": "0"} | ({} if own is None else {"GIT_CONFIG_PARAMETERS": own})
    started = inside("--helper", env=env)
    wanted = own or "'safe.directory=*'"
    assert script(started, 'echo "$GIT_CONFIG_COUNT $GIT_CONFIG_PARAMETERS"')[1] == f"0 {wanted}\n"


@pytest.mark.parametrize("where", ["/usr/bin", "/opt/gitlab-runner", "/somewhere/in/path"])
def test_helper_with_a_link_of_its_own(scratch, inside, script, where):
    helper_image(scratch, f"{where}/gitlab-runner-helper")
    scratch.path("/tmp").mkdir()
    started = inside("--helper", env={"PATH": "/bin:/somewhere/in/path"})
    (own,) = scratch.path("/tmp").iterdir()
    status, out, _ = script(started, "gitlab-runner x; echo $PATH")
    directory = f"/tmp/{own.name}/helper"
    assert (status, out) == (
        0,
        f"helper {directory}/gitlab-runner x\n{directory}:/bin:/somewhere/in/path\n",
    )
    assert started.terminate() == 0 and list(scratch.path("/tmp").iterdir()) == []


def test_helper_without_the_program(scratch, inside, script):
    scratch.add("/bin/sh")
    started = inside("--helper")
    assert "no gitlab-runner-helper in this image, not linking gitlab-runner" in started.log()
    assert script(started, "echo yes")[1] == "yes\n"


# all of it


@pytest.mark.parametrize("user", [None, USER])
def test_a_read_only_image_from_scratch(placed, agent, script, user):
    """No /tmp, no /etc, no /proc; the only place to write is the volume of builds."""
    builds = placed.path("/builds")
    assert placed.run("place", "/.berth", "--builds", "/builds").returncode == 0
    before = _in_namespace(
        f"mount --bind {placed.root} {placed.root} && mount --bind {builds} {builds} && "
        f'mount -o remount,bind,ro {placed.root} && exec "$@"'
    )
    args = ["--busybox=/.berth", "--home-fallback=/builds/.home", "--host-name=db", "--umask=0027"]
    started = agent(
        before=[*before, *placed.words(user)],
        args=args,
        env={"ASAN_OPTIONS": placed.asan(), "HOME": "/root", "PATH": "/bin"},
    )
    assert "use 127.0.0.1:PORT instead of db:PORT" in started.log()
    text = "echo $HOME $PATH; id -u; touch ~/file /x; cd /builds; mkdir project; stat -c %a project"
    status, out, err = script(started, text)
    home = f"/builds/.home/{user or 0}"
    assert (status, out) == (0, f"{home} /bin:/.berth/applets\n{user or 0}\n750\n")
    assert err == "touch: /x: Read-only file system\n"
    assert placed.path(f"{home}/file").exists()


# the command line


@pytest.mark.parametrize(
    "args, message",
    [
        (["--umask", "0888"], "--umask: '0888' is not an octal number from 0000 to 0777"),
        (["--umask", "1000"], "--umask: '1000' is not an octal number"),
        (["--umask", ""], "--umask: '' is not an octal number"),
        (["--umask", "00022"], "--umask: '00022' is not an octal number"),
        (["--path-before", "bin"], "--path-before: 'bin' is not an absolute path"),
        (["--path-after", ""], "--path-after: '' is not an absolute path"),
        (["--home-fallback", "~"], "--home-fallback: '~' is not an absolute path"),
        (["--busybox", "busybox"], "--busybox: 'busybox' is not an absolute path"),
        (["--entrypoint", "", "--entrypoint", "x"], "--entrypoint: the program's name is empty"),
        (["--host-name", "localhost"], "--host-name: 'localhost' is not a host name"),
        (["--host-name", "a,,b"], "--host-name: '' is not a host name"),
        (["--host-name", "a b"], "--host-name: 'a b' is not a host name"),
        (["--host-name", "127.1"], "--host-name: '127.1' is not a host name"),
        (["--host-name", "a\nb"], "--host-name: 'a\\x0ab' is not a host name"),
        (["--host-name", ",".join("abcdefghijklmnopqrstuvwxyzABCDEFG")], "more than 32 names"),
        (["--entrypoint=x"] * 33, "--entrypoint: given more than 32 times"),
    ],
)
def test_wrong_options(programs, client_key, args, message):
    done = subprocess.run(
        [programs.agent, *args],
        env=dict(os.environ, SSH_PUBLIC_KEY=client_key.public),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
