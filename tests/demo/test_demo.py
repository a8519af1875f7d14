"""The demo itself: a real node, a real replay, a real check."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import mainstem as ms
from mainstem.demo import answers, flights, run, run_demo, viewer
from mainstem.demo.flights import Truth
from mainstem.demo.node import DemoNode
from mainstem.demo.replay import Journey, parse_speed, replay
from mainstem.errors import Invalid


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mainstem", "demo", *arguments]


def scratch(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(tmp_path)}


def truth_of(table: pa.Table) -> Truth:
    """What ``flights.count`` would say if the source held only these rows."""
    truth = Truth(rows=table.num_rows, keyless=table["tailnum"].null_count)
    for row in table.select(["origin", "month", "dep_time", "dep_delay"]).to_pylist():
        cell = row["origin"], row["month"]
        truth.by_airport[row["origin"]] += 1
        truth.by_airport_month[cell] += 1
        if row["dep_time"] is None:
            truth.cancelled += 1
            truth.cancelled_by_airport_month[cell] += 1
        else:
            truth.delay_minutes += row["dep_delay"]
            truth.delay_by_airport_month[cell] += row["dep_delay"]
    return truth


@pytest.mark.slow
def test_the_whole_year_goes_through_and_adds_up(tmp_path: Path, year: pa.Table) -> None:
    done = subprocess.run(
        command("--json"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=scratch(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["differences"] == []
    assert result["departures"] == year.num_rows
    assert result["delay_minutes"] == pc.sum(year["dep_delay"]).as_py()
    assert result["most_cancelled"]["day"] == "2013-02-08"
    assert result["measured"]["disk_bytes"] < result["measured"]["json_bytes"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def january(year: pa.Table, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    """The demo, cut down to its first three thousand departures."""
    table = year.slice(0, 3000)
    monkeypatch.setattr(flights, "load", lambda _path: table)
    monkeypatch.setattr(flights, "count", lambda _path: truth_of(table))
    return table


def test_what_adds_up_is_shown_in_eighty_columns(
    january: pa.Table, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_demo() == 0
    shown = capsys.readouterr().out
    assert "Checked: all totals equal" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_what_does_not_add_up_is_a_failure_that_says_where(
    january: pa.Table, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = truth_of(january)
    wrong.by_airport = Counter(wrong.by_airport) + Counter({"JFK": 1})
    monkeypatch.setattr(flights, "count", lambda _path: wrong)
    assert run_demo() == 1
    said = capsys.readouterr().err
    assert "what came out is not what went in" in said
    assert f"departures from JFK: {wrong.by_airport['JFK'] - 1} read from the log" in said


def test_kept_it_says_how_to_connect_and_ctrl_c_removes_everything(
    tmp_path: Path, year: pa.Table
) -> None:
    del year  # only: skipped where there is none
    program = (
        "from mainstem.demo import flights, run_demo; import sys; whole = flights.load; "
        "flights.load = lambda path: whole(path).slice(0, 2000); "
        "from mainstem.demo import answers, run; answers.differences = lambda *_: []; "
        "run.year_on_the_page = lambda *_: []; "
        "sys.exit(run_demo(keep=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=scratch(tmp_path),
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        address = ""
        for line in process.stdout:
            words = line.split()
            if words[:1] == ["kcat"]:
                address = words[2]
            if line.startswith("Ctrl-C"):
                break
        with ms.connect(address) as stem:  # what it says is true
            assert sum(b.num_rows for b in stem.topic("flights").read(start="earliest")) == 2000
        page = first.removeprefix("Open ").partition(": ")[0]
        with urlopen(page, timeout=30) as answer:
            assert b"New York departures" in answer.read()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_paced_the_order_is_the_same(mainstem_address: str, year: pa.Table) -> None:
    shown: list[int] = []
    table = year.slice(0, 2000)

    def show(journey: Journey) -> None:
        shown.append(journey.written)

    journey = replay(mainstem_address, table, 600_000.0, show)  # a week a second
    assert (journey.written, journey.read) == (2000, 2000)
    assert shown == sorted(shown)
    received = pa.Table.from_batches(journey.batches)
    assert sorted(received["_timestamp"].to_pylist()) == table["_timestamp"].to_pylist()


def test_a_failing_writer_ends_the_replay(mainstem_address: str, year: pa.Table) -> None:
    broken = year.slice(0, 100).drop_columns(["tailnum"])
    with pytest.raises(Invalid, match="tailnum"):
        replay(mainstem_address, broken, None, lambda _journey: None)


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("3600", 3600.0), ("0.5", 0.5)])
def test_speeds_parse(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "inf", "nan"])
def test_a_bad_speed_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="neither 'max' nor a positive number"):
        parse_speed(text)


def test_bad_usage_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(speed="fast") == 2
    assert capsys.readouterr().err == (
        "mainstem demo: --speed 'fast' is neither 'max' nor a positive number: try 3600\n"
    )


def test_what_the_live_page_got_wrong_is_a_failure_that_says_where(
    january: pa.Table, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "_PATIENCE_S", 3.0)
    wrong = truth_of(january)
    wrong.cancelled_by_airport_month["LGA", 1] += 1
    monkeypatch.setattr(answers, "differences", lambda *_: [])
    monkeypatch.setattr(flights, "count", lambda _path: wrong)
    assert run_demo() == 1
    assert "LGA on the live page: {'departures': " in capsys.readouterr().err


def test_the_page_stands_while_somebody_looks_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_INVITATION_S", 0.0)
    with DemoNode() as node:
        invitation = run._Invitation(node.live)
        assert not invitation.stands()
        with urlopen(f"{node.page}live?channel=board:JFK", timeout=30) as stream:
            assert stream.readline().startswith(b"retry: ")
            monkeypatch.setattr(run, "_INVITATION_S", 0.5)
            assert viewer.viewers(node.live) == 1
            assert invitation.stands()
        while invitation.stands():
            pass
        assert viewer.viewers(node.live) == 0


def test_the_demos_node_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with DemoNode() as node:
        assert node.data.is_dir()
        assert node.start_seconds > 0
    assert list(tmp_path.iterdir()) == []
