"""``tests/client/test_consumers.py`` against the target; on Apache Kafka with both protocols."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mainstem as ms

pytest.register_assert_rewrite("client.test_consumers")
from client.test_consumers import *  # noqa: E402,F403 - the tests are the same

_numbers = itertools.count()
#: These are about the classic protocol only: a fenced holder of an instance id hears of it
#: (KIP-848 refuses the second one instead).
_CLASSIC = {"test_a_second_holder_of_an_instance_id_is_told_apart"}


@pytest.fixture(params=["classic", "consumer"])
def protocol(request: pytest.FixtureRequest, target: str) -> str:
    name = request.node.originalname
    if request.param == "consumer" and (target == "mainstem" or name in _CLASSIC):
        pytest.skip("not offered there")
    return str(request.param)


@pytest.fixture(scope="session")
def stem(cluster: str) -> Iterator[ms.Stem]:
    with ms.connect(cluster) as found:
        yield found


@pytest.fixture
def make_topic(stem: ms.Stem) -> Callable[..., ms.Topic]:
    run = uuid.uuid4().hex[:8]

    def make(partitions: int = 1, **settings: Any) -> ms.Topic:
        config = {name.replace("_", "."): value for name, value in settings.items()}
        return stem.create_topic(f"g{run}-{next(_numbers)}", partitions, config=config)

    return make
