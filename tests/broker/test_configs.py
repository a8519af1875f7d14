"""Topic and broker configs: what is accepted, what it becomes, where values come from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.broker.config import BrokerConfig
from mainstem.broker.configs import (
    DYNAMIC,
    TOPIC_CONFIGS,
    BrokerConfigs,
    ConfigType,
    Source,
    apply_operations,
    describe_broker,
    describe_every_broker,
    describe_topic,
    fixed_configs,
    format_value,
    log_config,
    validate,
)
from mainstem.broker.store import Store
from mainstem.errors import Invalid
from mainstem.log import LogConfig

ADDRESS = ("127.0.0.1", 45678)

#: Name, an accepted value, the LogConfig field and what it becomes.
EFFECTIVE = [
    ("retention.ms", "-1", "retention_ms", -1),
    ("retention.bytes", "12345", "retention_bytes", 12345),
    ("segment.bytes", "1048576", "segment_bytes", 1 << 20),
    ("segment.ms", "1", "segment_ms", 1),
    ("max.message.bytes", "0", "max_message_bytes", 0),
    ("cleanup.policy", "compact", "cleanup_policy", ("compact",)),
    ("cleanup.policy", "compact, delete", "cleanup_policy", ("compact", "delete")),
    ("message.timestamp.type", "LogAppendTime", "timestamp_type", "LogAppendTime"),
    ("message.timestamp.before.max.ms", "5", "message_timestamp_before_max_ms", 5),
    ("message.timestamp.after.max.ms", "6", "message_timestamp_after_max_ms", 6),
    ("index.interval.bytes", "100", "index_interval_bytes", 100),
    ("mainstem.flush", "always", "flush", "always"),
]

REFUSED = [
    ("retention.ms", "-2"),
    ("retention.ms", "seven days"),
    ("retention.ms", ""),
    ("retention.ms", "1.5"),
    ("retention.ms", str(2**63)),
    ("retention.ms", "1_000"),
    ("retention.ms", "٣"),  # digits, but not Java's
    ("retention.bytes", "-2"),
    ("segment.bytes", "13"),
    ("segment.bytes", str(2**31)),
    ("segment.ms", "0"),
    ("max.message.bytes", "-1"),
    ("cleanup.policy", "keep"),
    ("cleanup.policy", ""),
    ("cleanup.policy", "delete,delete"),
    ("cleanup.policy", "delete,"),
    ("message.timestamp.type", "createtime"),
    ("mainstem.flush", "never"),
    ("compression.type", "zstd"),
    ("compression.type", "gzip"),
    ("compression.type", "uncompressed"),
    ("compression.gzip.level", "10"),
    ("min.insync.replicas", "2"),
    ("min.insync.replicas", "0"),
    ("min.cleanable.dirty.ratio", "1.1"),
    ("min.cleanable.dirty.ratio", "nan"),
    ("min.cleanable.dirty.ratio", "inf"),
    ("flush.messages", "1"),
    ("flush.ms", "1000"),
    ("preallocate", "yes"),
    ("remote.storage.enable", "true"),
]


@pytest.fixture
def configs(tmp_path: Path):
    store = Store(tmp_path / "metadata.sqlite")
    yield BrokerConfigs(store, BrokerConfig(data=tmp_path))
    store.close()


@pytest.mark.parametrize(("name", "text", "field", "value"), EFFECTIVE)
def test_configs_with_effect_reach_the_log(name: str, text: str, field: str, value: object) -> None:
    overrides = validate({name: text})
    assert log_config(overrides, LogConfig()) == dataclasses.replace(LogConfig(), **{field: value})


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_bad_or_unkept_promises_are_refused_by_name_and_value(name: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate({name: text})
    assert caught.value.code == 40
    assert name in str(caught.value)
    assert repr(text) in str(caught.value)


def test_every_default_is_itself_valid() -> None:
    for name, definition in TOPIC_CONFIGS.items():
        assert validate({name: definition.default}) == {name: definition.default}


def test_the_defaults_with_effect_are_the_logs_own() -> None:
    for definition in TOPIC_CONFIGS.values():
        if definition.log_field is not None:
            own = getattr(LogConfig(), definition.log_field)
            assert definition.default == format_value(own), definition.name
            assert definition.parse(definition.default) == own, definition.name


def test_every_config_says_what_it_does() -> None:
    for definition in TOPIC_CONFIGS.values():
        effective = definition.log_field is not None
        words = ("No effect", "no effect", "Not used", "Always", "no other value", "one node")
        assert effective or any(word in definition.documentation for word in words), definition.name


@pytest.mark.parametrize("case", ["TRUE", "true", " True "])
def test_booleans_are_read_as_java_reads_them(case: str) -> None:
    assert TOPIC_CONFIGS["preallocate"].parse(case) is True


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        Invalid, match=r"Unknown topic config name: retention\.mss \(did you mean"
    ) as caught:
        validate({"retention.mss": "1"})
    assert caught.value.code == 40
    assert "retention.ms?" in str(caught.value)


def test_a_null_value_is_refused() -> None:
    with pytest.raises(Invalid, match="must have a value") as caught:
        validate({"retention.ms": None})
    assert caught.value.code == 40


def test_compaction_lags_must_not_cross() -> None:
    with pytest.raises(Invalid, match=r"min\.compaction\.lag\.ms \(5\) is above"):
        validate({"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "4"})


def test_names_a_newer_version_stored_are_passed_over() -> None:
    assert log_config({"future.config": "x"}, LogConfig()) == LogConfig()


@given(st.sampled_from(sorted(TOPIC_CONFIGS)), st.text(max_size=30))
def test_any_text_is_accepted_or_refused_cleanly(name: str, text: str) -> None:
    code = None
    try:
        log_config(validate({name: text}), LogConfig())
    except Invalid as error:
        code = error.code
    assert code in {None, 40}


# --- describing --------------------------------------------------------------------------------


def by_name(described: list) -> dict:
    return {entry.name: entry for entry in described}


def test_a_topics_value_lists_its_sources_strongest_first(configs: BrokerConfigs) -> None:
    entry = by_name(describe_topic({"retention.ms": "9"}, configs))["retention.ms"]
    assert (entry.value, entry.source, entry.type) == ("9", Source.TOPIC, ConfigType.LONG)
    assert entry.synonyms == [
        ("retention.ms", "9", Source.TOPIC),
        ("log.retention.ms", "604800000", Source.DEFAULT),
    ]


def test_an_untouched_value_is_a_default(configs: BrokerConfigs) -> None:
    for entry in describe_topic({}, configs):
        assert entry.source is Source.DEFAULT, entry.name
        assert entry.value == TOPIC_CONFIGS[entry.name].default


def test_what_the_broker_was_started_with_is_static(tmp_path: Path) -> None:
    store = Store(tmp_path / "metadata.sqlite")
    try:
        started = BrokerConfig(data=tmp_path, log=LogConfig(retention_ms=5, flush="os"))
        described = by_name(describe_topic({}, BrokerConfigs(store, started)))
    finally:
        store.close()
    assert (described["retention.ms"].value, described["retention.ms"].source) == (
        "5",
        Source.STATIC_BROKER,
    )
    assert described["mainstem.flush"].value == "os"
    assert described["segment.ms"].source is Source.DEFAULT


def test_dynamic_values_are_described_with_their_level(configs: BrokerConfigs) -> None:
    import asyncio

    asyncio.run(configs.alter("", {"log.retention.ms": "7"}))
    asyncio.run(configs.alter("1", {"log.retention.ms": "8"}))
    config = BrokerConfig(data=Path("data"))
    entry = by_name(describe_broker(configs, config, ADDRESS, ADDRESS))["log.retention.ms"]
    assert entry.value == "8"
    assert [source for _name, _value, source in entry.synonyms] == [
        Source.DYNAMIC_BROKER,
        Source.DYNAMIC_DEFAULT_BROKER,
        Source.DEFAULT,
    ]
    assert [(e.name, e.value) for e in describe_every_broker(configs)] == [
        ("log.retention.ms", "7")
    ]
    assert by_name(describe_topic({}, configs))["retention.ms"].value == "8"


def test_a_broker_describes_what_tools_look_for(configs: BrokerConfigs) -> None:
    config = BrokerConfig(data=Path("data"), num_partitions=3)
    described = by_name(describe_broker(configs, config, ADDRESS, ("stem.example", 19092)))
    expected = {
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "num.partitions": "3",
        "auto.create.topics.enable": "true",
        "delete.topic.enable": "true",
        "message.max.bytes": "1048588",
        "advertised.listeners": "PLAINTEXT://stem.example:19092",
        "listeners": "PLAINTEXT://127.0.0.1:45678",
        "log.dirs": "data",
        "log.retention.ms": "604800000",
        "log.retention.hours": "168",
        "log.cleanup.policy": "delete",
        "broker.id": "1",
    }
    assert {name: described[name].value for name in expected} == expected
    assert described["num.partitions"].read_only
    assert described["num.partitions"].source is Source.STATIC_BROKER
    assert not described["log.retention.ms"].read_only
    assert len(described) == len(
        describe_broker(configs, config, ADDRESS, ADDRESS)
    )  # no name twice


def test_only_what_takes_effect_can_be_set_at_run_time(configs: BrokerConfigs) -> None:
    for fixed in fixed_configs(BrokerConfig(data=Path("data"))):
        assert fixed.name not in DYNAMIC
        with pytest.raises(Invalid, match="Cannot update these configs dynamically") as caught:
            configs.validate({fixed.name: fixed.value})
        assert caught.value.code == 42
    with pytest.raises(Invalid, match=r"Unknown broker config name: log\.retention\.m ") as unknown:
        configs.validate({"log.retention.m": "1"})
    assert unknown.value.code == 40


# --- incremental operations --------------------------------------------------------------------

SET, DELETE, APPEND, SUBTRACT = range(4)
POLICY = "cleanup.policy"


def operate(now: dict[str, str], *operations: tuple[str, int, str | None]) -> dict[str, str]:
    return apply_operations(
        now, operations, TOPIC_CONFIGS, lambda name: TOPIC_CONFIGS[name].default
    )


@pytest.mark.parametrize(
    ("now", "operation", "after"),
    [
        ({}, ("retention.ms", SET, "5"), {"retention.ms": "5"}),
        ({"retention.ms": "5"}, ("retention.ms", DELETE, None), {}),
        ({}, ("retention.ms", DELETE, None), {}),
        ({}, (POLICY, APPEND, "compact"), {POLICY: "delete,compact"}),
        ({POLICY: "compact"}, (POLICY, APPEND, "compact"), {POLICY: "compact"}),
        ({POLICY: "compact,delete"}, (POLICY, SUBTRACT, "delete"), {POLICY: "compact"}),
        ({POLICY: "compact"}, (POLICY, SUBTRACT, "delete"), {POLICY: "compact"}),
    ],
)
def test_operations(now: dict, operation: tuple, after: dict) -> None:
    assert operate(now, operation) == after


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (("retention.ms", APPEND, "5"), 40),
        (("retention.ms", SUBTRACT, "5"), 40),
        (("unknown.list", APPEND, "5"), 40),
        (("retention.ms", SET, None), 42),
        (("cleanup.policy", APPEND, None), 42),
        (("retention.ms", 4, "5"), 42),
        (("retention.ms", -1, "5"), 42),
    ],
)
def test_operations_that_make_no_sense(operation: tuple, code: int) -> None:
    with pytest.raises(Invalid) as caught:
        operate({}, operation)
    assert caught.value.code == code
