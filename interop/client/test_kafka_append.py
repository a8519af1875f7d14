"""``tests/client/test_append.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_append")
from client.test_append import *  # noqa: E402,F403 - the tests are the same
