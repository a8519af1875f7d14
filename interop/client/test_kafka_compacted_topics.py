"""``tests/client/test_compacted_topics.py`` against Apache Kafka, whose cleaner runs."""

import pytest

pytest.register_assert_rewrite("client.test_compacted_topics")
from client.test_compacted_topics import *  # noqa: E402,F403 - the tests are the same
