# SPDX-License-Identifier: MIT
"""Zones and schedules of [[Warm]] (driver/schedule), compared with Python's zoneinfo."""

import random
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

DIRECTORY = "/usr/share/zoneinfo"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC")
# Before 1970 Python has another offset ahead of a zone's first change.
FIRST, LAST = 946684800, 4102444800
EPOCH = datetime(1970, 1, 1)


@pytest.fixture(scope="module")
def probe(programs):
    program = programs.driver.parent.parent / "tests/tools/zone-probe"

    def ask(lines, directory=DIRECTORY):
        text = "".join(f"{line}\n" for line in lines)
        done = subprocess.run(
            [program, directory], input=text, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.splitlines()

    return ask


def offset(zone, time):
    return int(datetime.fromtimestamp(time, zone).utcoffset().total_seconds())


def changes(zone, first, last):
    """The moments between the two at which the offset changes."""
    found = []
    step = 6 * 3600
    for time in range(first, last, step):
        low, high = time, time + step
        if offset(zone, low) != offset(zone, high):
            while high - low > 1:
                middle = (low + high) // 2
                if offset(zone, middle) == offset(zone, low):
                    low = middle
                else:
                    high = middle
            found.append(high)
    return found


def test_all_zones_have_pythons_offsets(probe):
    if not available_timezones():
        pytest.skip("no package tzdata")
    generator = random.Random(1)
    asked = []
    for name in sorted(available_timezones()):
        if name != "localtime":
            asked += [(name, generator.randrange(FIRST, LAST)) for _ in range(40)]
    answers = probe(f"offset {time} {name}" for name, time in asked)
    wanted = [str(offset(ZoneInfo(name), time)) for name, time in asked]
    wrong = [
        (*question, found, right)
        for question, found, right in zip(asked, answers, wanted, strict=True)
        if found != right
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ZONES)
def test_the_seconds_around_each_change(probe, name):
    zone = ZoneInfo(name)
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    moments = changes(zone, start, start + 5 * 366 * 86400)
    asked = [time + shift for time in moments for shift in (-1, 0, 1)]
    answers = probe(f"offset {time} {name}" for time in asked)
    assert answers == [str(offset(zone, time)) for time in asked]
    assert name == "UTC" or len(moments) >= 10


def moment(zone, local):
    """The first time at which a clock shows 'local' (seconds) or later."""
    near = range(local - 2 * 86400, local + 2 * 86400, 3600)
    offsets = {offset(zone, time) for time in near}
    possible = {local - each for each in offsets} | set(changes(zone, near[0], near[-1]))
    return min(time for time in possible if time + offset(zone, time) >= local)


def lasts(zone, days, start, end, time):
    """start, end: minutes of the day."""
    today = (datetime.fromtimestamp(time, zone).replace(tzinfo=None) - EPOCH).days
    end += 0 if end > start else 24 * 60
    for day in range(today - 2, today + 2):
        if DAYS[(EPOCH + timedelta(days=day)).weekday()] in days:
            first, last = (moment(zone, day * 86400 + at * 60) for at in (start, end))
            if first <= time < last:
                return True
    return False


@pytest.mark.parametrize("name", ZONES)
def test_schedules_around_a_change(probe, name):
    """Ranges that begin, end or lie whole in a gap or in an hour that comes twice."""
    zone = ZoneInfo(name)
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    generator = random.Random(name)
    asked = []
    for change in changes(zone, start, start + 366 * 86400) or [start]:
        for _ in range(60):
            days = generator.sample(DAYS, generator.randrange(1, 8))
            first, last = (generator.randrange(0, 5 * 4) * 15 for _ in "ab")
            if generator.random() < 0.3:
                first = 22 * 60 + first // 4
            if first != last:
                asked.append((days, first, last, change + generator.randrange(-7200, 7200)))
    texts = [
        f"wanted {time} {','.join(days)} {a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02} {name}"
        for days, a, b, time in asked
    ]
    wanted = [str(int(lasts(zone, *question))) for question in asked]
    assert "1" in wanted and "0" in wanted
    found = probe(texts)
    wrong = [row for row in zip(texts, found, wanted, strict=True) if row[1] != row[2]]
    assert wrong == []


def test_a_gap_and_an_hour_that_comes_twice(probe):
    """The two rules in words: a time in a gap is its end, of two the first counts."""

    def at(text):
        return int(datetime.fromisoformat(text).timestamp())

    rows = [
        ("2026-03-29T00:59:59+00:00", "Sun 02:30-04:00 Europe/Berlin", "0"),
        ("2026-03-29T01:00:00+00:00", "Sun 02:30-04:00 Europe/Berlin", "1"),
        ("2026-03-29T01:00:00+00:00", "Sun 01:00-02:30 Europe/Berlin", "0"),
        ("2026-10-25T00:29:59+00:00", "Sun 02:30-02:45 Europe/Berlin", "0"),
        ("2026-10-25T00:30:00+00:00", "Sun 02:30-02:45 Europe/Berlin", "1"),
        ("2026-10-25T01:35:00+00:00", "Sun 02:30-02:45 Europe/Berlin", "0"),
        ("2026-10-25T01:35:00+00:00", "Sun 02:30-03:00 Europe/Berlin", "1"),
    ]
    assert probe(f"wanted {at(time)} {text}" for time, text, _ in rows) == [r[2] for r in rows]


def test_without_the_database(probe, tmp_path):
    (tmp_path / "Broken").write_bytes(b"TZif2")
    answers = probe(
        [
            "offset 0 UTC",
            "offset 0 Asia/Tokyo",
            "offset 0 ../etc/localtime",
            "offset 0 /etc/localtime",
            "offset 0 Broken",
            "wanted 0 Thu 00:00-01:00 UTC",
        ],
        tmp_path,
    )
    assert answers[0] == "0"
    assert "Asia/Tokyo" in answers[1] and "package tzdata" in answers[1]
    assert "not the name of a time zone" in answers[2]
    assert "not the name of a time zone" in answers[3]
    assert "not a usable time zone file" in answers[4]
    assert answers[5] == "1"
