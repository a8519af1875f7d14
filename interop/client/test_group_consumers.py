"""``tests/client/test_consumers.py`` against Apache Kafka, with both protocols."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("client.test_consumers")
from client.test_consumers import *  # noqa: E402,F403 - the tests are the same

#: These are about the classic protocol only: a fenced holder of an instance id hears of it
#: (KIP-848 refuses the second one instead).
_CLASSIC = {"test_a_second_holder_of_an_instance_id_is_told_apart"}
#: Seven seconds each; the embedded broker has seen it with the classic protocol.
_LONG = {"test_heartbeats_go_on_while_the_user_works"}


@pytest.fixture(params=["classic", "consumer"])
def protocol(request: pytest.FixtureRequest) -> str:
    name, classic = request.node.originalname, request.param == "classic"
    if (name in _CLASSIC and not classic) or (name in _LONG and classic):
        pytest.skip("told apart in tests/client")
    return str(request.param)
