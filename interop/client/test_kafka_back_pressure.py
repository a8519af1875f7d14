"""``tests/client/test_back_pressure.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_back_pressure")
from client.test_back_pressure import *  # noqa: E402,F403 - the tests are the same
