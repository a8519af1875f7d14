"""``mainstem topic``, and how the command line behaves in general."""

from __future__ import annotations

import json
from typing import Any

import pytest

Cli = Any


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_topic_from_create_to_delete(cli: Cli, name: str) -> None:
    made = cli("topic", "create", name, "--partitions", "3", "--config", "retention.ms=5000")
    assert made == (0, "", f"created topic '{name}' with 3 partitions\n")
    listed = cli("topic", "list").out.splitlines()
    assert listed[0].split() == ["topic", "partitions", "records"]
    assert [name, "3", "0"] in [line.split() for line in listed]
    changed = cli("topic", "alter", name, "--partitions", "4", "--config", "retention.ms=")
    assert changed == (0, "", f"changed topic '{name}'\n")
    described = cli("topic", "describe", name)
    assert "default settings" in described.err
    assert len(described.out.splitlines()) == 5
    assert cli("topic", "delete", name, "--yes") == (0, "", f"deleted topic '{name}'\n")
    assert name not in cli("topic", "list").out


def test_json_lines_for_programs(cli: Cli, name: str) -> None:
    (made,) = lines(cli("topic", "create", name, "--json").out)
    assert made["topic"] == name
    assert made["partitions"] == 1
    assert name in [row["topic"] for row in lines(cli("topic", "list", "--json").out)]
    cli("topic", "alter", name, "--config", "segment.bytes=1000000")
    (row,) = lines(cli("topic", "describe", name, "--json").out)
    assert row | {"settings": 0} == {
        "topic": name, "partition": 0, "leader": 1, "replicas": [1], "in_sync": [1],
        "start": 0, "end": 0, "records": 0, "settings": 0,
    }  # fmt: skip
    assert row["settings"] == {"segment.bytes": "1000000"}
    assert lines(cli("topic", "delete", name, "--yes", "--json").out) == [
        {"topic": name, "deleted": True}
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["topic", "describe", "departure"], "no topic 'departure': did you mean 'departures'?"),
        (["topic", "delete", "departure", "--yes"], "did you mean 'departures'?"),
        (["consume", "departure"], "did you mean 'departures'?"),
        (["produce", "departure"], "did you mean 'departures'?"),
        (["topic", "create", "departures"], "already exists"),
        (["topic", "create", "a/b"], "a/b"),
        (["topic", "create", "x", "--config", "retention=1"], "retention"),
        (["group", "describe", "nobody"], "there is no group 'nobody'"),
        (["produce", "departures", "/no/such/file"], "/no/such/file: No such file"),
        (["doctor", "/no/such/dir"], "/no/such/dir"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_fails_is_one_sentence_and_exit_code_1(
    cli: Cli, arguments: list[str], sentence: str
) -> None:
    cli("topic", "create", "departures")
    code, out, err = cli(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("mainstem: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["topic", "frobnicate"],
        ["topic", "create"],
        ["topic", "create", "x", "--partitions", "zero"],
        ["topic", "create", "x", "--partitions", "0"],
        ["topic", "create", "x", "--config", "novalue"],
        ["topic", "create", "x", "--nonsense"],
        ["topic", "alter", "x"],
        ["consume", "x", "--from", "yesterday"],
        ["consume", "x", "--format", "xml"],
        ["consume", "x", "--max", "0"],
        ["produce", "x", "--key", "k"],
        ["produce", "x", "--compression", "zip"],
        ["group", "reset", "g", "--topic", "t"],
        ["group", "reset", "g", "--topic", "t", "--to", "sometime"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("mainstem: ")
    assert err.count("\n") == 1
    assert "--help" in err


def test_no_broker_is_one_sentence(cli: Cli) -> None:
    code, _, err = cli("topic", "list", "--brokers", "127.0.0.1:1")
    assert code == 1
    assert "cannot connect to 127.0.0.1:1" in err
    assert "is a broker running there?" in err


def test_deleting_asks_first(cli: Cli, name: str) -> None:
    cli("topic", "create", name)
    code, _, err = cli("topic", "delete", name, stdin=b"n\n")
    assert code == 1
    assert f"Delete topic '{name}' with all its records? n\nmainstem: nothing was changed\n" == err
    assert name in cli("topic", "list").out
    assert cli("topic", "delete", name, stdin=b"y\n").code == 0


@pytest.mark.parametrize("what", ["topic", "group"])
def test_deleting_where_nobody_can_answer_is_wrong_usage(cli: Cli, name: str, what: str) -> None:
    cli("topic", "create", name)
    code, out, err = cli(what, "delete", name, stdin=b"")
    assert (code, out) == (2, "")
    assert err.startswith("mainstem: ")
    assert err.endswith("Nobody is there to answer: add --yes\n")
    assert err.count("\n") == 1
    assert name in cli("topic", "list").out


@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["topic"], ["topic", "create"], ["produce"], ["consume"], ["group"],
     ["group", "reset"], ["doctor"], ["demo"]],
    ids=" ".join,
)  # fmt: skip
def test_every_command_has_help(cli: Cli, command: list[str]) -> None:
    code, out, err = cli(*command, "--help")
    assert (code, err) == (0, "")
    assert "Usage: mainstem" in out


def test_the_version(cli: Cli) -> None:
    assert cli("--version") == (0, "mainstem 0.1.0\n", "")
