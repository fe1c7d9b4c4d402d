# SPDX-License-Identifier: MIT
"""The guide and the page of errors have the same content in both languages, and refer only to what
exists."""

import re
import subprocess

import pytest
import yaml

from docs import guide
from docs.conftest import DRIVER, TOP

LANGUAGES = ["english", "japanese"]
KINDS = {"sh", "toml", "yaml", "dockerfile"}


@pytest.fixture(params=LANGUAGES)
def text(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=LANGUAGES)
def errors(request):
    return request.getfixturevalue(f"{request.param}_errors")


def test_commands_are_the_same_in_both(english, japanese):
    assert len(english.blocks) > 30
    for one, other in zip(english.blocks, japanese.blocks, strict=True):
        assert one.language == other.language
        assert one.text == other.text, f"lines {one.line} and {other.line}"
        assert (one.not_run is None) == (other.not_run is None)


def test_both_have_the_same_sections(english, japanese, english_errors, japanese_errors):
    def shape(text):
        return [
            (level, re.match(r"[\d.]*\w?", title).group()) for level, title in text.headings[1:]
        ]

    assert shape(english) == shape(japanese)
    assert len(english_errors.headings) > 5 and shape(english_errors) == shape(japanese_errors)


def test_the_japanese_text_is_japanese(japanese, japanese_errors):
    titles = [title for level, title in japanese.headings if level == 2]
    for title in [*titles, japanese_errors.headings[0][1]]:
        assert re.search(r"[ぁ-んァ-ヶ一-龠]", title), title


def test_blocks_are_of_known_languages(text):
    for block in text.blocks:
        assert block.language in KINDS, f"line {block.line}"
    run, not_run = [
        [b for b in text.blocks if b.language == "sh" and b.runs is want] for want in (True, False)
    ]
    assert len(run) >= 14 and len(not_run) > 0


def test_shell_blocks_are_sound(text, tmp_path):
    whole = tmp_path / "all.sh"
    shell = "\n".join(b.text for b in text.blocks if b.language == "sh")
    whole.write_text("#!/usr/bin/env bash\n" + shell)
    # SC1091: the file that step 2 writes; SC2016: quoting marks of JMESPath; SC2030, SC2031: each
    # block is a subshell with variables of its own.
    command = ["shellcheck", "--exclude=SC1091,SC2016,SC2030,SC2031", whole]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("page", ["fargate", "troubleshooting"])
@pytest.mark.parametrize("language", ["", ".ja"])
def test_links_lead_somewhere(page, language):
    text = guide.Guide(TOP / f"docs/{page}{language}.md")
    anchors = {guide.anchor(title) for _, title in text.headings}
    links = re.findall(r"\]\(([^)\s]+)\)", text.prose())
    assert len(links) > 1
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("https://"):
            name, _, fragment = link.partition("#")
            page = text.path.parent / name
            assert page.exists(), link
            headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
            assert not fragment or fragment in map(guide.anchor, headings), link


def test_readme_and_guide_lead_to_the_pages(english, japanese):
    readme = (TOP / "README.md").read_text()
    for page in ("fargate.md", "fargate.ja.md", "troubleshooting.md", "troubleshooting.ja.md"):
        assert f"](docs/{page})" in readme
    for text, page in ((english, "troubleshooting.md"), (japanese, "troubleshooting.ja.md")):
        assert f"]({page})" in text.prose()


def test_readme_names_the_oldest_gitlab_runner():
    assert "GitLab Runner 17.9" in (TOP / "README.md").read_text()


def test_the_parts_of_a_month_are_computed(text):
    """The table of the example: each row is what it computes, and the sum is theirs."""
    (table,) = re.findall(
        r"^\| [^|]+ \| [^|]+ \| USD \|\n\|-.*\n((?:\|.*\n)+)", text.prose() + "\n", re.M
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    amounts = []
    for _, computed, amount in rows[:-1]:
        term = computed.replace("×", "*").replace(" h ", " ").strip()
        assert re.fullmatch(r"[\d.+* ()]+", term), computed
        assert abs(eval(term) - float(amount)) < 0.006, computed  # noqa: S307
        amounts.append(float(amount))
    assert rows[-1][2] == f"**{sum(amounts):.2f}**"
    hours = 50 * 22 * 6.5 / 60
    assert f"{hours:.1f} h" in rows[0][1]
    task_hour = 0.05056 + 2 * 0.00553 + 0.005
    for other in (730 * 0.062, 730 * 0.014 * 16, 730 * task_hour):
        assert f"{other:.2f}" in text.prose()


def test_packages_are_those_of_this_version(text):
    (version,) = re.findall(
        r"^project\(berth VERSION ([\d.]+)", (TOP / "CMakeLists.txt").read_text(), re.M
    )
    named = re.findall(r"berth-([\d.]+)-1\.\w+\.rpm", "".join(b.text for b in text.shell()))
    assert set(named) == {version}


def test_compose_file_mounts_what_the_configuration_names():
    compose = yaml.safe_load((TOP / "deploy/examples/compose.yaml").read_text())
    runner, collector = compose["services"]["runner"], compose["services"]["gc"]
    mounted = {volume.split(":")[1] for volume in runner["volumes"]}
    example = (TOP / "deploy/examples/config.toml").read_text()
    for path in set(re.findall(r'"(/usr/bin/[^"]+|/etc/[^"]+)"', example)):
        assert any(path == place or path.startswith(f"{place}/") for place in mounted), path
    assert "/var/lib/berth" in mounted
    # Without the directory of LogFile every stage fails.
    for name in ("examples/fargate.toml", "examples/docker.toml", "cloudformation/berth.yaml"):
        logs = re.findall(r'LogFile = "(/.+)/[^/]+"', (TOP / "deploy" / name).read_text())
        assert logs and set(logs) <= mounted, name
    # The same host name, directory and processes: what 'gc' recognises the runner's tasks by.
    assert runner["hostname"] == collector["hostname"]
    assert runner["volumes"] == collector["volumes"]
    assert collector["pid"] == "service:runner"


def quotations(text):
    """Lines of '> `...`', and the last cells of tables; '…' varies."""
    for line in text.lines:
        if line.startswith("> `"):
            yield line[3:].rstrip("`")
        elif line.startswith("| "):
            cell = line.split("|")[-2].strip()
            if re.fullmatch("`[^`]+`", cell):
                yield cell.strip("`")


def test_quoted_messages_exist(errors):
    program = DRIVER.read_bytes()
    quoted = list(quotations(errors))
    assert len(quoted) > 15
    for quotation in quoted:
        for part in quotation.split("…"):
            said = part.strip(" ':")
            texts = (said, said.replace("berth-driver ", "%s "))  # it may be called 'fargate'
            assert any(t.encode() in program for t in texts), f"the driver does not say '{part}'"


def test_both_quote_the_same(english_errors, japanese_errors):
    assert list(quotations(english_errors)) == list(quotations(japanese_errors))


def test_keys_and_variables_are_known(text):
    """Configuration keys in TOML blocks and job variables in YAML blocks exist."""
    program = DRIVER.read_bytes()
    words = set()
    for block in text.blocks:
        if block.language == "toml" and "[[runners]]" not in block.text:
            words |= set(re.findall(r"^(\w+) =", block.text, re.M))
        if block.language == "yaml":
            words |= set(re.findall(r"FARGATE_\w+", block.text))
    assert len(words) > 8
    for word in words:
        assert word.encode() in program, word
