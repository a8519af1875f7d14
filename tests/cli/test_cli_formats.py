"""``produce`` and ``consume`` with payloads that have columns, and into files."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.cli.files import Sink
from mainstem.testing import RunningRegistry, running_registry

Cli = Any
ROWS = b'{"id":"x","n":1,"at":"2024-01-02T03:04:05Z"}\n{"id":"y","n":2,"at":null}\n'


@pytest.fixture
def topic(cli: Cli, name: str) -> str:
    assert cli("topic", "create", name).code == 0
    return name


@pytest.fixture
def registry() -> Iterator[RunningRegistry]:
    with running_registry() as found:
        yield found


def produce(cli: Cli, topic: str, *arguments: str, stdin: bytes = ROWS) -> None:
    found = cli("produce", topic, "--format", "json", *arguments, stdin=stdin)
    assert (found.code, found.out) == (0, ""), found.err


def values(cli: Cli, topic: str, *arguments: str) -> list[Any]:
    found = cli("consume", topic, *arguments)
    assert found.code == 0, found.err
    return [json.loads(line)["value"] for line in found.out.splitlines()]


def test_json_lines_become_avro_and_back(cli: Cli, topic: str, registry: RunningRegistry) -> None:
    arguments = ("--payload", "avro", "--registry", registry.url)
    produce(cli, topic, *arguments, "--key", "id", "--timestamp", "at")
    wanted = [json.loads(line) for line in ROWS.splitlines()]
    assert values(cli, topic, "--format", "avro", "--registry", registry.url) == wanted
    assert values(cli, topic, *arguments) == wanted
    (first, _) = cli("consume", topic, "--json").out.splitlines()
    assert json.loads(first)["key"] == "x"
    assert json.loads(first)["timestamp"].startswith("2024-01-02T03:04:05")


def test_avro_without_a_registry_is_wrong_usage(cli: Cli, topic: str) -> None:
    found = cli("consume", topic, "--format", "avro")
    assert found.code == 2
    assert "avro payloads need --registry URL" in found.err


def test_a_registry_that_is_not_there_is_one_sentence(cli: Cli, topic: str) -> None:
    found = cli("produce", topic, "--format", "json", "--payload", "avro", "--registry", "nothing",
                stdin=ROWS)  # fmt: skip
    assert found.code == 1
    assert found.err.count("\n") == 1
    assert "not the address of a schema registry" in found.err


def test_parquet_becomes_arrow_records_and_parquet(cli: Cli, topic: str, tmp_path: Path) -> None:
    table = pa.table({"n": range(1000), "t": pa.array(range(1000), pa.timestamp("ns", "UTC"))})
    pq.write_table(table, tmp_path / "in.parquet")
    made = cli("produce", topic, str(tmp_path / "in.parquet"), "--format", "parquet", "--payload",
               "arrow", "--json")  # fmt: skip
    assert json.loads(made.out)["records"] == 1
    out = tmp_path / "out.parquet"
    arguments = ("--payload", "arrow", "--format", "parquet", "--output", str(out))
    assert cli("consume", topic, *arguments) == (0, "", "")
    found = pq.read_table(out)
    assert found.select(["n", "t"]).equals(table)
    assert found["_topic"].to_pylist() == [topic] * 1000


def test_raw_records_become_parquet_and_arrow(cli: Cli, topic: str, tmp_path: Path) -> None:
    cli("produce", topic, stdin=b"a\nb\n")
    for shape in ("parquet", "arrow"):
        path = tmp_path / f"out.{shape}"
        assert cli("consume", topic, "--format", shape, "-o", str(path)).code == 0
        if shape == "parquet":
            table = pq.read_table(path)
        else:
            with pa.ipc.open_stream(path) as stream:
                table = stream.read_all()
        assert table["value"].to_pylist() == [b"a", b"b"]
        assert table.column_names[:3] == ["_topic", "_partition", "_offset"]


def test_one_topic_pipes_into_another_as_arrow(
    cli: Cli, topic: str, name: str, tmp_path: Path
) -> None:
    produce(cli, topic)
    path = tmp_path / "rows.arrow"
    arguments = ("--payload", "json", "--format", "arrow")
    assert cli("consume", topic, *arguments, "-o", str(path)).code == 0
    assert cli("topic", "create", f"{name}-copy").code == 0
    made = cli("produce", f"{name}-copy", "--format", "arrow", stdin=path.read_bytes())
    assert made.code == 0, made.err
    assert values(cli, f"{name}-copy", "--json") == values(cli, topic, "--json")


def test_an_arrow_file_is_appended(cli: Cli, topic: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.feather"
    with pa.ipc.new_file(path, pa.schema([("n", pa.int64())])) as file:
        file.write_batch(pa.record_batch({"n": [1, 2]}))
        file.write_batch(pa.record_batch({"n": [3]}))
    assert cli("produce", topic, str(path), "--format", "arrow", "--key", "n").code == 0
    assert values(cli, topic, "--json") == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize("data", [b"", b"junk that is no arrow", b"ARROW1\0\0 and then junk"])
def test_what_is_no_arrow_is_one_sentence(cli: Cli, topic: str, data: bytes) -> None:
    found = cli("produce", topic, "--format", "arrow", stdin=data)
    assert found.code == 1
    assert "not an Arrow IPC file or stream" in found.err


def test_columns_that_change_on_the_way_are_told(cli: Cli, topic: str, tmp_path: Path) -> None:
    produce(cli, topic, "--payload", "arrow", stdin=b'{"a":1}\n')
    produce(cli, topic, "--payload", "arrow", stdin=b'{"a":1,"b":2}\n')
    found = cli("consume", topic, "--payload", "arrow", "--format", "parquet", "-o",
                str(tmp_path / "x"))  # fmt: skip
    assert found.code in {0, 1}
    if found.code:
        assert "columns changed on the way" in found.err


def test_a_table_shows_columns(cli: Cli, topic: str) -> None:
    produce(cli, topic, "--payload", "arrow")
    found = cli("consume", topic, "--payload", "arrow", "--format", "table")
    assert '{"id":"x","n":1' in found.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--payload", "json", "--format", "lines"), "lines are raw values"),
        (("--payload", "arrow", "--format", "avro"), "do not go"),
        (("--output", "x"), "--output is for arrow and parquet"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    cli: Cli, topic: str, arguments: tuple[str, ...], reason: str
) -> None:
    found = cli("consume", topic, *arguments)
    assert found.code == 2
    assert reason in found.err


@pytest.mark.parametrize(
    "arguments", [("--payload", "avro"), ("--format", "csv", "--payload", "protobuf"),
                  ("--format", "parquet", "--payload", "raw"),
                  ("--format", "avro", "--payload", "protobuf"),
                  ("--format", "json", "--payload", "avro", "--message", "Trip"),
                  ("--format", "json", "--payload", "json", "--use-latest")])  # fmt: skip
def test_rows_that_have_no_payload_are_wrong_usage(
    cli: Cli, topic: str, arguments: tuple[str, ...]
) -> None:
    assert cli("produce", topic, *arguments, stdin=b"a\n1\n").code == 2


def test_a_group_reads_columns_too(cli: Cli, topic: str, name: str) -> None:
    produce(cli, topic, "--payload", "arrow")
    found = cli("consume", topic, "--payload", "arrow", "--group", f"{name}-group")
    assert [json.loads(line)["value"]["n"] for line in found.out.splitlines()] == [1, 2]


def test_a_group_commits_only_records_that_were_printed_whole(
    cli: Cli, topic: str, name: str
) -> None:
    produce(cli, topic, "--payload", "arrow", stdin=b'{"n":1}\n{"n":2}\n{"n":3}\n')
    produce(cli, topic, "--payload", "arrow", stdin=b'{"n":4}\n')
    arguments = ("consume", topic, "--payload", "arrow", "--group", f"{name}-group", "--max")

    def numbers(limit: str) -> list[int]:
        out = cli(*arguments, limit).out
        return [json.loads(line)["value"]["n"] for line in out.splitlines()]

    assert numbers("2") == [1, 2]
    assert numbers("3") == [1, 2, 3]
    assert numbers("9") == [4]


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_group_commits_what_a_parquet_file_holds_once_the_file_is_whole(
    cli: Cli, topic: str, name: str, tmp_path: Path, monkeypatch: Any, interrupted: bool
) -> None:
    """Without its footer nobody reads it: a process killed before that lost the records."""
    cli("produce", topic, stdin=b"a\nb\nc\n")
    group, path = f"{name}-group", tmp_path / "out.parquet"
    committed: list[dict[tuple[str, int], int]] = []
    finish, poll = Sink.finish, ms.Consumer.poll

    def watched(sink: Sink) -> None:
        finish(sink)
        with ms.connect(os.environ["MAINSTEM_BROKERS"]) as stem:
            committed.append(stem.committed(group))

    def left(consumer: ms.Consumer, timeout: float | None = None) -> Any:
        if interrupted and any(consumer.assignment.values()):
            raise KeyboardInterrupt
        return poll(consumer, timeout)

    monkeypatch.setattr(Sink, "finish", watched)
    monkeypatch.setattr(ms.Consumer, "poll", left)
    until = "never" if interrupted else "end"
    arguments = ["--group", group, "--format", "parquet", "-o", str(path), "--until", until]
    assert cli("consume", topic, *arguments).code == 0
    assert pq.read_table(path)["value"].to_pylist() == [b"a", b"b", b"c"]
    assert committed[0] == {}
    with ms.connect(os.environ["MAINSTEM_BROKERS"]) as stem:
        assert stem.committed(group) == {(topic, 0): 3}


def test_a_file_that_cannot_be_opened_is_the_only_complaint(cli: Cli, topic: str) -> None:
    cli("produce", topic, stdin=b"a\n")
    found = cli("consume", topic, "--format", "parquet", "-o", "/no/such/place")
    assert (found.code, found.err.count("\n")) == (1, 1)
    assert "/no/such/place: No such file or directory" in found.err


def test_a_file_that_got_no_records_is_said(cli: Cli, topic: str, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    found = cli("consume", topic, "--format", "parquet", "-o", str(path))
    assert (found.code, found.out) == (0, "")
    assert "no records" in found.err
    assert not path.exists()


@pytest.mark.parametrize("verb", ["consume", "produce"])
def test_a_terminal_sees_a_bar_while_a_file_is_read_or_written(
    cli: Cli, topic: str, tmp_path: Path, verb: str
) -> None:
    cli("produce", topic, stdin=b"a\nb\n")
    path = tmp_path / "lines"
    path.write_bytes(b"c\n" * 1000)
    arguments = {
        "consume": ["--format", "parquet", "-o", str(tmp_path / "out.parquet")],
        "produce": [str(path)],
    }
    reader, writer = pty.openpty()
    with os.fdopen(writer, "wb") as terminal:
        done = subprocess.run(
            [sys.executable, "-m", "mainstem", verb, topic, *arguments[verb]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
            check=False,
            timeout=60,
            env={**os.environ, "TERM": "xterm"},
        )
    seen = os.read(reader, 1 << 16)
    os.close(reader)
    assert (done.returncode, done.stdout) == (0, b"")
    assert {"consume": f"read {topic}", "produce": f"append to {topic}"}[verb].encode() in seen
    assert "━".encode() in seen, "the bar itself"
