"""``tests/client/test_admin_of_groups.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("client.test_admin_of_groups")
from client.test_admin_of_groups import *  # noqa: E402,F403 - the tests are the same
