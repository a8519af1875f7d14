"""``tests/client/test_left_early.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_left_early")
from client.test_left_early import *  # noqa: E402,F403 - the tests are the same
