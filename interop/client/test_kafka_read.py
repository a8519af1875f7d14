"""``tests/client/test_read.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_read")
from client.test_read import *  # noqa: E402,F403 - the tests are the same
