"""pytest fixtures for programs that use Mainstem; loaded by pytest through its entry point.

Names start with ``mainstem_``; nothing is imported before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mainstem import Stem
    from mainstem.testing import RunningBroker


@pytest.fixture
def mainstem_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A real, empty broker inside this process, for one test; its ``address`` is HOST:PORT."""
    from mainstem.testing import running_broker

    with running_broker(tmp_path_factory.mktemp("mainstem")) as broker:
        yield broker


@pytest.fixture
def mainstem_address(mainstem_broker: RunningBroker) -> str:
    """Where any Kafka client reaches ``mainstem_broker``."""
    return mainstem_broker.address


@pytest.fixture
def mainstem_stem(mainstem_broker: RunningBroker) -> Iterator[Stem]:
    """``mainstem.connect`` to ``mainstem_broker``."""
    import mainstem

    with mainstem.connect(mainstem_broker.address) as stem:
        yield stem


@pytest.fixture(scope="session")
def mainstem_session_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One broker for the whole run; tests share it, so each needs its own topic names."""
    from mainstem.testing import running_broker

    with running_broker(tmp_path_factory.mktemp("mainstem-session")) as broker:
        yield broker
