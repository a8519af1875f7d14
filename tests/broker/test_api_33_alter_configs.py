"""AlterConfigs (33) and IncrementalAlterConfigs (44): what changes, what is refused, what stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import Site, versions

from mainstem.wire import Message

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        site.create("a", 1, retention_ms="5", segment_bytes="5000")
        yield site


def resource(kind: int, name: str, configs: list[Message]) -> Message:
    return Message(resource_type=kind, resource_name=name, configs=configs)


def replace(
    site: Site, *resources: Message, version: int = 2, validate: bool = False
) -> list[Message]:
    return site.call(33, version, resources=list(resources), validate_only=validate).responses


def change(
    site: Site, *resources: Message, version: int = 1, validate: bool = False
) -> list[Message]:
    return site.call(44, version, resources=list(resources), validate_only=validate).responses


def value(name: str, text: str | None) -> Message:
    return Message(name=name, value=text)


def operation(name: str, kind: int, text: str | None = None) -> Message:
    return Message(name=name, config_operation=kind, value=text)


def overrides(site: Site, name: str = "a") -> dict[str, str]:
    return site.topics.require(name).overrides


@pytest.mark.parametrize("version", versions(33))
def test_alter_replaces_everything(site: Site, version: int) -> None:
    asked = resource(TOPIC, "a", [value("max.message.bytes", "77")])
    (result,) = replace(site, asked, version=version)
    assert (result.error_code, result.error_message) == (0, None)
    assert (result.resource_type, result.resource_name) == (TOPIC, "a")
    assert overrides(site) == {"max.message.bytes": "77"}
    assert site.partition("a").config.max_message_bytes == 77


@pytest.mark.parametrize("version", versions(44))
def test_incremental_changes_only_what_it_names(site: Site, version: int) -> None:
    operations = [
        operation("retention.ms", DELETE),
        operation("mainstem.flush", SET, "os"),
        operation("cleanup.policy", APPEND, "compact"),
    ]
    (result,) = change(site, resource(TOPIC, "a", operations), version=version)
    assert result.error_code == 0
    assert overrides(site) == {
        "segment.bytes": "5000",
        "mainstem.flush": "os",
        "cleanup.policy": "delete,compact",
    }
    assert site.partition("a").config.cleanup_policy == ("delete", "compact")


def test_appending_starts_from_the_brokers_default(site: Site) -> None:
    change(site, resource(BROKER, "", [operation("log.cleanup.policy", SET, "compact")]))
    change(site, resource(TOPIC, "a", [operation("cleanup.policy", APPEND, "delete")]))
    assert overrides(site)["cleanup.policy"] == "compact,delete"


def test_validation_alone_changes_nothing(site: Site) -> None:
    before = dict(overrides(site))
    (one,) = replace(site, resource(TOPIC, "a", []), validate=True)
    (two,) = change(site, resource(TOPIC, "a", [operation("retention.ms", DELETE)]), validate=True)
    (bad,) = change(
        site, resource(TOPIC, "a", [operation("retention.ms", SET, "x")]), validate=True
    )
    assert (one.error_code, two.error_code, bad.error_code) == (0, 0, 40)
    assert overrides(site) == before


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (resource(TOPIC, "a", [operation("retention.ms", SET, "x")]), 40, "'x'"),
        (resource(TOPIC, "a", [operation("retentionms", SET, "1")]), 40, "did you mean"),
        (resource(TOPIC, "a", [operation("retention.ms", SET, None)]), 42, "Null"),
        (resource(TOPIC, "a", [operation("retention.ms", APPEND, "1")]), 40, "not LIST"),
        (resource(TOPIC, "a", [operation("cleanup.policy", SUBTRACT, "delete")]), 40, "must be"),
        (resource(TOPIC, "a", [operation("retention.ms", 9, "1")]), 42, "operation 9"),
        (resource(TOPIC, "a", [operation("segment.ms", SET, "1")] * 2), 42, "more than once"),
        (resource(TOPIC, "nowhere", []), 3, "nowhere"),
        (resource(TOPIC, "a b", []), 17, "a b"),
        (resource(BROKER, "7", []), 42, "expected 1"),
        (resource(BROKER, "1", [operation("num.partitions", SET, "4")]), 42, "dynamically"),
        (resource(BROKER, "1", [operation("no.such", SET, "4")]), 40, "Unknown broker config"),
        (resource(BROKER, "", [operation("log.retention.ms", SET, "x")]), 40, "'x'"),
        (resource(GROUP, "g", [operation("consumer.session.timeout.ms", SET, "1")]), 40, "group"),
        (resource(METRICS, "m", [operation("interval.ms", SET, "1")]), 40, "client metrics"),
        (resource(LOGGER, "1", [operation("root", SET, "DEBUG")]), 42, "log levels"),
        (resource(99, "x", []), 42, "99"),
    ],
)
def test_incremental_refusals_say_why_and_change_nothing(
    site: Site, asked: Message, code: int, words: str
) -> None:
    before = dict(overrides(site))
    (result,) = change(site, asked)
    assert result.error_code == code
    assert words in result.error_message
    assert overrides(site) == before


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (resource(TOPIC, "a", [value("retention.ms", "x")]), 40),
        (resource(TOPIC, "a", [value("retention.ms", None)]), 40),
        (resource(TOPIC, "a", [value("retention.ms", "1")] * 2), 42),
        (resource(TOPIC, "nowhere", []), 3),
        (resource(BROKER, "1", [value("log.dirs", "/elsewhere")]), 42),
    ],
)
def test_replacing_refusals_change_nothing(site: Site, asked: Message, code: int) -> None:
    before = dict(overrides(site))
    (result,) = replace(site, asked)
    assert result.error_code == code
    assert overrides(site) == before


def test_one_bad_operation_keeps_the_whole_resource_as_it_was(site: Site) -> None:
    before = dict(overrides(site))
    operations = [operation("retention.ms", SET, "9"), operation("segment.ms", SET, "0")]
    (result,) = change(site, resource(TOPIC, "a", operations))
    assert result.error_code == 40
    assert overrides(site) == before


def test_resources_stand_on_their_own(site: Site) -> None:
    site.create("b")
    good = resource(TOPIC, "b", [operation("retention.ms", SET, "9")])
    results = change(site, resource(TOPIC, "nowhere", []), good)
    assert [int(result.error_code) for result in results] == [3, 0]
    assert overrides(site, "b") == {"retention.ms": "9"}


def test_a_resource_given_twice_is_refused_once(site: Site) -> None:
    twice = resource(TOPIC, "a", [operation("retention.ms", SET, "9")])
    (result,) = change(site, twice, twice)
    assert result.error_code == 42
    assert overrides(site)["retention.ms"] == "5"


@pytest.mark.parametrize("name", ["", "1"])
def test_broker_configs_that_take_effect_can_be_changed_and_stay(tmp_path: Path, name: str) -> None:
    with Site(tmp_path) as site:
        site.create("a")
        asked = resource(BROKER, name, [operation("message.max.bytes", SET, "99")])
        (result,) = change(site, asked)
        assert result.error_code == 0
        assert site.partition("a").config.max_message_bytes == 99
    with Site(tmp_path) as site:
        assert site.partition("a").config.max_message_bytes == 99
        change(site, resource(BROKER, name, [operation("message.max.bytes", DELETE)]))
        assert site.partition("a").config.max_message_bytes == 1_048_588


def test_nothing_to_set_on_a_group_is_no_error(site: Site) -> None:
    (result,) = change(site, resource(GROUP, "g", []))
    assert result.error_code == 0
