"""One tree of settings: file < environment < flags, typed, unknown keys refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstem.errors import Invalid
from mainstem.node.config import assignments, broker_config, gather, parse_address


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mainstem.toml"
    file.write_text(text)
    return file


def test_defaults_listen_on_loopback_only() -> None:
    config = gather(None, {}, {})
    assert (config.kafka, config.http, config.insecure) == (
        "127.0.0.1:9092",
        "127.0.0.1:9093",
        False,
    )


def test_environment_wins_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    file = written(tmp_path, 'data = "a"\nkafka = "a:1"\nhttp = "a:1"\n')
    environment = {"MAINSTEM_KAFKA": "b:1", "MAINSTEM_HTTP": "b:1"}
    config = gather(file, environment, {"http": "c:1"})
    assert (config.data, config.kafka, config.http) == ("a", "b:1", "c:1")


def test_a_flag_not_given_leaves_the_other_sources_alone() -> None:
    assert gather(None, {"MAINSTEM_DATA": "b"}, {"data": None}).data == "b"


def test_tables_merge_key_by_key(tmp_path: Path) -> None:
    file = written(tmp_path, "[broker]\nnum_partitions = 3\nmax_connections = 10\n")
    environment = {"MAINSTEM_BROKER_MAX_CONNECTIONS": "20", "MAINSTEM_LOG_FLUSH": "os"}
    config = gather(file, environment, assignments(["log.segment_bytes=1048576"]))
    broker = broker_config(config, "127.0.0.1", 1, None)
    assert (broker.num_partitions, broker.max_connections) == (3, 20)
    assert (broker.log.flush, broker.log.segment_bytes) == ("os", 1048576)


def test_every_field_of_the_broker_and_the_log_can_be_set() -> None:
    from dataclasses import fields

    from mainstem.broker import BrokerConfig
    from mainstem.log import LogConfig

    derived = {"data", "host", "port", "advertised_host", "advertised_port", "log"}
    pairs = []
    for kind, table in ((BrokerConfig, "broker"), (LogConfig, "log")):
        defaults = kind(data=Path("x")) if kind is BrokerConfig else kind()
        for field in fields(kind):
            if field.name in derived:
                continue
            value = getattr(defaults, field.name)
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            pairs.append(f"{table}.{field.name}={text}")
    config = gather(None, {}, assignments(pairs))
    broker = broker_config(config, "127.0.0.1", 9092, None)
    assert broker == BrokerConfig(data=Path(config.data))


def test_a_list_in_the_environment_is_separated_by_commas() -> None:
    config = gather(None, {"MAINSTEM_LOG_CLEANUP_POLICY": "compact, delete"}, {})
    assert broker_config(config, "h", 1, None).log.cleanup_policy == ("compact", "delete")


@pytest.mark.parametrize(
    ("environment", "flags", "message"),
    [
        ({"MAINSTEM_KAFAK": "x"}, {}, "unknown key 'kafak' in the environment.*'kafka'"),
        ({}, {"dat": "x"}, "unknown key 'dat' in the command line.*'data'"),
        ({}, {"broker": "x"}, "'broker' in the command line is 'x': it must be a table"),
        ({"MAINSTEM_INSECURE": "perhaps"}, {}, "insecure"),
        ({}, {"logging": "loud"}, "logging is 'loud': choose one of debug"),
    ],
)
def test_a_bad_setting_is_named(
    environment: dict[str, str], flags: dict[str, str], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        gather(None, environment, flags)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("broker.num_partition=3", "'broker.num_partition': did you mean 'broker.num_partitions'"),
        ("broker.num_partitions=many", "broker.num_partitions is 'many'"),
        ("log.flush=sometimes", "log.flush is 'sometimes'"),
        ("broker.port=1", "unknown key 'broker.port'"),
    ],
)
def test_a_bad_broker_setting_is_named(pair: str, message: str) -> None:
    config = gather(None, {}, assignments([pair]))
    with pytest.raises(Invalid, match=message):
        broker_config(config, "127.0.0.1", 1, None)


def test_an_unknown_key_in_the_file_names_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "dada = 1\n")
    with pytest.raises(Invalid, match=r"unknown key 'dada' in .*mainstem.toml.*'data'"):
        gather(file, {}, {})


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"is not TOML: .*line 1"):
        gather(written(tmp_path, "data = \n"), {}, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none.toml cannot be read: No such file"):
        gather(tmp_path / "none.toml", {}, {})


def test_an_assignment_needs_a_value() -> None:
    with pytest.raises(Invalid, match="write --set KEY=VALUE"):
        assignments(["broker.num_partitions"])


def test_variables_of_other_programs_are_not_ours_to_refuse() -> None:
    environment = {
        "MAINSTEM_BROKERS": "somewhere:9092",
        # What Kubernetes sets for a service called "mainstem".
        "MAINSTEM_SERVICE_HOST": "10.0.0.1",
        "MAINSTEM_SERVICE_PORT_KAFKA": "9092",
        "MAINSTEM_PORT": "tcp://10.0.0.1:9092",
        "MAINSTEM_PORT_9092_TCP_ADDR": "10.0.0.1",
    }
    assert gather(None, environment, {}) == gather(None, {}, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:9092", ("::1", 9092)),
        ("a.b:65535", ("a.b", 65535)),
    ],
)
def test_addresses_parse(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, "kafka") == expected


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:65536", "host:-1", "host:1a"])
def test_a_bad_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"kafka address .* is not HOST:PORT"):
        parse_address(text, "kafka")
