"""Mainstem and Apache Kafka get the same requests; what they answer differently is explained.

A scenario in ``interop/differential/`` asks one broker; it runs on both. Every difference that
``accepted.py`` does not explain is a failure.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from types import ModuleType

import pytest

from interop.cluster import start_kafka, start_mainstem
from interop.differential import (
    commits,
    configs,
    fetch,
    groups,
    offsets,
    partitions,
    produce,
    producers,
    topics,
)
from interop.differential.accepted import BY_SCENARIO, EVERYWHERE
from interop.differential.requests import wait_for_coordinator
from interop.differential.site import Site, differences
from mainstem.testing import RawConnection
from mainstem.wire import Message

Scenario = Callable[[Site], None]
Both = tuple[str, str, dict[int, range]]
MODULES = (topics, partitions, produce, fetch, offsets, producers, groups, commits, configs)


def scenarios(module: ModuleType) -> list[Scenario]:
    """The functions of a module that take a site and nothing else, in order."""
    return [
        function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and list(inspect.signature(function).parameters) == ["site"]
    ]


SCENARIOS = {s.__name__: s for module in MODULES for s in scenarios(module)}


def served(address: str) -> dict[int, range]:
    with RawConnection(address) as connection:
        answer = connection.call(18, 0, Message())
    return {api.api_key: range(api.min_version, api.max_version + 1) for api in answer.api_keys}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Addresses of Mainstem and of Apache Kafka, and the versions that both serve."""
    directory = tmp_path_factory.mktemp("differential")
    mainstem = start_mainstem(directory / "mainstem")
    try:
        kafka = start_kafka(directory / "kafka")
        try:
            ours, theirs = served(mainstem.address), served(kafka.address)
            versions = {
                key: range(max(ours[key][0], each[0]), min(ours[key][-1], each[-1]) + 1)
                for key, each in theirs.items()
                if key in ours
            }
            with closing(Site(kafka.address, versions)) as site:
                wait_for_coordinator(site)
            yield mainstem.address, kafka.address, versions
        finally:
            kafka.stop()
    finally:
        code, errors = mainstem.stop()
    assert code == 0
    assert "Traceback" not in errors, errors


@pytest.mark.parametrize("name", SCENARIOS)
def test_answers_differ_only_where_that_is_explained(both: Both, name: str) -> None:
    ours, theirs = (run(address, both[2], SCENARIOS[name]) for address in both[:2])
    assert list(ours) == list(theirs)
    found = [line for label in ours for line in differences(ours[label], theirs[label], label)]
    explained = {**EVERYWHERE, **BY_SCENARIO.get(name, {})}
    unexplained = [
        line for line in found if not any(re.search(pattern, line) for pattern in explained)
    ]
    assert not unexplained, "\n".join(line[:600] for line in unexplained)
    stale = [
        pattern
        for pattern in BY_SCENARIO.get(name, {})
        if not any(re.search(pattern, line) for line in found)
    ]
    assert not stale, f"no such difference any more: {stale}"


def run(address: str, versions: dict[int, range], scenario: Scenario) -> dict[str, object]:
    site = Site(address, versions)
    try:
        scenario(site)
    finally:
        site.close()
    return site.answers


def test_every_explanation_belongs_to_a_scenario() -> None:
    assert BY_SCENARIO.keys() <= SCENARIOS.keys()
