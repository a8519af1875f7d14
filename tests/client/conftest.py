from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

import mainstem as ms
from mainstem.testing import RunningBroker

_numbers = itertools.count()


@pytest.fixture(scope="session")
def stem(mainstem_session_broker: RunningBroker) -> Iterator[ms.Stem]:
    """One client for the run; topics are each test's own."""
    with ms.connect(mainstem_session_broker.address) as found:
        yield found


@pytest.fixture
def make_topic(stem: ms.Stem) -> Callable[..., ms.Topic]:
    """A new topic of its own name: ``make_topic(partitions, **settings)``."""

    def make(partitions: int = 1, **settings: object) -> ms.Topic:
        config = {name.replace("_", "."): value for name, value in settings.items()}
        return stem.create_topic(f"t{next(_numbers)}", partitions, config=config)

    return make


@pytest.fixture(scope="session")
def compacts() -> bool:
    """Whether the broker under test really compacts: the embedded one keeps all records."""
    return False
