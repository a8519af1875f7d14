"""``tests/client/test_rows_not_sent.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_rows_not_sent")
from client.test_rows_not_sent import *  # noqa: E402,F403 - the tests are the same
