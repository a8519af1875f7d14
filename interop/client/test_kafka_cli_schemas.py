"""``tests/cli/test_cli_schemas.py`` against Apache Kafka."""

import pytest

pytest.register_assert_rewrite("cli.test_cli_schemas")
from cli.conftest import cli, name  # noqa: E402,F401 - fixtures
from cli.test_cli_schemas import *  # noqa: E402,F403 - the tests are the same
