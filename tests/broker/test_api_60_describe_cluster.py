"""DescribeCluster (60) and ListConfigResources (74)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from admin_site import Site, versions

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:  # nothing here changes it
        site.create("a")
        site.create("b")
        yield site


@pytest.mark.parametrize("version", versions(60))
def test_every_version_names_the_one_broker(site: Site, version: int) -> None:
    answer = site.call(60, version, include_cluster_authorized_operations=False,
                       include_fenced_brokers=True)  # fmt: skip
    (broker,) = answer.brokers
    assert (broker.broker_id, broker.host, broker.port, broker.rack) == (1, "127.0.0.1", 9092, None)
    assert not broker.is_fenced
    assert (answer.error_code, answer.controller_id) == (0, 1)
    assert answer.cluster_id == site.store.cluster_id
    assert answer.cluster_authorized_operations == -(2**31)


def test_everything_is_allowed_without_an_authoriser(site: Site) -> None:
    answer = site.call(60, include_cluster_authorized_operations=True, include_fenced_brokers=False)
    operations = {bit for bit in range(31) if answer.cluster_authorized_operations >> bit & 1}
    assert operations == {5, 7, 8, 9, 10, 11, 12}


@pytest.mark.parametrize(("kind", "code"), [(2, 114), (0, 115), (3, 115)])
def test_only_the_brokers_endpoint_exists(site: Site, kind: int, code: int) -> None:
    answer = site.call(60, 1, include_cluster_authorized_operations=False, endpoint_type=kind)
    assert (answer.error_code, answer.brokers) == (code, [])
    assert answer.error_message


def found(site: Site, version: int, types: list[int]) -> set[tuple[int, str]]:
    fields = {"resource_types": types} if version else {}
    answer = site.call(74, version, **fields)
    assert answer.error_code == 0
    return {(entry.resource_type, entry.resource_name) for entry in answer.config_resources}


def test_resources_of_all_types_and_of_some(site: Site) -> None:
    topics = {(TOPIC, "a"), (TOPIC, "b")}
    assert found(site, 1, []) == {*topics, (BROKER, "1")}
    assert found(site, 1, [TOPIC, GROUP]) == topics
    assert found(site, 1, [METRICS]) == set()


def test_version_zero_asks_for_client_metrics_only(site: Site) -> None:
    assert found(site, 0, []) == set()


def test_an_unknown_resource_type_is_refused(site: Site) -> None:
    answer = site.call(74, 1, resource_types=[TOPIC, 99])
    assert (answer.error_code, answer.config_resources) == (35, [])
