"""``tests/client/test_bad_use.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_bad_use")
from client.test_bad_use import *  # noqa: E402,F403 - the tests are the same
