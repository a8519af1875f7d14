"""DescribeConfigs in every version, for topics, brokers and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import Site, versions

from mainstem.broker.configs import TOPIC_CONFIGS
from mainstem.wire import Message

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        site.create("a", 1, retention_ms="5")
        yield site


def describe(
    site: Site,
    kind: int,
    name: str,
    keys: list[str] | None = None,
    version: int = 4,
    **options: bool,
) -> Message:
    resource = Message(resource_type=kind, resource_name=name, configuration_keys=keys)
    given = {"include_synonyms": False, "include_documentation": False, **options}
    (result,) = site.call(32, version, resources=[resource], **given).results
    assert (result.resource_type, result.resource_name) == (kind, name)
    return result


def rows(result: Message) -> dict[str, Message]:
    return {config.name: config for config in result.configs}


@pytest.mark.parametrize("version", versions(32))
def test_every_version_gives_full_rows_for_a_topic(site: Site, version: int) -> None:
    result = describe(site, TOPIC, "a", version=version)
    assert (result.error_code, result.error_message) == (0, None)
    found = rows(result)
    assert found.keys() == TOPIC_CONFIGS.keys()
    own, default = found["retention.ms"], found["retention.bytes"]
    assert (own.value, own.config_source, own.read_only, own.is_sensitive) == ("5", 1, False, False)
    assert (default.value, default.config_source) == ("-1", 5)
    if version >= 3:
        assert own.config_type == 5  # LONG


def test_keys_choose_what_is_described(site: Site) -> None:
    result = describe(site, TOPIC, "a", ["cleanup.policy", "no.such.config"])
    assert rows(result).keys() == {"cleanup.policy"}


def test_synonyms_and_documentation_come_when_asked_for(site: Site) -> None:
    plain = rows(describe(site, TOPIC, "a", ["retention.ms"]))["retention.ms"]
    assert (plain.synonyms, plain.documentation) == ([], None)
    full = rows(
        describe(
            site, TOPIC, "a", ["retention.ms"], include_synonyms=True, include_documentation=True
        )
    )["retention.ms"]
    assert [(s.name, s.value, s.source) for s in full.synonyms] == [
        ("retention.ms", "5", 1),
        ("log.retention.ms", "604800000", 5),
    ]
    assert full.documentation == TOPIC_CONFIGS["retention.ms"].documentation


@pytest.mark.parametrize(("name", "code"), [("nowhere", 3), ("a b", 17), ("", 17)])
def test_topics_that_are_not_there(site: Site, name: str, code: int) -> None:
    result = describe(site, TOPIC, name)
    assert (result.error_code, result.configs) == (code, [])
    assert result.error_message


@pytest.mark.parametrize("version", versions(32))
def test_the_broker_by_its_id(site: Site, version: int) -> None:
    found = rows(describe(site, BROKER, "1", version=version))
    assert found["default.replication.factor"].value == "1"
    assert found["default.replication.factor"].read_only
    assert not found["log.retention.ms"].read_only
    assert found["advertised.listeners"].value == "PLAINTEXT://127.0.0.1:9092"
    assert len(found) > 30


def test_every_broker_has_only_what_was_set_for_all(site: Site) -> None:
    assert describe(site, BROKER, "").configs == []
    site.run(site.topics.alter_broker_configs("", {"log.retention.ms": "9"}))
    (config,) = describe(site, BROKER, "").configs
    assert (config.name, config.value, config.config_source) == ("log.retention.ms", "9", 3)


@pytest.mark.parametrize("name", ["2", "one", "-1", "01"])
def test_another_broker_is_refused(site: Site, name: str) -> None:
    assert describe(site, BROKER, name).error_code == 42


@pytest.mark.parametrize("kind", [GROUP, METRICS])
def test_groups_and_client_metrics_have_no_configs(site: Site, kind: int) -> None:
    result = describe(site, kind, "g")
    assert (result.error_code, result.configs) == (0, [])
    assert describe(site, kind, "").error_code == 42


@pytest.mark.parametrize("kind", [LOGGER, 0, 1, 3, 127, -1])
def test_other_resource_types_are_refused(site: Site, kind: int) -> None:
    assert describe(site, kind, "1").error_code == 42
