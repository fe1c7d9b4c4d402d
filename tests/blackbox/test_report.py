# SPDX-License-Identifier: MIT
"""'report': the page in a real browser, by its DOM, without network, with rude texts."""

import json
import os
import re
import resource
import time
from pathlib import Path

import pytest

from support.browser import Browser, program
from support.history import line, many

RUDE = "</script><img src=x onerror=alert(1)><!--<script>&amp;\u2028\u2029\"'`${1}"
SECTIONS = [
    "cost-by-day",
    "minutes-by-day",
    "projects",
    "starts",
    "images",
    "memory",
    "failures",
    "timeline",
]


@pytest.fixture
def browser(nothing_left, tmp_path):
    if program() is None:
        pytest.skip("chromium is not installed")
    instance = Browser(tmp_path / "profile")
    yield instance
    instance.close()


@pytest.fixture
def report(berth_driver, tmp_path):
    """The path of a report on these lines."""

    def make(lines, *words):
        history = tmp_path / "history"
        history.mkdir(mode=0o700, exist_ok=True)
        path = history / "jobs.jsonl"
        path.write_text("".join(f"{text}\n" for text in lines))
        path.chmod(0o600)
        page = tmp_path / "report.html"
        done = berth_driver.run("report", *words, "-o", page, env=berth_driver.environment())
        assert done.returncode == 0, done.stderr
        return page

    return make


def data_of(page):
    text = page.read_text()
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found), found


def texts(browser, selector):
    return browser.evaluate(
        f"[...document.querySelectorAll({selector!r})].map(found => found.textContent)"
    )


def keep(browser, name):
    """A picture to look at, if BERTH_SCREENSHOTS names a directory."""
    if os.environ.get("BERTH_SCREENSHOTS"):
        browser.screenshot(Path(os.environ["BERTH_SCREENSHOTS"]) / f"report-{name}.png")


@pytest.mark.parametrize("count", [0, 1, 3000])
@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_every_section_is_readable(report, browser, count, look):
    page = report(many(count, now=time.time() - 60))
    browser.open(page, width=390 if look == "narrow" else 1200, dark=look == "dark")
    assert browser.complaints() == []
    assert (
        browser.evaluate("[...document.querySelectorAll('section')].map(found => found.id)")
        == SECTIONS
    )
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Text stands out from the page: WCAG's 4.5 to 1.
    contrast = """(() => {
      const light = colour => {
        const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
          .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
      };
      const back = light(getComputedStyle(document.querySelector('section')).backgroundColor);
      return ['body', '.soft', 'select', '#foot'].map(name => {
        const front = light(getComputedStyle(document.querySelector(name)).color);
        return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
      });
    })()"""
    assert min(browser.evaluate(contrast)) >= 4.5
    back = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", back)[0]) < 60) == (look == "dark")
    assert texts(browser, "#tile-jobs b") == [f"{count:,}"]
    empty = texts(browser, ".empty")
    if count == 0:
        assert len(empty) == len(SECTIONS)
    elif count == 1:
        assert empty == ["No job failed in this period."]
        assert texts(browser, "#timeline h2") == ["The last job"]
    else:
        assert empty == [] and texts(browser, "#timeline h2") == ["The last 200 jobs"]
        assert browser.evaluate("document.querySelectorAll('#timeline svg rect').length") == 200
        assert browser.evaluate("document.querySelectorAll('#timeline tbody tr').length") == 12
    keep(browser, f"{count}-{look}")


def test_the_sums_are_those_of_the_jobs(report, browser):
    now = int(time.time()) - 60
    exited = {"result": "failed", "failure": "script", "project": "a/two", "image": "y"}
    reason = "stage 'build_script' exited with code"
    stopped = {"result": "canceled", "failure": "canceled", "reason": "stopped", "run_seconds": 0}
    unknown = dict.fromkeys(["cost", "start", "start_seconds", "peak_bytes"])
    page = report(
        [
            line(1, now - 7200, project="a/one", run_seconds=600, cost=1.5, image="x"),
            line(2, now - 3600, **exited, run_seconds=120, cost=0.25, reason=f"{reason} 7"),
            line(3, now - 60, **exited, run_seconds=60, cost=0.25, reason=f"{reason} 8",
                 peak_bytes=1900 << 20),
            line(4, now - 30, project="a/two", **stopped, **unknown),
        ]
    )  # fmt: skip
    browser.open(page)
    assert texts(browser, ".tile b") == ["4", "33.3 %", "13.0", "2.00", "24.0 s"]
    assert texts(browser, "#projects tbody td") == [
        "a/one", "", "1.50", "10.0", "1", "0", "a/two", "", "0.5000", "3.0", "3", "2",
    ]  # fmt: skip
    assert texts(browser, "#starts tbody tr:first-child td")[2:] == [
        "24.0 s", "0.5 s", "8.5 s", "12.3 s", "1.5 s", "0.3 s", "0.8 s", "0.3 s", "3",
    ]  # fmt: skip
    widths = (
        "[...document.querySelectorAll('#starts tr:first-child .track i')]"
        ".map(found => parseFloat(found.style.width))"
    )
    assert [round(x) for x in browser.evaluate(widths)] == [2, 35, 51, 6, 1, 3, 1]
    assert texts(browser, "#images tbody td")[::5] == ["y", "x"] or texts(
        browser, "#images tbody td"
    )[::5] == ["x", "y"]
    assert texts(browser, "#memory tbody tr:first-child td")[:2] == ["a/two", "y"]
    assert texts(browser, "#memory tbody tr:first-child td")[3:] == [
        "1,900 MiB", "1,900 MiB", "2,048 MiB", "2",
    ]  # fmt: skip
    reasons = texts(browser, "#failures tbody td")
    assert (
        reasons[:2] == ["script", "stage 'build_script' exited with code 8"] and reasons[3] == "2"
    )
    assert reasons[5:7] == ["canceled", "stopped"] and reasons[8] == "1"
    assert texts(browser, "#timeline tbody td:first-child") == ["4", "3", "2", "1"]
    assert browser.evaluate("document.querySelector('#timeline a').href").endswith("/-/jobs/4")
    browser.evaluate(
        "(() => { const all = document.getElementById('project'); all.value = 'a/one';"
        " all.dispatchEvent(new Event('change')); })()"
    )
    assert (
        texts(browser, "#tile-jobs b") == ["1"]
        and texts(browser, "#projects tbody td")[0] == "a/one"
    )
    assert browser.complaints() == []


def test_currencies_are_not_added(report, browser):
    now = int(time.time()) - 60
    costs = [(1, 1.5, "USD"), (2, 2.5, "USD"), (3, 700, "JPY"), (4, 300, "JPY"), (5, 0.25, "EUR")]
    page = report(
        line(n, now - n, cost=cost, currency=currency, project=currency)
        for n, cost, currency in costs
    )
    browser.open(page)
    assert texts(browser, "#tile-cost b") == ["4.00"]
    assert texts(browser, "#tile-cost span") == ["USD, and 1,000 JPY, and 0.2500 EUR"]
    assert texts(browser, "#projects tbody tr:first-child td")[:3] == ["USD", "", "4.00"]
    shown = texts(browser, "#timeline tbody td:nth-child(10)")
    assert shown == ["1.50", "2.50", "700 JPY", "300 JPY", "0.2500 EUR"]


def test_nothing_is_left_out(report, browser):
    now = int(time.time()) - 60
    failed = {"result": "failed", "failure": "script"}
    page = report(
        line(n, now - n, project=f"p/{n}", image=f"i:{n}", reason="r" + "x" * n, **failed)
        for n in range(60)
    )
    browser.open(page)
    for section in ("projects", "starts", "images", "memory", "failures", "timeline"):
        browser.evaluate(f"document.querySelector('#{section} details').open = true")
    counts = (
        "['projects', 'starts', 'images', 'memory', 'failures', 'timeline'].map("
        "id => document.querySelectorAll(`#${id} tbody tr`).length)"
    )
    deadline = time.monotonic() + 20
    while browser.evaluate(counts) != [60, 61, 60, 60, 60, 60]:  # the event comes a moment later
        assert time.monotonic() < deadline, browser.evaluate(counts)
        time.sleep(0.05)
    assert texts(browser, "#cost-by-day .legend span")[-1] == "54 other projects"


def test_rude_texts_stay_texts(report, browser):
    members = [
        "ref",
        "image",
        "project",
        "name",
        "reason",
        "failure",
        "result",
        "currency",
        "backend",
    ]
    rude = dict.fromkeys(members, RUDE)
    urls = [f"https://x/{RUDE}", "javascript:alert(1)", "data:text/html,x", RUDE]
    page = report(line(n, **rude, url=url) for n, url in enumerate(urls))
    found, raw = data_of(page)
    assert not set("<>&\u2028\u2029") & set(raw)
    assert found["recent"][0][1].startswith("</script><img")
    browser.open(page)
    assert browser.complaints() == []
    assert browser.evaluate("document.images.length + document.scripts.length") == 2
    assert texts(browser, "#projects tbody td")[0].startswith("</script><img src=x")
    assert browser.evaluate("[...document.links].map(found => found.protocol)") == ["https:"]


def test_the_policy_lets_nothing_else_run(report, browser):
    page = report([line()])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page.read_text())
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    assert "http" not in policy
    browser.open(page)
    browser.evaluate(
        "(() => { const made = document.createElement('script');"
        " made.textContent = 'globalThis.bad = 1'; document.body.append(made);"
        " const picture = new Image(); picture.src = 'http://192.0.2.1/x.png';"
        " document.body.append(picture); })()"
    )
    assert browser.evaluate("globalThis.bad === undefined")
    deadline = time.monotonic() + 20
    while len([text for text in browser.complaints() if "Content Security Policy" in text]) < 2:
        assert time.monotonic() < deadline, browser.complaints()
        browser.evaluate("1")
        time.sleep(0.05)
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_hundred_thousand_jobs(report, browser, programs, berth_driver):
    page = report(many(100_000), "--since", "60d")
    # The bound of the requirement is 2 s; the processor's time of a busy machine counts.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = berth_driver.run("report", "-o", page, env=berth_driver.environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert programs.sanitized or spent < 3, spent
    browser.open(page)
    assert texts(browser, "#tile-jobs b")[0] in ("100,000", "99,999", "99,998")
    assert texts(browser, ".empty") == [] and browser.complaints() == []
    keep(browser, "100000")


def test_where_the_page_goes(report, berth_driver, tmp_path):
    page = report([line()], "--since", "1d")
    out = berth_driver.run("report", env=berth_driver.environment()).stdout.decode()
    assert out.startswith("<!doctype html>") and len(data_of(page)[0]["jobs"]) == 1
    assert (
        len(data_of(report([line(1, int(time.time()) - 90000)], "--since", "1d"))[0]["jobs"]) == 0
    )
    for path in ("/dev/null", str(tmp_path), str(tmp_path / "no" / "report.html")):
        done = berth_driver.run("report", "-o", path, env=berth_driver.environment())
        assert done.returncode != 0 and path in done.stderr
