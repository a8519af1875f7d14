"""``mainstem produce`` and ``mainstem consume``."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.testing import RunningBroker

Cli = Any


@pytest.fixture
def topic(cli: Cli, name: str) -> str:
    assert cli("topic", "create", name).code == 0
    return name


def records(cli: Cli, topic: str, *arguments: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in cli("consume", topic, "--json", *arguments).out.splitlines()
    ]


def test_lines_go_in_and_come_out(cli: Cli, topic: str) -> None:
    text = "first\n\nthird é\nno newline at the end"
    made = cli("produce", topic, stdin=text.encode())
    assert (made.code, made.out) == (0, "")
    assert f"appended 4 records to '{topic}'" in made.err
    assert cli("consume", topic) == (0, text + "\n", "")


def test_a_file_is_appended(cli: Cli, topic: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("a\nb\n")
    (row,) = [json.loads(cli("produce", topic, str(path), "--json").out)]
    assert row | {"seconds": 0} == {
        "topic": topic, "records": 2, "partitions": {"0": 2}, "seconds": 0,
    }  # fmt: skip


def test_json_objects_stay_the_bytes_they_are(cli: Cli, topic: str) -> None:
    text = '{"b": 1.0,  "id": "x", "at": "2024-01-02T03:04:05Z"}\n\n{"id":"y"}\n'
    arguments = ("--format", "json", "--key", "id", "--timestamp", "at")
    assert cli("produce", topic, "-", *arguments, stdin=text.encode()).code == 0
    assert cli("consume", topic).out == text.replace("\n\n", "\n")
    first, second = records(cli, topic)
    assert first["key"] == "x"
    assert first["timestamp"].startswith("2024-01-02T03:04:05")
    assert first["value"] == {"b": 1.0, "id": "x", "at": "2024-01-02T03:04:05Z"}
    assert second["key"] == "y"


def test_csv_rows_become_objects(cli: Cli, topic: str) -> None:
    text = b"name,age,when\nAnn,31,2020-01-01T00:00:00Z\nBob,,\n"
    assert cli("produce", topic, "--format", "csv", "--key", "name", stdin=text).code == 0
    first, second = records(cli, topic)
    assert (first["key"], first["value"]["age"]) == ("Ann", 31)
    assert second["value"]["age"] is None


def test_parquet_rows_become_objects(cli: Cli, topic: str, tmp_path: Path) -> None:
    table = pa.table(
        {"id": [1, 2], "tags": [["a"], []], "t": pa.array([0, 1000], pa.timestamp("ms"))}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    path = str(tmp_path / "rows.parquet")
    assert cli("produce", topic, path, "--format", "parquet", "--timestamp", "t").code == 0
    piped = cli("produce", topic, "--format", "parquet", stdin=Path(path).read_bytes())
    assert piped.code == 0
    found = records(cli, topic)
    assert [each["value"]["id"] for each in found] == [1, 2, 1, 2]
    assert found[1]["timestamp"] == "1970-01-01T00:00:01Z"
    assert found[0]["value"]["tags"] == ["a"]


def damaged() -> bytes:
    """A Parquet file with its footer, but not the page behind its first bytes."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2]}), sink)
    data = bytearray(sink.getvalue())
    data[4:20] = b"\xff" * 16
    return bytes(data)


DAMAGED = damaged()


@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        ("json", b'{"a":1}\n\n{"a"\n', "line 3: it is not a JSON object"),
        ("json", b"[1]\n", "line 1: it is not a JSON object"),
        ("csv", b"a,b\n1\n", "Expected 2 columns, got 1"),
        ("parquet", b"not parquet at all", "this is not a Parquet file"),
        ("parquet", DAMAGED, "this is not a Parquet file, or a damaged one: "),
    ],
)
def test_bad_input_names_its_place(
    cli: Cli, topic: str, kind: str, data: bytes, sentence: str
) -> None:
    code, _, err = cli("produce", topic, "--format", kind, stdin=data)
    assert code == 1
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_an_unknown_column_names_the_nearest(cli: Cli, topic: str, kind: str) -> None:
    data = {"json": b'{"tailnum":"N1"}\n', "csv": b"tailnum\nN1\n"}[kind]
    result = cli("produce", topic, "--format", kind, "--key", "tailnumber", stdin=data)
    assert result.code == 1
    assert "no column 'tailnumber': did you mean 'tailnum'?" in result.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "0123456789"),
        (("--from", "7"), "789"),
        (("--from", "latest"), ""),
        (("--max", "3"), "012"),
        (("--from", "2", "--max", "3"), "234"),
        (("--max", "99"), "0123456789"),
        (("--from", "1970-01-01T00:00:06Z"), "6789"),
        (("--from", "1970-01-01T01:00:06+01:00"), "6789"),
        (("--until", "never", "--max", "10"), "0123456789"),
    ],
    ids=str,
)
def test_where_to_begin_and_end(
    cli: Cli, topic: str, arguments: tuple[str, ...], expected: str
) -> None:
    rows = "".join(f'{{"n":{n},"t":"1970-01-01T00:00:0{n}Z"}}\n' for n in range(10))
    made = cli("produce", topic, "--format", "json", "--timestamp", "t", stdin=rows.encode())
    assert made.code == 0, made.err  # or what follows would wait for ever
    found = records(cli, topic, *arguments)
    assert "".join(str(each["value"]["n"]) for each in found) == expected


def test_every_part_of_a_record_is_shown(
    cli: Cli, topic: str, mainstem_session_broker: RunningBroker
) -> None:
    with ms.connect(mainstem_session_broker.address) as stem:
        headers = [[{"key": "h", "value": b"1"}, {"key": "h", "value": None}], None, None]
        kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
        stem.topic(topic).append(
            {
                "value": [b"text", b"\xff", None],
                "_key": [b"k", b"\xfe", None],
                "_timestamp": [1, 2, 3],
                "_headers": pa.array(headers, kind),
            }
        )
    first, second, third = records(cli, topic)
    assert first == {
        "topic": topic, "partition": 0, "offset": 0, "timestamp": "1970-01-01T00:00:00.001000Z",
        "key": "k", "headers": [["h", "1"], ["h", None]], "value": "text",
    }  # fmt: skip
    assert (second["key"], second["value"]) == ({"base64": "/g=="}, {"base64": "/w=="})
    assert (third["key"], third["value"]) == (None, None)
    table = cli("consume", topic, "--format", "table").out.splitlines()
    assert table[0].split() == ["partition", "offset", "timestamp", "key", "value"]
    assert table[1].split() == ["0", "0", "1970-01-01T00:00:00.001+00:00", "k", "text"]
    assert cli("consume", topic).out == "text\n\N{REPLACEMENT CHARACTER}\n\n"


def test_a_group_goes_on_where_it_stopped(cli: Cli, topic: str, name: str) -> None:
    cli("produce", topic, stdin=b"".join(b"%d\n" % n for n in range(10)))
    assert cli("consume", topic, "--group", name, "--max", "4").out == "0\n1\n2\n3\n"
    assert cli("consume", topic, "--group", name, "--max", "2").out == "4\n5\n"
    assert cli("consume", topic, "--group", name).out == "6\n7\n8\n9\n"
    assert cli("consume", topic, "--group", name).out == ""
    (row,) = [
        json.loads(line) for line in cli("group", "describe", name, "--json").out.splitlines()
    ]
    assert (row["committed"], row["end"], row["lag"]) == (10, 10, 0)


def test_a_group_skips_what_was_deleted_and_says_so(
    cli: Cli, topic: str, name: str, mainstem_session_broker: RunningBroker
) -> None:
    cli("produce", topic, stdin=b"0\n1\n2\n3\n")
    cli("consume", topic, "--group", name, "--max", "1")
    with ms.connect(mainstem_session_broker.address) as stem:
        stem.delete_records(topic, {0: 3})
    code, out, err = cli("consume", topic, "--group", name)
    assert (code, out) == (0, "3\n")
    assert "offset 1 is gone, going on at 3" in err


def test_groups_are_listed_reset_and_deleted(cli: Cli, topic: str, name: str) -> None:
    cli("produce", topic, stdin=b"a\nb\nc\n")
    cli("consume", topic, "--group", name)
    assert [name, "Empty", "0", "0"] in [
        line.split() for line in cli("group", "list").out.splitlines()
    ]
    dry = cli("group", "reset", name, "--topic", topic, "--to", "earliest", "--dry-run")
    assert dry.out.splitlines()[1].split() == [name, topic, "0", "3", "0"]
    assert "nothing was changed" in dry.err
    assert cli("consume", topic, "--group", name).out == ""
    assert cli("group", "reset", name, "--topic", topic, "--to", "1").code == 0
    assert cli("consume", topic, "--group", name).out == "b\nc\n"
    assert cli("group", "delete", name, "--yes").code == 0
    assert name not in cli("group", "list").out


def test_a_group_with_running_members_is_refused(
    cli: Cli, topic: str, name: str, mainstem_session_broker: RunningBroker
) -> None:
    kafka = pytest.importorskip("confluent_kafka")
    consumer = kafka.Consumer(
        {"bootstrap.servers": mainstem_session_broker.address, "group.id": name,
         "auto.offset.reset": "earliest"}
    )  # fmt: skip
    cli("produce", topic, stdin=b"a\n")
    consumer.subscribe([topic])
    while consumer.poll(0.1) is None:
        pass
    code, out, err = cli("group", "reset", name, "--topic", topic, "--to", "latest")
    assert (code, out) == (1, "")
    assert f"group '{name}' has 1 running member: stop its consumers first" in err
    consumer.close()


def test_consume_shares_the_partitions_with_other_members(
    cli: Cli, name: str, mainstem_session_broker: RunningBroker
) -> None:
    arguments = ["consume", name, "--group", name, "--max", "1", "--until", "never"]
    printed: list[Any] = []
    thread = threading.Thread(target=lambda: printed.append(cli(*arguments)))
    with ms.connect(mainstem_session_broker.address) as stem:
        topic = stem.create_topic(name, 2)
        with stem.consumer(name, name, heartbeat_interval=0.1) as other:
            while len(other.assignment) != 2:
                other.poll(0.1)
            thread.start()
            while thread.is_alive():
                other.poll(0.05)
                if len(other.assignment) == 1:
                    topic.append([{"value": "shared", "_partition": n} for n in (0, 1)])
            thread.join()
    assert (printed[0].code, printed[0].out) == (0, "shared\n")
