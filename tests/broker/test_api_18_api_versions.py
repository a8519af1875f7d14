"""ApiVersions over the wire: what is served, to clients that name themselves properly."""

from __future__ import annotations

import pytest

from mainstem.broker.apis import APIS
from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with (
        running_broker(tmp_path_factory.mktemp("data")) as running,
        RawConnection(running.address) as raw,
    ):
        yield raw


def ask(connection, version, name="client", number="1.0"):
    message = Message(client_software_name=name, client_software_version=number)
    return connection.call(18, version, message if version >= 3 else Message())


@pytest.mark.parametrize("version", range(5))
def test_every_api_is_told_with_its_versions(connection, version):
    answer = ask(connection, version)
    assert answer.error_code == 0
    told = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
    assert told == {key: (api.lowest, api.highest) for key, api in APIS.items()}


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(
    ("name", "number", "good"),
    [
        ("librdkafka", "v2.15.0", True),
        ("apache-kafka-java", "4.3.1", True),
        ("a", "1", True),
        ("", "", False),
        ("a b", "1", False),
        ("a", "1 0", False),
        ("-a", "1", False),
        ("a-", "1", False),
        ("a", "é", False),
        ("a\n", "1", False),
    ],
)
def test_a_client_must_give_a_name_that_metrics_can_show(connection, version, name, number, good):
    answer = ask(connection, version, name, number)
    assert answer.error_code == (0 if good else 42)
    assert bool(answer.api_keys) is good
