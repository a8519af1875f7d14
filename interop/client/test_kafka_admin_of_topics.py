"""``tests/client/test_admin_of_topics.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_admin_of_topics")
from client.test_admin_of_topics import *  # noqa: E402,F403 - the tests are the same
