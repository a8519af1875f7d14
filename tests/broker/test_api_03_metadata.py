"""Metadata over the wire: names that cannot be, ids, repeated topics, allowed operations."""

from __future__ import annotations

from uuid import uuid4

import pytest

from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message
from reference.produce import create


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with (
        running_broker(tmp_path_factory.mktemp("data")) as running,
        RawConnection(running.address) as raw,
    ):
        create(raw, "t", partitions=2)
        yield raw


def ask(connection, *topics, version=12, create_topics=False, **fields):
    asked = {"topics": [Message(**{"topic_id": None, "name": None, **t}) for t in topics]}
    if version >= 4:
        asked["allow_auto_topic_creation"] = create_topics
    if version >= 8:
        asked["include_topic_authorized_operations"] = False
    if 8 <= version <= 10:
        asked["include_cluster_authorized_operations"] = False
    return connection.call(3, version, Message(**{**asked, **fields}))


@pytest.mark.parametrize("name", ["", "..", "no such!", "x" * 250])
@pytest.mark.parametrize("version", [4, 9, 12])
def test_a_name_that_cannot_be_is_invalid_whether_or_not_it_is_to_be_made(
    connection, name, version
):
    for create_topics in (False, True):
        answer = ask(connection, {"name": name}, version=version, create_topics=create_topics)
        assert [(t.error_code, t.name) for t in answer.topics] == [(17, name)]


@pytest.mark.parametrize("version", [0, 3, 9, 12])
def test_a_topic_asked_for_many_times_is_described_once(connection, version):
    answer = ask(connection, *[{"name": "t"}] * 5_000, version=version)
    assert [(topic.name, len(topic.partitions)) for topic in answer.topics] == [("t", 2)]


def test_an_unknown_id_has_no_name_where_there_may_be_none(connection):
    unknown = uuid4()
    for version, name in ((10, ""), (11, ""), (12, None), (13, None)):
        topic = {"name": "", "topic_id": unknown} if version < 12 else {"topic_id": unknown}
        (found,) = ask(connection, topic, version=version).topics
        assert (found.error_code, found.name, found.topic_id) == (100, name, unknown)


@pytest.mark.parametrize("version", range(8, 14))
def test_operations_are_told_when_asked_for(connection, version):
    asked = {"include_topic_authorized_operations": True}
    if version <= 10:
        asked["include_cluster_authorized_operations"] = True
    answer = ask(connection, {"name": "t"}, version=version, **asked)
    assert answer.topics[0].topic_authorized_operations == 0b110111111000
    if version <= 10:
        assert answer.cluster_authorized_operations == 0b1111110100000


@pytest.mark.parametrize("version", range(4, 14))
def test_a_missing_topic_is_made_only_where_that_is_asked_for(connection, version):
    name = f"made-{version}"
    assert ask(connection, {"name": name}, version=version).topics[0].error_code == 3
    made = ask(connection, {"name": name}, version=version, create_topics=True).topics[0]
    assert (made.error_code, len(made.partitions)) == (0, 1)
