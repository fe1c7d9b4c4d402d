# SPDX-License-Identifier: MIT
"""What the bench makes of its samples: ratios, verdicts, tables, plots."""

import json
import re
import xml.etree.ElementTree as tree

import pytest

from bench import figures, report, svg
from bench.figures import Growth, Row, Target
from bench.measures import crowd, docker_jobs, ecs

ROW = Row(
    "throughput",
    "MiB/s",
    {"berth-agent": [200.0, 100.0, 300.0], "sshd": [100.0, 100.0, 100.0]},
    peer="sshd",
    target=Target(1.5, at_least=True),
    note="loopback",
)


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    # A slow moment hits both of a round: 10/5 and 100/50 are the same, the medians' ratio is not.
    assert figures.paired_ratio([10, 100, 30], [5, 50, 10]) == 2
    assert figures.paired_ratio([1, 2], [0, 0]) is None


@pytest.mark.parametrize(
    "target, value, met",
    [
        (Target(1.3, at_least=True), 1.3, True),
        (Target(1.3, at_least=True), 1.29, False),
        (Target(0.4), 0.4, True),
        (Target(0.4), 0.41, False),
    ],
)
def test_a_target_is_met_up_to_its_bound(target, value, met):
    assert target.met(value) is met


def test_an_absolute_target_is_about_our_own_figure():
    row = Row("size", "MB", {"berth-agent": [3.4]}, target=Target(3.5, absolute=True))
    assert row.met() is True and row.value() == 3.4
    assert "| size | at most 3.5 MB | 3.4 MB | met |" in report.summary_table([row])


def test_a_row_without_its_peer_has_no_verdict():
    row = Row("x", "s", {"berth-agent": [1.0]}, peer="sshd", target=Target(1.0))
    assert row.met() is None
    assert "not measured" in report.summary_table([row])[-1]


def test_spread_is_half_the_distance_of_the_quartiles():
    assert figures.spread([100, 100, 100]) == 0
    assert figures.spread([90, 100, 110]) == pytest.approx(0.05)
    assert figures.spread([7]) == 0


@pytest.mark.parametrize(
    "value, text", [(None, ""), (1234.5, "1234"), (12.345, "12.3"), (0.01234, "0.0123")]
)
def test_three_digits(value, text):
    assert report.shown(value) == text


GROWTH = Growth(
    "memory", "PSS & more", "sessions", "KiB", {"a": [(1, 10.0), (200, 990.0)], "b": [(1, 5.0)]}
)


def test_a_plot_is_xml_with_a_line_for_each_contestant():
    root = tree.fromstring(svg.plot(GROWTH))
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"PSS & more", "sessions", "KiB", "a", "b", "1", "200", "1000"} <= set(words)
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    assert len(circles) == 3
    width, height = float(root.get("width")), float(root.get("height"))
    for circle in circles:
        assert 0 < float(circle.get("cx")) < width and 0 < float(circle.get("cy")) < height
    # More is higher.
    low, high = (float(circle.get("cy")) for circle in circles[:2])
    assert high < low


def test_a_logarithmic_axis_keeps_its_distances():
    growth = Growth("x", "x", "x", "y", {"a": [(512, 1), (4096, 1), (32768, 1)]}, log_x=True)
    places = [float(x) for x in re.findall(r'cx="([\d.]+)"', svg.plot(growth))]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)


def test_the_text_before_the_tables_is_kept(tmp_path):
    document = tmp_path / "benchmarks.md"
    for _ in range(2):
        report.write(document, tmp_path / "benchmarks", [ROW], [GROWTH], {"Cores": "2"}, "")
        if document.read_text().startswith("# Benchmarks"):
            text = document.read_text()
            document.write_text("My story.\n\n" + text[text.index(report.MARK) :])
    text = document.read_text()
    assert text.startswith("My story.\n\n<!--") and text.count(report.MARK) == 1
    assert "| throughput | at least 1.5 x (sshd) | 2 x | met |" in text
    assert "- throughput: loopback" in text and "| Cores | 2 |" in text
    found = json.loads((tmp_path / "benchmarks/figures.json").read_text())
    assert found["rows"][0]["samples"] == ROW.samples and found["rows"][0]["met"] is True
    assert (tmp_path / "benchmarks/memory.svg").exists()


ECS = {
    "jobs": 200,
    "calls": {
        "RunTask": {"all": 200, "busiest_second": 11},
        "DescribeTasks": {"all": 2000, "busiest_second": 21},
        "StopTask": {"all": 200, "busiest_second": 60},
    },
    "config_ms": [2.0, 3.0, 90.0],
    "config_kib": [1700, 9000],
    "connect_ms": [4.0],
    "run_ms": [20.0],
    "run_kib": [2300],
    "prepare_s": [30.0],
    "prepare_cpu_ms": [20.0, 20.0, 60.0],
    "prepare_kib": [3500],
}


def test_what_ecs_jobs_found_becomes_rows_with_targets():
    met = {row.measure: row.met() for row in ecs.rows_of(ECS)}
    many = "200 jobs at once on ECS"
    assert met["ECS: config, whole stage"] is True, "the median counts"
    assert met["ECS: config, largest resident set"] is False, "the largest counts"
    assert met[f"{many}: CPU of a prepare"] is True and met["the same, the most"] is False
    assert met[f"{many}: RunTask"] is True and met[f"{many}: RunTask, busiest second"] is True
    assert met[f"{many}: DescribeTasks, busiest second"] is False, "a storm is seen"
    table = "\n".join(report.summary_table(ecs.rows_of(ECS)))
    assert "| ECS: run, start to connection | at most 5 ms | 4 ms | met |" in table


def test_what_crowd_jobs_found_becomes_rows_with_targets():
    found = {
        "jobs": 1000,
        "warm": 100,
        "claimed": 99,
        "RunTask": {"all": 1000, "busiest_second": 21},
        "DescribeTasks": {"all": 300, "busiest_second": 20},
        "latency_s": [0.5] * 95 + [9.0] * 5,
        "private_kib": [1000, 4097],
        "prepare_s": [100.0],
        "claim_s": [1.0],
    }
    many = "1000 jobs at once on ECS, 100 warm"
    met = {row.measure.removeprefix(f"{many}: "): row.met() for row in crowd.rows_of(found)}
    assert met["RunTask, busiest second"] is False and met["DescribeTasks, busiest second"] is True
    assert met["address known to ECS to its driver, 95th percentile"] is True
    assert met["private memory of a waiting driver, the most"] is False


@pytest.mark.parametrize(("seconds", "met"), [(1.25, True), (1.26, False)])
def test_a_job_with_a_helper_may_cost_a_quarter_more(seconds, met):
    (row,) = docker_jobs.rows_of({"helper": [seconds], "no helper": [1.0]})
    assert row.met() is met and row.unit == "s"
