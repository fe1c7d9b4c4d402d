# SPDX-License-Identifier: MIT
"""Each block of the guide stands a paste into bash and zsh: it stops at the call that fails, leaves
the shell open, and has nothing that an interactive shell reads otherwise."""

import re

import pytest

from docs import guide
from docs.conftest import TOP

# The answer of every call but one, which lists what it failed to do; the call at FAIL_AT and all
# later ones fail. Without the password that the call before it prints, 'docker login' does nothing.
STAND_IN = """#!/bin/sh
case "$*" in
*--password-stdin* | *dev/stdin*) [ -n "$(cat)" ] || exit 1 ;;
esac
words="${0##*/} $*"
echo "${words%%
*}" >>"$CALLS"
[ "$(wc -l <"$CALLS")" -lt "$FAIL_AT" ] || { echo refused >&2; exit 254; }
case "$*" in *delete-vpc-endpoints*) ;; *) echo id-1 ;; esac
"""
PROGRAMS = ("aws", "docker", "tar", "build/release/bin/berth-driver")
# Calls whose failure is expected by the block.
TRIED = ("create-service-linked-role", "aws s3 ls", "put-secret-value")
MOST_CALLS = 60


@pytest.fixture
def directory(tmp_path):
    """The clone's top directory with stand-ins for all programs, and the names."""
    for name in (*PROGRAMS, "sleep"):
        program = tmp_path / ("" if "/" in name else "bin") / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n" if name == "sleep" else STAND_IN)
        program.chmod(0o755)
    (tmp_path / "deploy").symlink_to(TOP / "deploy")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/SHA256SUMS").touch()
    return tmp_path


def tried(directory, shell, block, names, fail_at):
    """(status, calls, stderr) of a block whose call number fail_at fails, for each of fail_at."""
    calls = directory / "calls"
    parts = [f"export CALLS={calls}"]
    for number in fail_at:
        (directory / f"ids.{number}").write_text(names)
        parts += [
            f"export FAIL_AT={number}; : >|{calls}",
            f"cp ids.{number} berth-guide.ids; cp env berth-guide.env",
            f"exec 2>|errors.{number}",
            block.text.rstrip("\n"),
        ]
        if "read -rs" in block.text:
            parts.append(guide.TYPED)
        parts += [f"echo $? >|status.{number}", f"cp {calls} calls.{number}"]
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    done = guide.type_into(shell, "\n".join(parts) + "\n", directory, environment)
    assert (directory / f"status.{fail_at[-1]}").exists(), done.stderr
    for number in fail_at:
        yield (
            int((directory / f"status.{number}").read_text()),
            (directory / f"calls.{number}").read_text().splitlines(),
            (directory / f"errors.{number}").read_text(),
        )


def blocks_on_the_computer(english):
    """Without those that are more than one call after the other (tests/deploy/test_guide.py)."""
    other = ("describe-stack-events", "remove_stack.sh")
    return [b for b in english.shell() if not b.on_host and not any(o in b.text for o in other)]


@pytest.mark.parametrize("shell", guide.SHELLS)
def test_a_block_stops_at_the_call_that_fails(english, directory, shell):
    env = english.block("cat >berth-guide.env").text
    (directory / "env").write_text(env.partition("<<'EOF'\n")[2].partition("EOF\n")[0])
    # What the uninstallation removes, and what the other blocks read.
    removed = set(re.findall(r"undo (\w+)", "".join(b.text for b in english.shell())))
    removed |= {f"ENDPOINT_{s}" for s in ("ecr_api", "ecr_dkr", "logs", "ecs")}
    checked = 0
    for block in blocks_on_the_computer(english):
        undoes = "undo " in block.text
        names = "".join(f"{name}='id-1'\n" for name in sorted(removed)) if undoes else ""
        ((status, calls, stderr),) = tried(directory, shell, block, names, [MOST_CALLS])
        assert (status, len(calls) < MOST_CALLS) == (0, True), f"{shell}, {block}: {stderr}"
        numbers = [n for n, call in enumerate(calls, 1) if not any(t in call for t in TRIED)]
        if not numbers:
            continue
        for number, found in zip(
            numbers, tried(directory, shell, block, names, numbers), strict=True
        ):
            status, done, stderr = found
            assert status != 0, f"{shell}, {block}: went on after {done[-1]}"
            assert "refused" in stderr
            # The call may be tried again; none comes after it.
            assert set(done[number - 1 :]) == {done[number - 1]}, f"{shell}, {block}: {done}"
            checked += 1
    assert checked > 80


@pytest.mark.parametrize("shell", guide.SHELLS)
def test_a_block_before_the_names_does_nothing(english, directory, shell):
    block = english.block("once HOST_GROUP")
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    environment |= {"CALLS": str(directory / "calls"), "FAIL_AT": "99"}
    text = f"{block.text}echo status $?\n"
    done = guide.type_into(shell, text, directory, environment)
    assert re.search(r"status [1-9]", done.stdout), done.stdout
    assert "berth-guide.env" in done.stderr
    assert not (directory / "calls").exists()


def test_a_cluster_waits_for_the_service_role(english, directory):
    """ECS cannot assume a new role for some seconds: the third try works."""
    tries = directory / "tries"
    (directory / "bin/aws").write_text(
        '#!/bin/sh\n[ "$2" = create-cluster ] || exit 0\n'
        f"echo x >>{tries}\n"
        f"[ $(wc -l <{tries}) -ge 3 ] || "
        '{ echo "Unable to assume the service linked role." >&2; exit 254; }\n'
        "echo arn:aws:ecs:r:1:cluster/c\n"
    )
    (directory / "berth-guide.env").write_text("CLUSTER=c\n")
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    block = english.block("create-cluster")
    guide.paste([block], "bash", directory, environment)
    assert tries.read_text() == "x\n" * 3
    assert (
        "CLUSTER_ARN='arn:aws:ecs:r:1:cluster/c'\n" in (directory / "berth-guide.ids").read_text()
    )


@pytest.mark.parametrize("error", ["DependencyViolation", "An instance profile is InUse"])
def test_removal_waits_for_what_is_in_use(directory, error):
    tries = directory / "tries"
    (directory / "bin/aws").write_text(
        f"#!/bin/sh\necho x >>{tries}\n[ $(wc -l <{tries}) -ge 4 ] || "
        f"{{ echo '{error}' >&2; exit 254; }}\n"
    )
    (directory / "berth-guide.env").touch()
    (directory / "berth-guide.ids").write_text("GROUP='sg-1'\n")
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    text = "( set -e; . deploy/guide.sh\nundo GROUP aws delete-it\n)\necho status $?\n"
    done = guide.type_into("zsh", text, directory, environment)
    assert "status 0" in done.stdout, done.stderr
    assert tries.read_text() == "x\n" * 4
    assert (directory / "berth-guide.ids").read_text().endswith("GROUP=''\n")


@pytest.mark.parametrize("value", ["a b", "$(id)", "'", "a;b", "a\nb"])
def test_only_identifiers_are_kept(directory, value):
    """The file is read as shell commands."""
    (directory / "berth-guide.env").touch()
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    environment["VALUE"] = value
    text = '( set -e; . deploy/guide.sh\nkeep NAME "$VALUE"\n)\necho status $?\n'
    done = guide.type_into("bash", text, directory, environment)
    assert "status 1" in done.stdout and "is not an identifier" in done.stderr
    assert (directory / "berth-guide.ids").read_text() == ""


@pytest.mark.parametrize("shell", guide.SHELLS)
def test_what_others_have_made_is_not_taken(directory, shell):
    """The uninstallation would delete it. Only an interrupted call leaves its own behind."""
    (directory / "bin/aws").write_text(
        "#!/bin/sh\n[ $2 = get-role ] && { echo arn:aws:iam::1:role/r; exit 0; }\n"
        "[ -e cut ] && { rm cut; kill -KILL $PPID; exit; }\n"
        "echo 'An error occurred (EntityAlreadyExists)' >&2; exit 254\n"
    )
    (directory / "berth-guide.env").touch()
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    text = "( set -e; . deploy/guide.sh\nonce ROLE aws iam create-role --role-name r\n)\n"
    text += "echo status $?\n"
    done = guide.type_into(shell, f"{text}{text}touch cut\n{text}{text}", directory, environment)
    found = re.findall(r"^status (\d+)$", done.stdout, re.M)
    assert found[:2] == ["254", "254"] or found[:2] == ["1", "1"], done.stderr
    assert (found[2] != "0", found[3]) == (True, "0"), done.stderr
    assert "ROLE='arn:aws:iam::1:role/r'\n" in (directory / "berth-guide.ids").read_text()


# What AWS answers about what does not exist; the other calls list nothing.
GONE = {
    "ec2 terminate-instances": "InvalidInstanceID.NotFound",
    "ec2 delete-nat-gateway": "NatGatewayNotFound",
    "ec2 release-address": "InvalidAllocationID.NotFound",
    "ec2 delete-security-group": "InvalidGroup.NotFound",
    "ec2 disassociate-route-table": "InvalidAssociationID.NotFound",
    "ec2 delete-route-table": "InvalidRouteTableID.NotFound",
    "ec2 delete-subnet": "InvalidSubnetID.NotFound",
    "ec2 detach-internet-gateway": "Gateway.NotAttached",
    "ec2 delete-internet-gateway": "InvalidInternetGatewayID.NotFound",
    "ec2 delete-vpc": "InvalidVpcID.NotFound",
    "ecs list-tasks": "ClusterNotFoundException",
    "ecr delete-repository": "RepositoryNotFoundException",
    "logs delete-log-group": "ResourceNotFoundException",
    "s3 rb": "NoSuchBucket",
    "iam list-role-policies": "NoSuchEntity",
    "iam remove-role-from-instance-profile": "NoSuchEntity",
    "iam delete-instance-profile": "NoSuchEntity",
}
NONE_LEFT = ("ecs list-task-definition", "ec2 wait nat-gateway-deleted")


@pytest.mark.parametrize("shell", guide.SHELLS)
def test_what_was_deleted_in_the_console_counts_as_removed(english, directory, shell):
    """Everything; then the block is pasted again."""
    blocks = [b for b in english.shell() if "undo " in b.text]
    names = set(re.findall(r"undo (\w+)", "".join(b.text for b in blocks)))
    names |= {f"ENDPOINT_{service}" for service in ("ecr_api", "logs", "sts")}
    cases = "".join(
        f"'{call} '*) echo 'An error occurred ({code})' >&2; exit 254 ;;\n"
        for call, code in GONE.items()
    )
    lists = "|".join(f"'{call}'*" for call in NONE_LEFT)
    error = "InvalidVpcEndpoint.NotFound\tThe endpoint does not exist"
    (directory / "bin/aws").write_text(
        f'#!/bin/sh\ncase "$* " in\n{cases}{lists}) ;;\n'
        f"'ec2 delete-vpc-endpoints '*) echo '{error}' ;;\n"
        '*) echo "unexpected: $*" >&2; exit 3 ;;\nesac\n'
    )
    (directory / "berth-guide.env").write_text("CLUSTER=c\nFAMILY=f\n")
    ids = "".join(f"{name}='id-1'\n" for name in sorted(names))
    (directory / "berth-guide.ids").write_text(ids)
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    first, second = (b.text for b in blocks)
    text = f"{first}echo status $?\n{first}echo status $?\ncp berth-guide.ids ids\n"
    text += f"{second}echo status $?\n{second}echo status $?\n"
    done = guide.type_into(shell, text, directory, environment)
    assert re.findall(r"^status \d$", done.stdout, re.M)[:3] == ["status 0"] * 3, done.stderr
    removed = re.findall(r"^removed (\w+)$", done.stdout, re.M)
    assert sorted(removed) == sorted(names)
    # Nothing is left, so the last one has no names.
    assert not re.search(r"^status 0$", done.stdout.split("status")[-1], re.M)
    assert "there is no berth-guide.env in" in done.stderr and "step 2 first" in done.stderr


def test_an_endpoint_that_is_not_deleted_stays_known(directory):
    """The call succeeds with what it did not delete."""
    (directory / "bin/aws").write_text("#!/bin/sh\nprintf 'OperationNotPermitted\\tno\\n'\n")
    (directory / "berth-guide.env").touch()
    (directory / "berth-guide.ids").write_text("S3_ENDPOINT='vpce-1'\n")
    environment = guide.environment(directory, "http://127.0.0.1:9", directory / "bin")
    text = (
        "( set -e; . deploy/guide.sh\nundo S3_ENDPOINT delete_endpoint vpce-1\n)\necho status $?\n"
    )
    done = guide.type_into("zsh", text, directory, environment)
    assert "status 1" in done.stdout and "OperationNotPermitted" in done.stderr
    assert (directory / "berth-guide.ids").read_text() == "S3_ENDPOINT='vpce-1'\n"


# --- what an interactive shell reads otherwise


def outside_of_files(text):
    """The lines of a block without those that 'cat <<EOF' writes."""
    inside = False
    for line in text.splitlines():
        if inside:
            inside = line != "EOF"
        else:
            inside = bool(re.search(r"<<'?EOF'?$", line))
            yield line


def test_blocks_are_whole_commands(english):
    """A block of several commands is one subshell, which stops at a failure. It would not help to
    set that for the user's own shell: it would close."""
    for block in english.shell():
        lines = list(outside_of_files(block.text.replace("\\\n", "")))
        simple = all(not line.startswith(" ") for line in lines)
        one_command = len(lines) == 1 or (simple and block.on_host and "berth-driver" in block.text)
        assert one_command or (lines[0].startswith("( set -e") and lines[-1] == ")"), block


def test_blocks_have_no_comments_and_no_history_expansion(english):
    """An interactive zsh takes '#' for a command; '!' inside of '\"' is a word of the history."""
    for block in english.shell():
        for line in outside_of_files(block.text):
            assert not re.search(r"(^|\s)#", line), f"{block}: {line}"
            assert "!" not in line, f"{block}: {line}"


def test_no_colon_follows_a_name_without_braces(english):
    """ "$ACCOUNT:repository" is '$ACCOUNT' with the modifier ':r' in zsh, in files as well."""
    for block in english.shell():
        assert not re.search(r"\$\w+:", block.text), block


def test_no_patterns_outside_of_quotes(english):
    """An unquoted '[' or '?' is a pattern, which fails in zsh if no file matches."""
    for block in english.shell():
        text = "\n".join(outside_of_files(block.text))
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
        assert not re.search(r".*[\[\]?*].*", bare), block


def test_images_are_built_for_the_tasks_processor(english):
    """An Apple machine builds for arm64 otherwise."""
    found = 0
    for block in english.shell():
        for command in block.text.replace("\\\n", " ").splitlines():
            if re.search(r"docker (build|run)", command):
                assert "--platform linux/amd64" in command, f"{block}: {command}"
                found += 1
    assert found >= 3
    assert "docker run --rm --platform linux/amd64" in (TOP / "deploy/guide.sh").read_text()


def test_names_are_written_once(english):
    """What step 2 names is not spelt out in a later command."""
    env = english.block("cat >berth-guide.env").text
    names = dict(re.findall(r"^(\w+)=([\w.-]+)$", env, re.M))
    assert {"CLUSTER", "FAMILY", "IMAGE", "CONTAINER", "AGENT"} <= set(names)
    for block in english.shell():
        if block.text == env or block.heading.startswith("1. "):
            continue
        for name in ("CLUSTER", "FAMILY", "IMAGE", "CONTAINER"):
            assert names[name] not in block.text, f"{block}: use ${name}"
